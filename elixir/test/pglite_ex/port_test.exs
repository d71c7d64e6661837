defmodule PgliteEx.PortTest do
  @moduledoc "Who gets which answer, and what becomes of the session when somebody dies, gives up, or takes too long."
  use PgliteEx.Case, async: true

  test "50 processes query one instance, 1,000 times each, and each gets its own answers" do
    db = start_pg()

    1..50
    |> Task.async_stream(
      fn process ->
        for n <- 1..1000,
            mine = process * 10_000 + n,
            do: ^mine = value(db, "select $1::int8", [mine])

        :ok
      end,
      max_concurrency: 50,
      timeout: :infinity
    )
    |> Enum.each(&assert(&1 == {:ok, :ok}))
  end

  test "20 instances at once, each with data of its own" do
    1..20
    |> Enum.map(&{&1, start_pg(name: {:one_of_many, &1})})
    |> Task.async_stream(
      fn {n, db} ->
        PgliteEx.exec!(db, "create table mine (n int); insert into mine values (#{n})")
        for _ <- 1..20, do: assert(value({:one_of_many, n}, "select n from mine") == n)
      end,
      max_concurrency: 20,
      timeout: :infinity
    )
    |> Enum.each(&assert({:ok, _} = &1))
  end

  describe "a time-out" do
    test "cancels the query, and nobody else gets its answer" do
      db = start_pg()

      for _ <- 1..3 do
        assert {:error, %Error{reason: :timeout}} = PgliteEx.query(db, endless(), [], timeout: 50)
        assert value(db, "select 'after'") == "after"
      end

      assert {:error, %Error{reason: :timeout}} =
               PgliteEx.exec(db, "select pg_sleep(100)", timeout: 50)

      assert value(db, "select 'after'") == "after"
    end

    test "in the queue takes the caller out of it" do
      db = start_pg()
      runs = Task.async(fn -> PgliteEx.query(db, "select pg_sleep(2), 'mine'") end)
      until_busy(db)

      assert {:error, %Error{reason: :timeout}} =
               PgliteEx.query(db, "select 'late'", [], timeout: 20)

      assert {:ok, %{waiting: 0}} = PgliteEx.instance_info(db)
      assert {:ok, %Result{rows: [[_, "mine"]]}} = Task.await(runs)
      assert value(db, "select 'after'") == "after"
    end

    test "of a query that catches the cancel" do
      db = start_pg()

      stubborn = """
      do $$ begin
        for n in 1..3 loop
          begin perform pg_sleep(100); exception when query_canceled then null; end;
        end loop;
      end $$
      """

      assert {:error, %Error{reason: :timeout}} = PgliteEx.exec(db, stubborn, timeout: 50)
      assert value(db, "select 'after'", [], timeout: 60_000) == "after"
    end

    test "in a transaction leaves it to its owner, as failed" do
      db = start_pg()

      assert {:error, %Error{code: "25P02"}} =
               PgliteEx.transaction(db, fn db ->
                 assert {:error, %Error{reason: :timeout}} =
                          PgliteEx.query(db, endless(), [], timeout: 50)

                 assert {:error, %Error{code: "25P02"}} = PgliteEx.query(db, "select 1")
               end)

      assert value(db, "select 1") == 1
    end

    test "of a script that has begun a transaction rolls it back" do
      db = start_pg()

      assert {:error, %Error{reason: :timeout}} =
               PgliteEx.exec(db, "begin; create table t (); #{endless()}", timeout: 100)

      other = Task.async(fn -> value(db, "select to_regclass('t') is null") end)
      assert Task.await(other)
    end
  end

  describe "a caller that dies" do
    test "has its query cancelled, and its place in the queue given up" do
      db = start_pg()
      {:ok, runs} = Task.start(fn -> PgliteEx.query(db, endless(), [], timeout: :infinity) end)
      until_busy(db)

      {:ok, waits} =
        Task.start(fn -> PgliteEx.query(db, "create table never ()", [], timeout: :infinity) end)

      eventually(fn -> match?({:ok, %{waiting: 1}}, PgliteEx.instance_info(db)) end)
      Process.exit(waits, :kill)
      eventually(fn -> match?({:ok, %{waiting: 0}}, PgliteEx.instance_info(db)) end)
      Process.exit(runs, :kill)
      assert value(db, "select to_regclass('never') is null")
    end

    test "in a transaction has it rolled back" do
      db = start_pg()
      me = self()

      {:ok, holder} =
        Task.start(fn ->
          PgliteEx.transaction(db, fn db ->
            PgliteEx.query!(db, "create table t ()")
            send(me, :begun)
            Process.sleep(:infinity)
          end)
        end)

      assert_receive :begun, 5000
      other = Task.async(fn -> value(db, "select to_regclass('t') is null") end)
      assert Task.yield(other, 50) == nil
      Process.exit(holder, :kill)
      assert Task.await(other)
    end

    test "in COPY, in a batch and in a stream leaves the session at rest" do
      db = start_pg()
      PgliteEx.query!(db, "create table t (n int)")
      me = self()
      wait = fn -> send(me, :there) && Process.sleep(:infinity) end

      for work <- [
            fn ->
              Stream.map(1..100_000, &if(&1 == 90_000, do: wait.(), else: "#{&1}\n"))
              |> Enum.into(PgliteEx.copy_in(db, "copy t from stdin"))
            end,
            fn ->
              {:ok, _} =
                PgliteEx.exec_protocol_raw(db, ["P", <<17::32>>, 0, "select 1", 0, <<0::16>>]) &&
                  wait.()
            end,
            fn ->
              db
              |> PgliteEx.stream("select generate_series(1, 10000)")
              |> Enum.each(fn _ -> wait.() end)
            end,
            fn -> PgliteEx.query!(db, "begin") && wait.() end
          ] do
        {:ok, pid} = Task.start(work)
        assert_receive :there, 10_000
        Process.exit(pid, :kill)
        assert value(db, "select count(*) from t") == 0
        assert {:ok, %{status: :idle}} = PgliteEx.instance_info(db)
      end
    end

    test "at any time, with no answer going astray" do
      kill_at_random(start_pg(), 3_000)
    end

    test "at any time, while snapshots and dumps end the program and start it again" do
      directory = tmp_dir()
      memory = start_pg()
      snapshot = fn -> PgliteEx.snapshot(memory, directory <> "/snapshot") end
      assert kill_at_random(memory, 3_000, snapshot) > 1
      sql = fn -> PgliteEx.dump(memory, directory <> "/dump.sql") end
      assert kill_at_random(memory, 3_000, sql) > 1

      kept = start_pg(data_dir: directory <> "/pg", durability: :relaxed)
      archive = fn -> PgliteEx.dump(kept, directory <> "/dump.tar") end
      assert kill_at_random(kept, 3_000, archive) > 1
    end

    @tag :heavy
    @tag timeout: 180_000
    test "at any time, for a minute" do
      kill_at_random(start_pg(), 60_000)
    end

    @tag :heavy
    @tag timeout: 180_000
    test "at any time, while snapshots are made, for a minute" do
      path = Path.join(tmp_dir(), "snapshot")
      db = start_pg()
      assert kill_at_random(db, 60_000, fn -> PgliteEx.snapshot(db, path) end) > 10
    end
  end

  # Callers that check each of their answers; some are killed, some give up. Those that are left must never see an
  # answer of another, and the session is at rest in the end. Meanwhile `operation` is done over and over; how often it was
  # is returned.
  defp kill_at_random(db, milliseconds, operation \\ fn -> :ok end) do
    PgliteEx.query!(db, "create table if not exists written (n int8)")
    deadline = System.monotonic_time(:millisecond) + milliseconds
    me = self()
    supervisor = start_supervised!(Task.Supervisor)

    start = fn seed ->
      Task.Supervisor.start_child(supervisor, fn ->
        try do
          call_until(db, me, seed, deadline)
        rescue
          error -> send(me, {:astray, error})
        end
      end)
    end

    for seed <- 1..20, do: start.(seed)
    operations = Task.async(fn -> repeat_until(operation, deadline, 0) end)

    kills =
      Stream.iterate(21, &(&1 + 1))
      |> Enum.reduce_while(0, fn seed, kills ->
        Process.sleep(:rand.uniform(10))

        case Task.Supervisor.children(supervisor) do
          [_ | _] = children -> Process.exit(Enum.random(children), :kill)
          [] -> :ok
        end

        start.(seed)

        if System.monotonic_time(:millisecond) < deadline,
          do: {:cont, kills + 1},
          else: {:halt, kills}
      end)

    eventually(fn -> Task.Supervisor.children(supervisor) == [] end, 3000)
    done = Task.await(operations, 60_000)
    refute_received {:astray, _}
    assert kills > 10
    assert value(db, "select 'the end'") == "the end"
    assert {:ok, %{status: :idle, waiting: 0}} = PgliteEx.instance_info(db)
    stop_supervised!(Task.Supervisor)
    done
  end

  defp repeat_until(operation, deadline, count) do
    assert operation.() == :ok
    Process.sleep(20)

    if System.monotonic_time(:millisecond) < deadline,
      do: repeat_until(operation, deadline, count + 1),
      else: count + 1
  end

  defp call_until(db, me, seed, deadline) do
    :rand.seed(:exsss, seed)
    call_until(db, me, deadline)
  end

  defp call_until(db, me, deadline) do
    mine = System.unique_integer([:positive])

    found =
      case :rand.uniform(6) do
        1 ->
          value(db, "select $1::int8", [mine])

        2 ->
          PgliteEx.query(db, "select pg_sleep(0.02), $1::int8", [mine],
            timeout: Enum.random([5, 15_000])
          )

        3 ->
          db
          |> PgliteEx.stream("select $1::int8 from generate_series(1, 50)", [mine], max_rows: 7)
          |> Enum.uniq()

        4 ->
          PgliteEx.exec(db, "select #{mine}")

        5 ->
          Enum.into(
            Stream.repeatedly(fn -> "#{mine}\n" end) |> Stream.take(20_000),
            PgliteEx.copy_in(db, "copy written from stdin")
          )

        6 ->
          PgliteEx.transaction(db, fn db ->
            PgliteEx.query!(db, "insert into written values ($1)", [mine]) &&
              value(db, "select $1::int8", [mine])
          end)
      end

    right =
      case found do
        ^mine -> true
        {:ok, ^mine} -> true
        [[^mine]] -> true
        {:ok, %Result{rows: [[_, ^mine]]}} -> true
        {:ok, [%Result{rows: [[text]]}]} -> text == "#{mine}"
        %Result{command: "COPY", num_rows: 20_000} -> true
        {:error, %Error{reason: :timeout}} -> true
        _ -> false
      end

    unless right, do: send(me, {:astray, {mine, found}})
    if System.monotonic_time(:millisecond) < deadline, do: call_until(db, me, deadline)
  end

  test "callers may wait no more than :max_queue says" do
    db = start_pg(max_queue: 2)
    tasks = for _ <- 1..3, do: Task.async(fn -> PgliteEx.query(db, "select pg_sleep(1)") end)
    eventually(fn -> match?({:ok, %{waiting: 2}}, PgliteEx.instance_info(db)) end)
    assert {:error, %Error{reason: :overloaded}} = PgliteEx.query(db, "select 1")
    assert Enum.all?(Task.await_many(tasks), &match?({:ok, _}, &1))
  end

  test "a parameter and a result of 50 MB" do
    db = start_pg()
    bytes = :crypto.strong_rand_bytes(50_000_000)
    assert value(db, "select $1::bytea", [bytes], timeout: 60_000) == bytes
    text = String.duplicate("0123456789", 5_000_000)
    assert value(db, "select $1::text", [text], timeout: 60_000) == text
    # One whose time is up while the program still reads it.
    assert {:error, %Error{reason: :timeout}} =
             PgliteEx.query(db, "select length($1::bytea)", [bytes], timeout: 1)

    assert value(db, "select 'after'", [], timeout: 60_000) == "after"
  end

  @tag :heavy
  @tag timeout: 300_000
  test "an answer that is too large is an error, and the session is known again" do
    db = start_pg()
    large = "select repeat('x', 500000000) from generate_series(1, 5)"

    # In a transaction of its own, of which the answer would tell.
    assert {:error, %Error{reason: :program, message: message}} =
             PgliteEx.exec(db, "begin; #{large}", timeout: :infinity)

    assert message =~ "larger than"
    assert {:ok, %{status: :busy}} = PgliteEx.instance_info(db)
    PgliteEx.exec!(db, "rollback")
    assert {:ok, %{status: :idle}} = PgliteEx.instance_info(db)
  end

  describe "the end of the program" do
    test "is an error for all that wait, and the end of the instance" do
      {:ok, db} = PgliteEx.start_instance(:to_be_killed)

      tasks =
        for _ <- 1..5,
            do:
              Task.async(fn ->
                PgliteEx.query(db, "select pg_sleep(100)", [], timeout: :infinity)
              end)

      eventually(fn -> match?({:ok, %{waiting: 4}}, PgliteEx.instance_info(db)) end)
      ref = Process.monitor(db)
      kill(os_pid(db))

      for task <- tasks,
          do: assert({:error, %Error{reason: {:exit_status, 137}}} = Task.await(task))

      assert_receive {:DOWN, ^ref, :process, _, {:program_exited, 137}}, 5000
      assert {:error, %Error{reason: :not_found}} = PgliteEx.query(db, "select 1")
      # Its supervisor has another one.
      eventually(fn -> match?({:ok, _}, PgliteEx.query(:to_be_killed, "select 1")) end)
      PgliteEx.stop_instance(:to_be_killed)
    end

    test "while it is written to, over and over" do
      Process.flag(:trap_exit, true)

      for _ <- 1..25 do
        {:ok, db} = PgliteEx.start_link()
        os_pid = os_pid(db)
        large = String.duplicate("x", 200_000)
        tasks = for _ <- 1..3, do: Task.async(fn -> last_answer(db, large) end)
        Process.sleep(:rand.uniform(20))
        kill(os_pid)
        for task <- tasks, do: assert(%Error{} = Task.await(task, 20_000))
        assert_receive {:EXIT, ^db, {:program_exited, _}}, 5000
      end
    end

    test "by PostgreSQL, which says why" do
      {:ok, db} = PgliteEx.start_instance(:to_be_ended)

      assert {:error, %Error{code: "57P01"}} =
               PgliteEx.query(db, "select pg_terminate_backend(pg_backend_pid())")

      eventually(fn -> not Process.alive?(db) end)
      PgliteEx.stop_instance(:to_be_ended)
    end

    test "an idle session's time-out" do
      {:ok, db} = PgliteEx.start_instance(:to_be_timed_out)
      ref = Process.monitor(db)
      PgliteEx.query!(db, "set idle_session_timeout = 50")
      assert_receive {:DOWN, ^ref, :process, _, {:program_exited, 70}}, 5000
      PgliteEx.stop_instance(:to_be_timed_out)
    end

    test "at random, with errors for callers and a new instance after each" do
      kill_program_at_random(8)
    end

    @tag :heavy
    @tag timeout: 600_000
    test "at random, 200 times" do
      kill_program_at_random(200)
    end
  end

  defp kill_program_at_random(times) do
    supervisor = start_supervised!({DynamicSupervisor, max_restarts: 1000})

    {:ok, _} =
      DynamicSupervisor.start_child(
        supervisor,
        {PgliteEx, name: :killed_at_random, data_dir: tmp_dir() <> "/pg", durability: :relaxed}
      )

    PgliteEx.query!(:killed_at_random, "create table t (n int)")
    me = self()

    writer =
      Task.async(fn ->
        Stream.iterate(1, &(&1 + 1))
        |> Enum.reduce_while([], fn n, kept ->
          kept =
            if match?(
                 {:ok, _},
                 PgliteEx.query(:killed_at_random, "insert into t values ($1)", [n])
               ),
               do: [n | kept],
               else: kept

          if Process.alive?(me) and not stopped?(), do: {:cont, kept}, else: {:halt, kept}
        end)
      end)

    for _ <- 1..times do
      Process.sleep(:rand.uniform(150))

      with {:ok, %{os_pid: os_pid}} <- PgliteEx.instance_info(:killed_at_random),
           do: System.cmd("/bin/sh", ["-c", "kill -9 #{os_pid}"], stderr_to_stdout: true)
    end

    send(writer.pid, :stop)
    kept = Task.await(writer, 30_000)

    rows =
      eventually(fn ->
        with(
          {:ok, %{rows: rows}} <- PgliteEx.query(:killed_at_random, "select n from t"),
          do: List.flatten(rows),
          else: (_ -> nil)
        )
      end)

    # What was acknowledged is there.
    assert kept -- rows == []
  end

  defp last_answer(db, large) do
    case PgliteEx.query(db, "select length($1)", [large]) do
      {:ok, %Result{rows: [[200_000]]}} -> last_answer(db, large)
      {:error, error} -> error
    end
  end

  defp stopped? do
    receive do
      :stop -> true
    after
      0 -> false
    end
  end
end
