# What elixir.py measures, and where it says how.
alias PgliteEx.{Client, Protocol, Template}

Logger.configure(level: :warning)

defmodule Bench do
  def number(name), do: name |> System.fetch_env!() |> String.to_integer()

  def median(samples), do: samples |> Enum.sort() |> Enum.at(div(length(samples), 2))

  def seconds(fun) do
    {microseconds, _} = :timer.tc(fun)
    microseconds / 1_000_000
  end

  # In turns, so that a noisy minute meets all.
  def rounds(engines, rounds) do
    samples = for _ <- 1..rounds, {name, fun} <- Enum.shuffle(engines), do: {name, fun.()}
    Enum.group_by(samples, &elem(&1, 0), &elem(&1, 1))
  end

  def table(title, unit, engines, samples) do
    IO.puts("\n#{title}, #{unit}: median (range)\n\n| | |\n|---|---|")

    for {name, _} <- engines do
      found = samples[name]
      text = Enum.map([median(found), Enum.min(found), Enum.max(found)], &:erlang.float_to_binary(&1, decimals: 2))
      IO.puts("| #{name} | #{Enum.at(text, 0)} (#{Enum.at(text, 1)} to #{Enum.at(text, 2)}) |")
    end
  end

  def open(program, arguments) do
    Port.open({:spawn_executable, program}, [:binary, :exit_status, {:packet, 4}, {:args, arguments}])
  end

  def request(port, frame) do
    Port.command(port, frame)

    receive do
      {^port, {:data, answer}} -> answer
      {^port, {:exit_status, status}} -> raise "the program has ended with #{status}"
    end
  end

  # Microseconds for one Bind, Execute, Sync.
  def round_trips(port, count) do
    _ = request(port, [Protocol.parse("bench", "select $1::int + 1"), Protocol.sync()])
    frame = IO.iodata_to_binary([Protocol.bind("", "bench", [{0, "41"}], []), Protocol.execute("", 0), Protocol.sync()])
    once = fn -> true = request(port, frame) =~ "42" end
    for _ <- 1..div(count, 10), do: once.()
    total = seconds(fn -> for _ <- 1..count, do: once.() end)
    _ = request(port, [Protocol.close_statement("bench"), Protocol.sync()])
    total / count * 1_000_000
  end

  def schema do
    for n <- 1..50, into: "" do
      "create table t#{n} (id int primary key, name text not null, at timestamptz default now()); " <>
        "create index on t#{n} (name); insert into t#{n} select i, 'name ' || i from generate_series(1, 100) i; "
    end
  end

  @test "insert into t1 values (1000, 'a test')"
  @check "select count(*) from t1"

  def test_on_port(db) do
    PgliteEx.exec!(db, @test)
    [%{rows: [["101"]]}] = PgliteEx.exec!(db, @check)
  end

  def test_on_server(place, database) do
    {:ok, _} = Client.run(place, database, @test)
    {:ok, [%{rows: [["101"]]}]} = Client.run(place, database, @check)
  end

  def place(instance) do
    {:ok, _, %{place: place}} = PgliteEx.Instance.fetch(instance)
    place
  end
end

round_trips = Bench.number("BENCH_ROUND_TRIPS")
tests = Bench.number("BENCH_TESTS")
rounds = Bench.number("BENCH_ROUNDS")
not_run = []

# --- Round trips ---

ours = Bench.open(PgliteEx.Program.path!(), ["--framing", "packet4"])
{:ok, db} = PgliteEx.start_link()

engines = [
  {"pglite-port, raw", fn -> Bench.round_trips(ours, round_trips) end},
  {"PgliteEx.query/3",
   fn ->
     once = fn -> %{rows: [[42]]} = PgliteEx.query!(db, "select $1::int + 1", [41]) end
     for _ <- 1..div(round_trips, 10), do: once.()
     Bench.seconds(fn -> for _ <- 1..round_trips, do: once.() end) / round_trips * 1_000_000
   end}
]

{engines, not_run} =
  case {System.find_executable("node"), System.get_env("BENCH_PGLITE")} do
    {node, package} when node != nil and package != nil ->
      port = Bench.open(node, [System.fetch_env!("BENCH_NODE"), package])
      {engines ++ [{"PGlite on Node, raw", fn -> Bench.round_trips(port, round_trips) end}], not_run}

    _ ->
      reason = System.get_env("BENCH_NO_PGLITE", "node is not installed")
      {engines, not_run ++ ["PGlite on Node: #{reason}"]}
  end

Bench.table("Round trips through a port", "microseconds", engines, Bench.rounds(engines, rounds))

# --- A database for each test ---

directory = Path.join(System.tmp_dir!(), "pglite_ex-bench-#{System.pid()}")
File.mkdir_p!(directory)

{:ok, snapshot} =
  Template.build(Path.join(directory, "port"), [server: false], fn pg -> PgliteEx.exec!(pg, Bench.schema(), timeout: :infinity) end)

each = fn count, fun -> Bench.seconds(fn -> for n <- 1..count, do: fun.(n) end) / count * 1000 end

of_template = fn place ->
  {:ok, _} = Client.run(place, "postgres", "create database template_app")
  {:ok, _} = Client.run(place, "template_app", Bench.schema())
end

{:ok, _} = PgliteEx.start_instance(:templates, server: [port: 0])
of_template.(Bench.place(:templates))

engines = [
  {"a port from a snapshot",
   fn ->
     each.(tests, fn _ ->
       {:ok, db} = PgliteEx.start_link(snapshot: snapshot)
       Bench.test_on_port(db)
       PgliteEx.stop_instance(db)
     end)
   end},
  {"CREATE DATABASE TEMPLATE on a server in memory",
   fn ->
     each.(tests, fn _ ->
       {:ok, name} = Template.create_database(:templates, template: "template_app")
       Bench.test_on_server(Bench.place(:templates), name)
       :ok = Template.drop_database(:templates, name)
     end)
   end}
]

served =
  try do
    Template.build(Path.join(directory, "server"), [], fn pg -> {:ok, _} = Client.run(Bench.place(pg), "postgres", Bench.schema()) end)
  rescue
    error -> {:error, error}
  end

{engines, not_run} =
  case served do
    {:ok, snapshot} ->
      test = fn _ ->
        {:ok, pg} = PgliteEx.start_link(snapshot: snapshot, server: [port: 0])
        Bench.test_on_server(Bench.place(pg), "postgres")
        PgliteEx.stop_instance(pg)
      end

      {engines ++ [{"a server from a snapshot", fn -> each.(tests, test) end}], not_run}

    {:error, error} ->
      {engines, not_run ++ ["a server from a snapshot: #{Exception.message(error)}"]}
  end

{engines, not_run} =
  case System.get_env("BENCH_NATIVE") do
    nil ->
      {engines, not_run ++ ["native PostgreSQL: #{System.get_env("BENCH_NO_NATIVE")}"]}

    socket_dir ->
      place = %{socket_dir: socket_dir, socket_port: 5432, host: nil, port: nil, username: "postgres", database: "postgres", password: nil}
      of_template.(place)

      native = fn strategy ->
        fn ->
          each.(tests, fn n ->
            name = "test_#{n}"
            {:ok, _} = Client.run(place, "postgres", "create database #{name} template template_app strategy #{strategy}")
            Bench.test_on_server(place, name)
            {:ok, _} = Client.run(place, "postgres", "drop database #{name} with (force)")
          end)
        end
      end

      {engines ++ [{"native, wal_log", native.("wal_log")}, {"native, file_copy", native.("file_copy")}], not_run}
  end

Bench.table("A suite of #{tests} tests, a database each", "milliseconds a test", engines, Bench.rounds(engines, rounds))
if not_run != [], do: IO.puts("\nNot run:\n\n" <> Enum.map_join(not_run, "\n", &("- " <> &1)))
File.rm_rf!(directory)
