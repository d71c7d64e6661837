defmodule PgliteEx.SupervisionTest do
  @moduledoc "Starting, stopping, restarting; what is left when something is killed."
  use PgliteEx.Case, async: true
  alias PgliteEx.Program

  test "options that make no sense raise, and say what is accepted" do
    for {options, message} <- [
          {[dat_dir: "x"], ~r/unknown option :dat_dir; accepted is one of/},
          {[data_dir: "idb://x"], ~r/accepted is "memory:\/\/"/},
          {[data_dir: "memory:"], ~r/accepted is "memory:\/\/"/},
          {[data_dir: "file:data"], ~r/accepted is "memory:\/\/"/},
          {[data_dir: nil], ~r/data_dir: nil/},
          {[server: [prot: 5]], ~r/unknown option :prot of :server/},
          {[server: [port: 70_000]], ~r/0 to 65535/},
          {[server: [auth: :md5]], ~r/:scram/},
          {[server: 5432], ~r/keyword list/},
          {[timeout: 0], ~r/positive/},
          {[debug: 6], ~r/0 to 5/},
          {[username: ""], ~r/1 to 63 bytes/},
          {[settings: ["work mem": 1]], ~r/the name of a setting/},
          {[settings: :x], ~r/keyword list/},
          {[durability: :some], ~r/:relaxed/},
          {[data_dir: "/x", snapshot: "y"], ~r/with a data directory/},
          {:no, ~r/keyword list/}
        ] do
      assert_raise ArgumentError, message, fn -> PgliteEx.start_link(options) end
    end
  end

  test "a start that fails says why" do
    Process.flag(:trap_exit, true)
    assert {:error, %Error{message: message}} = PgliteEx.start_link(data_dir: "/proc/nope")
    assert message =~ "cannot be made"

    assert {:error, %Error{message: message}} =
             PgliteEx.start_link(data_dir: "/proc/nope", server: [])

    assert message =~ "cannot be made"
    assert {:error, %ArgumentError{}} = PgliteEx.start_link(program: "/nonexistent")
    assert {:error, %Error{}} = PgliteEx.start_link(settings: [work_mem: "much"])

    assert {:error, %Error{reason: {:exit_status, 65}}} =
             PgliteEx.start_instance(:failing, username: "x", snapshot: "/dev/null")
  end

  test "names and settings with anything in them" do
    name = {:an, "instance", %{of: 1}}

    options = [
      name: name,
      settings: [application_name: "it's \"quoted\" $HOME \\", search_path: "a, b"]
    ]

    start_pg(options)
    assert value(name, "show application_name") == "it's \"quoted\" $HOME \\"
    assert value(name, "show search_path") == "a, b"
    Process.flag(:trap_exit, true)
    assert {:error, {:already_started, pid}} = PgliteEx.start_link(name: name)
    assert is_pid(pid)
  end

  test "variables of the program are not options of an instance" do
    System.put_env("PGLITE_DATA_DIR", "/proc/nope")
    start_pg()
  after
    System.delete_env("PGLITE_DATA_DIR")
  end

  test "instances are listed, described and stopped" do
    {:ok, pid} =
      PgliteEx.start_instance("listed", data_dir: tmp_dir() <> "/pg", durability: :relaxed)

    assert {"listed", pid} in PgliteEx.list_instances()

    assert {:ok, %{mode: :port, name: "listed", os_pid: os_pid, status: :idle}} =
             PgliteEx.instance_info(pid)

    assert {:error, {:already_started, _}} = PgliteEx.start_instance("listed")
    assert :ok = PgliteEx.stop_instance("listed")
    refute alive?(os_pid)
    refute List.keymember?(PgliteEx.list_instances(), "listed", 0)
    {:ok, _} = PgliteEx.start_instance("listed")
    :ok = PgliteEx.stop_instance("listed")
  end

  test "one that goes on failing is given up, without harm to others" do
    {:ok, _} = PgliteEx.start_instance(:healthy)
    {:ok, _} = PgliteEx.start_instance(:sick)

    eventually(fn ->
      with {:ok, %{os_pid: os_pid}} <- PgliteEx.instance_info(:sick), do: kill_if_there(os_pid)
      Registry.lookup(PgliteEx.Registry, {:supervisor, :sick}) == []
    end)

    assert value(:healthy, "select 1") == 1
    PgliteEx.stop_instance(:healthy)
  end

  defp kill_if_there(os_pid),
    do: System.cmd("/bin/sh", ["-c", "kill -9 #{os_pid}"], stderr_to_stdout: true)

  defp options(:port, more), do: more
  defp options(:server, more), do: [server: [port: 0]] ++ more

  for mode <- [:port, :server] do
    describe "#{mode}:" do
      @mode mode

      test "a directory is closed in order, and stays" do
        directory = tmp_dir() <> "/pg"

        {:ok, pid} =
          PgliteEx.start_instance(
            {@mode, :ordered},
            options(@mode, data_dir: directory, durability: :relaxed)
          )

        os_pid = os_pid(pid)
        run(pid, "create table kept as select 5 as n")
        :ok = PgliteEx.stop_instance(pid)
        refute alive?(os_pid)
        refute File.exists?(Path.join(directory, "postmaster.pid"))

        {:ok, pid} =
          PgliteEx.start_instance(
            {@mode, :ordered},
            options(@mode, data_dir: directory, durability: :relaxed)
          )

        assert run(pid, "select n from kept") == [["5"]]
        :ok = PgliteEx.stop_instance(pid)
      end

      test "stopping does not wait for a query" do
        {:ok, pid} =
          PgliteEx.start_instance(
            {@mode, :waited_for},
            options(@mode, data_dir: tmp_dir() <> "/pg", durability: :relaxed)
          )

        task = Task.async(fn -> run(pid, endless()) end)
        Process.sleep(200)
        os_pid = os_pid(pid)
        :ok = PgliteEx.stop_instance({@mode, :waited_for})
        refute alive?(os_pid)
        assert {:error, _} = Task.await(task)
      end

      test "a supervisor's restart finds the directory free, after the program or the process was killed" do
        directory = tmp_dir() <> "/pg"
        name = {@mode, :restarted}

        start_supervised!(
          {PgliteEx, options(@mode, name: name, data_dir: directory, durability: :relaxed)}
        )

        run(name, "create table kept as select 5 as n")

        for {who, query} <- [
              {:program, nil},
              {:process, nil},
              {:process, endless()},
              {:program, endless()}
            ] do
          {:ok, %{pid: pid, os_pid: os_pid}} = PgliteEx.instance_info(name)
          if query, do: spawn(fn -> run(name, query) end) && Process.sleep(100)
          if who == :program, do: kill(os_pid), else: Process.exit(pid, :kill)

          {:ok, %{os_pid: new}} =
            eventually(fn ->
              with {:ok, %{pid: now}} = info when now != pid <- PgliteEx.instance_info(name),
                   do: info,
                   else: (_ -> nil)
            end)

          assert new != os_pid
          refute alive?(os_pid)
          assert run(name, "select n from kept") == [["5"]]
        end

        stop_supervised!(name)
      end

      test "nothing is left when the VM is killed" do
        directory = tmp_dir() <> "/pg"

        script = """
        {:ok, pid} = PgliteEx.start_link(#{inspect(options(@mode, data_dir: directory, durability: :relaxed))})
        {:ok, info} = PgliteEx.instance_info(pid)
        IO.puts("ready \#{System.pid()} \#{info.os_pid} \#{info[:port] || 0}")
        if info.mode == :port, do: PgliteEx.query(pid, #{inspect(endless())}, [], timeout: :infinity), else: Process.sleep(:infinity)
        """

        ["ready", vm, os_pid, port] = other_vm(script)

        if @mode == :server do
          spawn(fn ->
            PgliteEx.Client.run(
              %{
                socket_dir: nil,
                host: "127.0.0.1",
                port: String.to_integer(port),
                username: "postgres"
              },
              "postgres",
              endless()
            )
          end)
        end

        Process.sleep(300)
        children = children(vm)
        assert os_pid in children
        kill(vm)
        eventually(fn -> Enum.filter(children, &alive?/1) == [] end)
        # Nor a lock.
        start_pg(data_dir: directory, durability: :relaxed, lock_timeout: 0)
      end
    end
  end

  describe "a command of the program's" do
    test "is run, and its status told" do
      assert {:ok, "out\nerr\n"} =
               Program.run("/bin/sh", ["-c", "read x; echo out; echo err >&2"])

      assert {:error, %Error{reason: :program, message: message}} =
               Program.run("/bin/sh", ["-c", "echo why; exit 3"])

      assert message == "pglite-port ended with 3: why"
      assert {:error, %Error{reason: :program}} = Program.run("/nonexistent", [])
    end

    test "ends with its VM" do
      ["ready", vm] =
        other_vm("""
        spawn(fn -> PgliteEx.Program.run("/bin/sleep", ["1000"]) end)
        IO.puts("ready \#{System.pid()}")
        Process.sleep(:infinity)
        """)

      eventually(fn -> Enum.any?(children(vm), &sleeps?/1) end)
      children = children(vm)
      kill(vm)
      eventually(fn -> Enum.filter(children, &alive?/1) == [] end)
    end

    test "ends with its instance" do
      directory = tmp_dir()
      program = Path.join(directory, "program")

      File.write!(program, """
      #!/bin/sh
      [ "$1" != dump ] || { echo $$ > #{directory}/os_pid; exec sleep 1000; }
      exec #{Program.path!()} "$@"
      """)

      File.chmod!(program, 0o755)

      for options <- [[data_dir: directory <> "/pg", durability: :relaxed], []] do
        {:ok, pid} = PgliteEx.start_instance(:dumping, [program: program] ++ options)
        dump = Task.async(fn -> PgliteEx.dump(pid, directory <> "/dump") end)

        os_pid =
          eventually(fn ->
            with {:ok, text} when text != "" <- File.read(directory <> "/os_pid"),
                 os_pid = String.trim(text),
                 true <- sleeps?(os_pid),
                 do: os_pid,
                 else: (_ -> nil)
          end)

        :ok = PgliteEx.stop_instance(pid)
        assert {:error, %Error{}} = Task.await(dump)
        eventually(fn -> not alive?(os_pid) end)
      end
    end
  end

  defp sleeps?(os_pid), do: match?({:ok, "sleep\n"}, File.read("/proc/#{os_pid}/comm"))

  # Starts an Elixir with this package, and returns the words of its line.
  defp other_vm(script) do
    paths =
      Enum.flat_map(
        :code.get_path(),
        &if(to_string(&1) =~ "_build", do: ["-pa", to_string(&1)], else: [])
      )

    expression =
      "{:ok, _} = Application.ensure_all_started(:pglite_ex); Logger.configure(level: :error);" <>
        script

    port =
      Port.open({:spawn_executable, System.find_executable("elixir")}, [
        :binary,
        line: 1000,
        args: paths ++ ["-e", expression],
        env: [{'PGLITE_PORT', String.to_charlist(Program.path!())}]
      ])

    receive do
      {^port, {:data, {:eol, line}}} -> String.split(line)
    after
      60_000 -> flunk("the other VM does not start")
    end
  end

  # All that descend from a process.
  defp children(os_pid) do
    table =
      for stat <- Path.wildcard("/proc/[0-9]*/stat"), {:ok, text} <- [File.read(stat)] do
        [pid, rest] = String.split(text, " ", parts: 2)
        [_, parent] = Regex.run(~r/.*\) \S (\d+)/s, rest)
        {pid, parent}
      end

    descend([os_pid], table)
  end

  defp descend([], _table), do: []

  defp descend(parents, table) do
    found = for {pid, parent} <- table, parent in parents, do: pid
    found ++ descend(found, table)
  end

  # In a port by itself, in a server as a client.
  defp run(instance, sql) do
    with {:ok, info} <- PgliteEx.instance_info(instance) do
      result =
        if info.mode == :port,
          do: PgliteEx.exec(instance, sql, timeout: :infinity),
          else: PgliteEx.Client.run(info |> Map.put(:password, nil), "postgres", sql)

      with {:ok, [%Result{rows: rows}]} <- result, do: rows
    end
  end

  test "a crash does not tell passwords and data" do
    log =
      ExUnit.CaptureLog.capture_log(fn ->
        for options <- [[server: [port: 0, password: "hunter2"]], []] do
          {:ok, pid} = PgliteEx.start_instance(:telling, options)
          ref = Process.monitor(pid)

          task =
            Task.async(fn -> PgliteEx.query(pid, "select pg_sleep(100), $1", ["hunter2"]) end)

          if options == [], do: until_busy(pid)
          kill(os_pid(pid))
          assert_receive {:DOWN, ^ref, :process, _, _}, 5000
          assert {:error, _} = Task.await(task)

          # The supervisor prints how it starts a server again; that is for the supervisor's owner to hide.
          PgliteEx.stop_instance(:telling)
        end
      end)

    assert log =~ "program_exited"
    for line <- String.split(log, "\n"), line =~ "hunter2", do: assert(line =~ "Start Call")
  end

  test "the program's log goes to Logger" do
    log =
      ExUnit.CaptureLog.capture_log(fn ->
        {:ok, pid} = PgliteEx.start_instance(:logged, debug: 1, log_level: :warning)
        PgliteEx.query(pid, "select 1/0")
        PgliteEx.query(pid, "selec")
        PgliteEx.stop_instance(pid)
        {:ok, _} = PgliteEx.start_instance(:logged_server, server: [port: 0], log_level: :warning)
        PgliteEx.stop_instance(:logged_server)
      end)

    assert log =~ "[warning] pglite-port: port: ready, framing packet4"
    assert log =~ "[error] pglite-port: "
    assert log =~ "division by zero"
    assert log =~ "ready for clients on 127.0.0.1:"
  end

  if Code.ensure_loaded?(:telemetry) do
    test "events" do
      me = self()

      events = [
        [:pglite_ex, :instance, :start],
        [:pglite_ex, :instance, :stop],
        [:pglite_ex, :query, :stop]
      ]

      :telemetry.attach_many(
        :pglite_ex_test,
        events,
        fn event, measurements, metadata, _ -> send(me, {event, measurements, metadata}) end,
        nil
      )

      {:ok, pid} = PgliteEx.start_instance(:watched)
      PgliteEx.query(:watched, "select 1/0")
      PgliteEx.stop_instance(:watched)
      :telemetry.detach(:pglite_ex_test)

      assert_received {[:pglite_ex, :instance, :start], %{duration: d},
                       %{name: :watched, mode: :port, pid: ^pid}}
                      when d > 0

      assert_received {[:pglite_ex, :query, :stop], %{duration: _},
                       %{instance: :watched, query: "select 1/0", result: %Error{code: "22012"}}}

      assert_received {[:pglite_ex, :instance, :stop], %{duration: _},
                       %{name: :watched, reason: :shutdown}}
    end
  end
end
