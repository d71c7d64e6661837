defmodule PgliteExTest do
  use PgliteEx.Case, async: true
  doctest PgliteEx
  doctest PgliteEx.Types
  doctest PgliteEx.Build

  setup_all do
    {:ok, db} = PgliteEx.start_instance({__MODULE__, make_ref()})
    on_exit(fn -> PgliteEx.stop_instance(db) end)
    %{db: db}
  end

  describe "query" do
    test "gives rows, columns, the command and the count", %{db: db} do
      assert {:ok, %Result{} = result} =
               PgliteEx.query(db, "select n, n * 2 as twice from generate_series(1, 3) n")

      assert result.columns == ["n", "twice"]
      assert result.rows == [[1, 2], [2, 4], [3, 6]]
      assert {result.command, result.num_rows} == {"SELECT", 3}
    end

    test "of what returns no rows", %{db: db} do
      assert %Result{command: "CREATE TABLE", rows: nil, columns: nil, num_rows: 0} =
               PgliteEx.query!(db, "create temp table no_rows (n int)")

      assert %Result{command: "INSERT", num_rows: 2} =
               PgliteEx.query!(db, "insert into no_rows values (1), (2)")

      assert %Result{command: nil, rows: nil} = PgliteEx.query!(db, "")
      assert %Result{rows: []} = PgliteEx.query!(db, "select * from no_rows where false")
    end

    test "notices come with the result", %{db: db} do
      assert %Result{
               notices: [
                 %{severity: "NOTICE", message: "table \"absent\" does not exist, skipping"}
               ]
             } = PgliteEx.query!(db, "drop table if exists absent")
    end

    test "errors have SQLSTATE and fields, and the query", %{db: db} do
      PgliteEx.query!(db, "create temp table one_each (n int primary key)")
      PgliteEx.query!(db, "insert into one_each values (1)")
      sql = "insert into one_each values ($1)"
      assert {:error, %Error{} = error} = PgliteEx.query(db, sql, [1])
      assert {error.reason, error.code, error.query} == {:postgres, "23505", sql}

      assert %{
               constraint: "one_each_pkey",
               table: "one_each",
               detail: "Key (n)=(1) already exists."
             } = error.fields

      assert Exception.message(error) =~ "23505"
      assert_raise Error, ~r/42601/, fn -> PgliteEx.query!(db, "selec") end
      assert value(db, "select 1") == 1
    end

    test "one statement only, and COPY has functions of its own", %{db: db} do
      assert {:error, %Error{code: "42601"}} = PgliteEx.query(db, "select 1; select 2")
      PgliteEx.query!(db, "create temp table copied (n int)")
      assert {:error, %Error{reason: :unsupported}} = PgliteEx.query(db, "copy copied from stdin")
      assert {:error, %Error{reason: :unsupported}} = PgliteEx.exec(db, "copy copied from stdin")
      assert value(db, "select count(*) from copied") == 0

      assert %Result{rows: ["1\n", "2\n"]} =
               PgliteEx.query!(db, "copy (values (1), (2)) to stdout")
    end

    test "arguments that make no sense raise", %{db: db} do
      assert_raise ArgumentError, ~r/has 1 parameters, and 0/, fn ->
        PgliteEx.query(db, "select $1::int")
      end

      assert_raise ArgumentError, ~r/zero byte/, fn -> PgliteEx.query(db, "select 1\0") end

      assert_raise ArgumentError, ~r/zero byte/, fn ->
        PgliteEx.query(db, "select $1", ["a\0"])
      end

      assert_raise ArgumentError, fn -> PgliteEx.query(db, "select $1::int", [{:no}]) end
      assert value(db, "select 1") == 1
    end

    test "statements are prepared again when they have become stale", %{db: db} do
      PgliteEx.query!(db, "create temp table changing (a int)")
      PgliteEx.query!(db, "insert into changing values (1)")
      assert %Result{columns: ["a"]} = PgliteEx.query!(db, "select * from changing")
      PgliteEx.query!(db, "alter table changing add b int")

      assert %Result{columns: ["a", "b"], rows: [[1, nil]]} =
               PgliteEx.query!(db, "select * from changing")

      PgliteEx.query!(db, "deallocate all")
      assert %Result{rows: [[1, nil]]} = PgliteEx.query!(db, "select * from changing")

      assert {:error, %Error{code: "25P02"}} =
               PgliteEx.transaction(db, fn db ->
                 PgliteEx.query!(db, "alter table changing add c int")

                 assert {:error, %Error{code: "0A000"}} =
                          PgliteEx.query(db, "select * from changing")

                 :result
               end)

      assert %Result{columns: ["a", "b"]} = PgliteEx.query!(db, "select * from changing")
    end

    test "no more than some statements are kept", %{db: db} do
      for n <- 1..600, do: assert(value(db, "select #{n}") == n)
      assert value(db, "select count(*) from pg_prepared_statements") <= 251
      for n <- 1..600, do: assert(value(db, "select #{n}") == n)
    end
  end

  describe "exec" do
    test "runs a script, with a result for each statement", %{db: db} do
      script =
        "create temp table scripted (n int, at date); insert into scripted values (1, '2024-02-29'); table scripted"

      assert {:ok,
              [
                %Result{command: "CREATE TABLE"},
                %Result{num_rows: 1},
                %Result{rows: [["1", "2024-02-29"]]}
              ]} = PgliteEx.exec(db, script)
    end

    test "the first error undoes it", %{db: db} do
      assert {:error, %Error{code: "22012"}} =
               PgliteEx.exec(db, "create table undone (); select 1/0")

      assert value(db, "select to_regclass('undone') is null")
    end
  end

  describe "exec_protocol_raw" do
    test "gives the bytes of the answer", %{db: db} do
      assert {:ok, <<?T, _::binary>> = answer} =
               PgliteEx.exec_protocol_raw(db, query_message("select 'raw'"))

      assert answer =~ "raw"

      assert {:ok, <<?E, _::binary>>} =
               PgliteEx.exec_protocol_raw(db, query_message("selec"), timeout: 5000)
    end

    test "what is wrong costs the caller an error, and nobody else anything", %{db: db} do
      assert {:error, %Error{reason: :program}} = PgliteEx.exec_protocol_raw(db, "nonsense")
      assert {:ok, ""} = PgliteEx.exec_protocol_raw(db, "")
      assert {:ok, "N"} = PgliteEx.exec_protocol_raw(db, <<8::32, 80_877_103::32>>)
      assert value(db, "select 1") == 1
    end

    test "a batch without Sync belongs to its caller", %{db: db} do
      parse = [?P, <<4 + 1 + 11 + 2::32>>, <<0>>, "select 'x'", <<0>>, <<0::16>>]
      {:ok, answer} = PgliteEx.exec_protocol_raw(db, [parse, [?H, <<4::32>>]])
      assert answer == <<?1, 4::32>>
      other = Task.async(fn -> value(db, "select 1") end)
      assert Task.yield(other, 50) == nil
      {:ok, <<?Z, 5::32, ?I>>} = PgliteEx.exec_protocol_raw(db, [?S, <<4::32>>])
      assert Task.await(other) == 1
    end
  end

  describe "stream" do
    test "of more rows than are fetched at once", %{db: db} do
      stream =
        PgliteEx.stream(db, "select n from generate_series(1, $1::int) n", [2500], max_rows: 100)

      assert Enum.map(stream, &hd/1) == Enum.to_list(1..2500)
      assert {:ok, %{status: :idle}} = PgliteEx.instance_info(db)
    end

    test "that is left early closes its transaction", %{db: db} do
      assert [[1], [2]] =
               db
               |> PgliteEx.stream("select generate_series(1, 100000)", [], max_rows: 10)
               |> Enum.take(2)

      assert {:ok, %{status: :idle}} = PgliteEx.instance_info(db)
      assert value(db, "select count(*) from pg_cursors where name like 'pglite%'") == 0
    end

    test "of a statement that has become stale", %{db: db} do
      PgliteEx.query!(db, "create temp table growing as select 1 as a")
      stream = PgliteEx.stream(db, "table growing")
      assert Enum.to_list(stream) == [[1]]
      PgliteEx.query!(db, "alter table growing add b int")
      assert Enum.to_list(stream) == [[1, nil]]
      PgliteEx.query!(db, "deallocate all")
      assert Enum.to_list(stream) == [[1, nil]]
      PgliteEx.query!(db, "alter table growing drop b")

      assert {:error, %Error{code: "25P02"}} =
               PgliteEx.transaction(db, fn _ ->
                 assert_raise Error, ~r/0A000/, fn -> Enum.to_list(stream) end
               end)

      assert Enum.to_list(stream) == [[1]]
    end

    test "in a transaction of the caller", %{db: db} do
      assert {:ok, 100} =
               PgliteEx.transaction(db, fn db ->
                 PgliteEx.query!(
                   db,
                   "create temp table streamed on commit drop as select generate_series(1, 100) n"
                 )

                 db |> PgliteEx.stream("table streamed") |> Enum.count()
               end)
    end

    test "errors are raised, and leave nothing behind", %{db: db} do
      assert_raise Error, ~r/42P01/, fn ->
        db |> PgliteEx.stream("table absent") |> Enum.to_list()
      end

      assert_raise Error, ~r/22012/, fn ->
        db
        |> PgliteEx.stream("select 1/(50 - n) from generate_series(1, 100) n", [], max_rows: 10)
        |> Enum.to_list()
      end

      assert_raise RuntimeError, fn ->
        db
        |> PgliteEx.stream("select generate_series(1, 100)")
        |> Enum.each(fn _ -> raise "mine" end)
      end

      assert {:ok, %{status: :idle}} = PgliteEx.instance_info(db)
    end
  end

  describe "copy" do
    test "in and out, in pieces of any size", %{db: db} do
      PgliteEx.query!(db, "create temp table goods (n int, name text)")

      assert %Result{command: "COPY", num_rows: 50_000} =
               1..50_000
               |> Stream.map(&"#{&1}\tname #{&1}\n")
               |> Enum.into(PgliteEx.copy_in(db, "copy goods from stdin"))

      assert value(db, "select sum(n) from goods") == 1_250_025_000
      out = PgliteEx.copy_out(db, "copy goods to stdout (format csv)")
      assert Enum.count(out) == 50_000
      assert Enum.take(out, 2) == ["1,name 1\n", "2,name 2\n"]

      # Iodata, and a piece that is larger than what is sent at once.
      large = String.duplicate("y", 200_000)

      assert %Result{num_rows: 1} =
               Enum.into([["1\t", large], "\n"], PgliteEx.copy_in(db, "copy goods from stdin"))

      assert value(db, "select max(length(name)) from goods") == 200_000
    end

    test "errors of PostgreSQL, of the writer, and of the statement", %{db: db} do
      PgliteEx.query!(db, "create temp table numbers (n int)")
      copy = PgliteEx.copy_in(db, "copy numbers from stdin")
      assert_raise Error, ~r/22P02/, fn -> Enum.into(["1\n", "two\n"], copy) end

      assert_raise Error, ~r/22P02/, fn ->
        Stream.repeatedly(fn -> String.duplicate("x\n", 50_000) end) |> Enum.into(copy)
      end

      assert_raise RuntimeError, fn ->
        Stream.map(1..3, fn _ -> raise "mine" end) |> Enum.into(copy)
      end

      assert_raise Error, fn -> Enum.into([], PgliteEx.copy_in(db, "select 1")) end

      assert_raise Error, ~r/42P01/, fn ->
        Enum.into([], PgliteEx.copy_in(db, "copy absent from stdin"))
      end

      assert value(db, "select count(*) from numbers") == 0
      assert {:ok, %{status: :idle}} = PgliteEx.instance_info(db)
    end
  end

  describe "transaction" do
    test "commits, rolls back, and has savepoints inside", %{db: db} do
      PgliteEx.query!(db, "create temp table kept (n int)")
      insert = &PgliteEx.query!(db, "insert into kept values ($1)", [&1])
      all = fn -> PgliteEx.query!(db, "select n from kept order by n").rows |> List.flatten() end
      assert {:ok, :done} = PgliteEx.transaction(db, fn _ -> insert.(1) && :done end)

      assert {:error, :mine} =
               PgliteEx.transaction(db, fn db -> insert.(2) && PgliteEx.rollback(db, :mine) end)

      assert_raise RuntimeError, fn ->
        PgliteEx.transaction(db, fn _ -> insert.(3) && raise("mine") end)
      end

      assert catch_throw(PgliteEx.transaction(db, fn _ -> insert.(4) && throw(:ball) end)) ==
               :ball

      assert all.() == [1]

      assert {:ok, _} =
               PgliteEx.transaction(db, fn db ->
                 insert.(5)

                 assert {:error, :inner} =
                          PgliteEx.transaction(db, fn db ->
                            insert.(6) && PgliteEx.rollback(db, :inner)
                          end)

                 assert {:ok, _} = PgliteEx.transaction(db, fn _ -> insert.(7) end)

                 assert {:error, _} =
                          PgliteEx.transaction(db, fn db -> PgliteEx.query(db, "select 1/0") end)

                 insert.(8)
               end)

      assert all.() == [1, 5, 7, 8]

      assert {:error, %Error{code: "25P02"}} =
               PgliteEx.transaction(db, fn db -> PgliteEx.query(db, "select 1/0") end)

      assert {:ok, %{status: :idle}} = PgliteEx.instance_info(db)
    end

    test "has the session alone", %{db: db} do
      me = self()

      holder =
        Task.async(fn ->
          PgliteEx.transaction(db, fn db ->
            PgliteEx.query!(db, "select set_config('app.mine', 'yes', true)")
            send(me, :begun)
            receive(do: (:go -> value(db, "select current_setting('app.mine')")))
          end)
        end)

      assert_receive :begun

      other =
        Task.async(fn -> value(db, "select coalesce(current_setting('app.mine', true), '')") end)

      assert Task.yield(other, 50) == nil
      send(holder.pid, :go)
      assert Task.await(holder) == {:ok, "yes"}
      assert Task.await(other) == ""
    end
  end

  describe "notifications" do
    test "go to those who listen, with channel and payload", %{db: db} do
      {:ok, ref} = PgliteEx.listen(db, "News \"of\" today")
      {:ok, other} = PgliteEx.listen(db, "other")
      PgliteEx.query!(db, "select pg_notify('News \"of\" today', $1)", ["hello"])
      assert_receive {:notification, pid, ^ref, "News \"of\" today", "hello"} when is_pid(pid)
      refute_received {:notification, _, ^other, _, _}
      assert :ok = PgliteEx.unlisten(db, ref)
      PgliteEx.query!(db, "select pg_notify('News \"of\" today', 'again')")
      refute_receive {:notification, _, ^ref, _, _}, 20
      assert PgliteEx.query!(db, "select pg_listening_channels()").rows == [["other"]]
      PgliteEx.unlisten(db, other)
    end

    test "a listener that dies is forgotten", %{db: db} do
      task = Task.async(fn -> PgliteEx.listen(db, "short") end)
      assert {:ok, _} = Task.await(task)

      eventually(fn ->
        PgliteEx.query!(db, "select 1 from pg_listening_channels() c where c = 'short'").rows ==
          []
      end)
    end

    test "a name that PostgreSQL does not take", %{db: db} do
      assert {:error, %Error{code: "42601"}} = PgliteEx.listen(db, "")
    end
  end

  test "there is no such instance" do
    assert {:error, %Error{reason: :not_found}} = PgliteEx.query(:absent, "select 1")
    assert {:error, %Error{reason: :not_found}} = PgliteEx.query(self(), "select 1")
    assert {:error, %Error{reason: :not_found}} = PgliteEx.stop_instance(:absent)
    assert {:error, %Error{reason: :not_found}} = PgliteEx.instance_info(:absent)
  end

  defp query_message(sql), do: [?Q, <<byte_size(sql) + 5::32>>, sql, 0]
end
