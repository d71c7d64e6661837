defmodule PgliteEx.ServerTest do
  use PgliteEx.Case, async: true
  alias PgliteEx.{Client, Template}
  alias PgliteEx.Bridge.PortBridge

  @directory Path.expand("../../_build", __DIR__)

  defp entry(instance) do
    {:ok, _, %{place: place}} = PgliteEx.Instance.fetch(instance)
    place
  end

  defp sql(instance, text, database \\ "postgres"),
    do: Client.run(entry(instance), database, text)

  test "TCP: options and URL" do
    pid = start_pg(server: [port: 0], username: "o'neill", database: "my db")

    assert {:ok, %{mode: :server, host: "127.0.0.1", port: port, socket_dir: nil}} =
             PgliteEx.instance_info(pid)

    assert PgliteEx.url(pid) == "postgresql://o%27neill@127.0.0.1:#{port}/my%20db"

    assert PgliteEx.postgrex_options(pid) ==
             [hostname: "127.0.0.1", port: port, username: "o'neill", database: "my db"]

    assert {:ok, [%Result{rows: [["o'neill", "my db"]]}]} =
             sql(pid, "select current_user, current_database()", "my db")
  end

  test "a Unix socket: options and URL" do
    directory = tmp_dir()
    pid = start_pg(server: [socket_dir: directory, socket_port: 6543])
    assert PgliteEx.postgrex_options(pid)[:socket_dir] == directory
    assert PgliteEx.postgrex_options(pid)[:port] == 6543
    refute Keyword.has_key?(PgliteEx.postgrex_options(pid), :hostname)
    encoded = URI.encode_www_form(directory)

    assert PgliteEx.url(pid) ==
             "postgresql://postgres@localhost:6543/postgres?socket_dir=#{encoded}"

    assert {:ok, [%Result{rows: [["1"]]}]} = sql(pid, "select 1")
  end

  # Of other instances there may be some for a moment.
  defp left, do: Path.wildcard(Path.join(System.tmp_dir!(), "pglite_ex-*"))

  test "both, IPv6, and a password that is asked for" do
    before = left()

    pid =
      start_pg(
        server: [
          socket_dir: tmp_dir(),
          port: 0,
          host: "::1",
          password: "it's & secret",
          auth: :scram
        ]
      )

    assert %{host: "::1", port: port} = entry(pid)

    assert PgliteEx.url(pid) ==
             "postgresql://postgres:it%27s%20%26%20secret@[::1]:#{port}/postgres"

    assert PgliteEx.postgrex_options(pid)[:password] == "it's & secret"
    assert {:error, %Error{reason: :unsupported}} = sql(pid, "select 1")

    # The file that it was in has gone.
    eventually(fn -> left() -- before == [] end)
  end

  test "a restart keeps the port, so that pools find it" do
    start_pg(name: :same_port, server: [port: 0])
    url = PgliteEx.url(:same_port)
    {:ok, %{pid: pid, os_pid: os_pid}} = PgliteEx.instance_info(:same_port)
    {:ok, socket} = :gen_tcp.connect('127.0.0.1', entry(:same_port).port, [])
    kill(os_pid)

    eventually(fn ->
      match?({:ok, %{pid: other}} when other != pid, PgliteEx.instance_info(:same_port))
    end)

    assert PgliteEx.url(:same_port) == url
    assert {:ok, _} = sql(:same_port, "select 1")
    :gen_tcp.close(socket)
  end

  test "a port that somebody else has" do
    Process.flag(:trap_exit, true)
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)

    assert {:error, %Error{message: message}} =
             PgliteEx.start_link(server: [port: port], lock_timeout: 100)

    assert message =~ "in use"
  end

  test "what a server does not do says so" do
    pid = start_pg(server: true)

    assert {:error, %Error{reason: :unsupported, message: message}} =
             PgliteEx.query(pid, "select 1")

    assert message =~ "postgrex_options"
    assert {:error, %Error{reason: :unsupported}} = PgliteEx.snapshot(pid, "x")
    assert_raise Error, fn -> PgliteEx.copy_in(pid, "copy t from stdin") end
    port = start_pg()
    assert_raise ArgumentError, ~r/is no server/, fn -> PgliteEx.url(port) end
    assert {:error, %Error{reason: :unsupported}} = Template.create_database(port)
    assert_raise Error, fn -> PgliteEx.url(:absent) end
  end

  test "settings are there" do
    pid = start_pg(server: [port: 0], settings: [max_connections: 33])
    assert {:ok, [%Result{rows: [["33"]]}]} = sql(pid, "show max_connections")
  end

  test "a database for each test, of a template" do
    pid = start_pg(server: [port: 0])
    {:ok, _} = sql(pid, "create database app")
    {:ok, _} = sql(pid, "create table things as select generate_series(1, 10) n", "app")

    1..5
    |> Task.async_stream(fn _ ->
      {:ok, name} = Template.create_database(pid, template: "app")

      assert {:ok, [%Result{command: "DELETE", num_rows: 10}]} =
               sql(pid, "delete from things", name)

      name
    end)
    |> Enum.each(fn {:ok, name} -> assert :ok = Template.drop_database(pid, name) end)

    assert {:ok, [%Result{rows: [["10"]]}]} = sql(pid, "select count(*) from things", "app")
    assert {:ok, [%Result{rows: [["4"]]}]} = sql(pid, "select count(*) from pg_database")
    assert {:ok, "na\"med"} = Template.create_database(pid, name: "na\"med", strategy: :wal_log)
    assert {:error, %Error{code: "42P04"}} = Template.create_database(pid, name: "na\"med")
    assert {:error, %Error{code: "3D000"}} = Template.create_database(pid, template: "absent")
  end

  describe "a snapshot to start from" do
    test "is made once, and again when its key changes or it fails" do
      path = Path.join(tmp_dir(), "app.snapshot")
      me = self()

      build = fn key ->
        Template.build(path, [server: false, key: key], fn pg ->
          send(me, {:built, key})
          if key == :bad, do: raise("mine")
          PgliteEx.exec!(pg, "create table versions as select '#{key}' as version")
        end)
      end

      for {key, made} <- [a: true, a: false, b: true, b: false, a: true] do
        assert {:ok, ^path} = build.(key)
        if made, do: assert_received({:built, ^key}), else: refute_received({:built, _})
        assert value(start_pg(snapshot: path), "select version from versions") == to_string(key)
      end

      assert_raise RuntimeError, fn -> build.(:bad) end

      assert {:error, %Error{reason: :program}} =
               Template.build(path, [server: false, key: :killed], fn pg ->
                 ref = Process.monitor(pg)
                 kill(os_pid(pg))
                 assert_receive {:DOWN, ^ref, :process, _, _}, 5000
               end)

      assert {:ok, ^path} = build.(:c)
      assert Enum.sort(File.ls!(Path.dirname(path))) == ["app.snapshot", "app.snapshot.key"]
    end

    test "many start from one, each with its own" do
      {:ok, path} =
        Template.build(Path.join(tmp_dir(), "many"), [server: false], fn pg ->
          PgliteEx.exec!(pg, "create table mine (n int)")
        end)

      1..10
      |> Enum.map(&{&1, start_pg(snapshot: path)})
      |> Task.async_stream(fn {n, pg} ->
        PgliteEx.query!(pg, "insert into mine values ($1)", [n])
        assert PgliteEx.query!(pg, "select n from mine").rows == [[n]]
      end)
      |> Enum.each(&assert({:ok, _} = &1))
    end

    @tag :server_snapshot
    test "by servers" do
      {:ok, path} =
        Template.build(Path.join(tmp_dir(), "served"), [], fn pg ->
          {:ok, _} = sql(pg, "create table things as select 5 as n")
        end)

      for _ <- 1..3 do
        pg = start_pg(snapshot: path, server: [port: 0])
        assert {:ok, [%Result{rows: [["5"]]}]} = sql(pg, "select n from things")
        {:ok, _} = sql(pg, "drop table things")
        assert value(start_pg(snapshot: path), "select n from things") == 5
      end
    end

    test "a digest changes with files and their names" do
      directory = tmp_dir()
      digests = fn -> Template.digest([directory <> "/**", "#{@directory}/absent*"]) end
      empty = digests.()
      File.write!(directory <> "/1.sql", "select 1")
      one = digests.()
      File.write!(directory <> "/1.sql", "select 2")
      two = digests.()
      File.rename!(directory <> "/1.sql", directory <> "/2.sql")
      assert Enum.uniq([empty, one, two, digests.()]) |> length() == 4
    end
  end

  describe "a port's" do
    test "snapshot goes on with the session, and others start from it" do
      before_all = left()
      db = start_pg(database: "mine", settings: [work_mem: "5MB"])

      PgliteEx.exec!(
        db,
        "create table t as select 1 as n; create temp table session as select 2 as n; set application_name = 'kept'"
      )

      assert value(db, "select n from session") == 2
      {:ok, ref} = PgliteEx.listen(db, "news")
      path = Path.join(tmp_dir(), "snapshot")
      before = os_pid(db)

      # Callers meanwhile wait.
      callers =
        for n <- 1..20,
            do: Task.async(fn -> Process.sleep(n * 5) && value(db, "select $1::int", [n]) end)

      assert :ok = PgliteEx.snapshot(db, path)
      assert Task.await_many(callers) == Enum.to_list(1..20)
      assert os_pid(db) != before
      refute alive?(before)
      assert value(db, "select n from session") == 2
      assert value(db, "show application_name") == "kept"
      assert value(db, "show work_mem") == "5MB"
      PgliteEx.query!(db, "insert into t values (2)")
      PgliteEx.query!(db, "notify news")
      assert_receive {:notification, _, ^ref, "news", ""}
      assert Bitwise.band(File.stat!(path).mode, 0o777) == 0o600

      other = start_pg(snapshot: path)
      assert value(other, "select count(*) from t") == 1
      assert value(other, "select current_database()") == "mine"
      assert :ok = PgliteEx.snapshot(other, path)
      assert value(start_pg(snapshot: path), "select count(*) from t") == 1
      assert {:error, %Error{reason: :program}} = PgliteEx.snapshot(db, "/nonexistent/x")
      assert value(db, "select count(*) from t") == 2

      assert {:ok, {:error, %Error{reason: :unsupported}}} =
               PgliteEx.transaction(db, fn db -> PgliteEx.snapshot(db, path) end)

      eventually(fn -> left() -- before_all == [] end)
    end

    test "snapshot is written when it is stopped, where that is asked for" do
      path = Path.join(tmp_dir(), "snapshot")
      {:ok, _} = PgliteEx.start_instance(:saving, save_snapshot: path)
      PgliteEx.exec!(:saving, "create table t as select 7 as n")
      :ok = PgliteEx.stop_instance(:saving)
      assert value(start_pg(snapshot: path), "select n from t") == 7
    end

    test "dump of memory is SQL" do
      db = start_pg()
      PgliteEx.exec!(db, "create table t as select 7 as n")
      path = Path.join(tmp_dir(), "dump.sql")
      assert :ok = PgliteEx.dump(db, path)
      assert File.read!(path) =~ "CREATE TABLE public.t"
      assert {:error, %Error{reason: :unsupported}} = PgliteEx.dump(db, path, format: :archive)
      assert value(db, "select n from t") == 7
    end

    test "dump of a directory is an archive, or SQL, and is restored" do
      directory = tmp_dir()
      db = start_pg(data_dir: directory <> "/pg", durability: :relaxed, database: "shop")
      PgliteEx.exec!(db, "create table t as select 7 as n")
      assert value(db, "select n from t") == 7
      {:ok, ref} = PgliteEx.listen(db, "news")

      callers =
        for n <- 1..10,
            do: Task.async(fn -> Process.sleep(n * 5) && value(db, "select $1::int", [n]) end)

      assert :ok = PgliteEx.dump(db, directory <> "/dump.tar.gz", gzip: true)
      assert Task.await_many(callers) == Enum.to_list(1..10)
      assert <<0x1F, 0x8B, _::binary>> = File.read!(directory <> "/dump.tar.gz")
      assert :ok = PgliteEx.dump(db, directory <> "/dump.sql", format: :sql)
      assert File.read!(directory <> "/dump.sql") =~ "CREATE TABLE public.t"
      assert value(db, "select n from t") == 7
      PgliteEx.query!(db, "notify news")
      assert_receive {:notification, _, ^ref, "news", ""}

      # What was prepared before is not bound after it.
      {:ok, pid, %{statements: statements}} = PgliteEx.Instance.fetch(db)
      {:ok, statement} = PortBridge.prepare(pid, statements, "select 1", :infinity)
      assert :ok = PgliteEx.dump(db, directory <> "/again.tar")
      assert :new_session = PortBridge.request_bound(pid, statement, "", :infinity)
      assert value(db, "select 1") == 1

      assert :ok = PgliteEx.restore(directory <> "/dump.tar.gz", directory <> "/restored")

      assert {:error, %Error{reason: :program}} =
               PgliteEx.restore(directory <> "/dump.tar.gz", directory <> "/restored")

      assert {:error, %Error{reason: :program}} =
               PgliteEx.restore(directory <> "/dump.sql", directory <> "/other")

      restored = start_pg(data_dir: "file://" <> directory <> "/restored", database: "shop")
      assert value(restored, "select n from t") == 7
      assert {:error, %Error{reason: :unsupported}} = PgliteEx.snapshot(restored, "x")
      assert {:error, %Error{reason: :program}} = PgliteEx.dump(restored, "/nonexistent/x")
      assert value(restored, "select n from t") == 7
    end
  end
end
