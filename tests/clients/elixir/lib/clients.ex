defmodule Clients.Repo do
  use Ecto.Repo, otp_app: :clients, adapter: Ecto.Adapters.Postgres
end

defmodule Clients.Item do
  use Ecto.Schema

  schema "ecto_items" do
    field(:name, :string)
    field(:tags, {:array, :string}, default: [])
    field(:data, :map, default: %{})
    field(:price, :decimal)
    timestamps()
  end
end

defmodule Clients.Migration do
  use Ecto.Migration

  def change do
    create table(:ecto_items) do
      add(:name, :string, null: false)
      add(:tags, {:array, :string})
      add(:data, :map)
      add(:price, :decimal)
      timestamps()
    end

    create(unique_index(:ecto_items, [:name]))
  end
end

defmodule Clients do
  @moduledoc "Checks with Postgrex and Ecto: each passes or says why not."
  import Ecto.Query
  alias Clients.{Item, Migration, Repo}

  def options(more \\ []) do
    Keyword.merge(
      [
        hostname: System.fetch_env!("PGHOST"),
        port: String.to_integer(System.fetch_env!("PGPORT")),
        username: System.fetch_env!("PGUSER"),
        password: System.fetch_env!("PGPASSWORD"),
        database: System.fetch_env!("PGDATABASE")
      ],
      more
    )
  end

  def run(["postgrex"]), do: postgrex()
  def run(["ecto"]), do: ecto()

  defp postgrex do
    check("settings", fn ->
      c = connect(parameters: [application_name: "me", work_mem: "5MB"])
      "5MB" = value(c, "show work_mem")
      "me" = value(c, "show application_name")
    end)

    check("prepared", fn ->
      c = connect()
      {:ok, plus} = Postgrex.prepare(c, "plus", "select $1::int + 1")

      for n <- 1..200 do
        {:ok, _, %{rows: [[m]]}} = Postgrex.execute(c, plus, [n])
        ^m = n + 1
      end
    end)

    check("binary", fn ->
      c = connect()
      bytes = :binary.list_to_bin(Enum.to_list(0..255))
      values = [bytes, -1_099_511_627_776, 2.5, Decimal.new("123456789.123"), "ünd", %{"a" => [1, nil]}, [1, nil], ~U[2024-02-29 01:02:03.000456Z]]
      %{rows: [got]} = Postgrex.query!(c, "select $1::bytea, $2::int8, $3::float8, $4::numeric, $5::text, $6::jsonb, $7::int[], $8::timestamptz", values)
      ^values = got
    end)

    check("copy", fn ->
      c = connect()
      Postgrex.query!(c, "create temp table t (n int, s text)", [])

      Postgrex.transaction(c, fn c ->
        stream = Postgrex.stream(c, "copy t from stdin", [])
        Enum.into(Stream.map(1..50_000, &"#{&1}\trow\n"), stream)
      end)

      50_000 = value(c, "select count(*) from t")

      {:ok, lines} =
        Postgrex.transaction(c, fn c ->
          Postgrex.stream(c, "copy t to stdout", []) |> Enum.reduce(0, &(&2 + length(&1.rows)))
        end)

      50_000 = lines
    end)

    check("errors", fn ->
      c = connect()
      {:error, %{postgres: %{code: :syntax_error}}} = Postgrex.query(c, "selec", [])
      {:error, %{postgres: %{code: :division_by_zero}}} = Postgrex.query(c, "select 1/$1::int", [0])
      1 = value(c, "select 1")
    end)

    check("cancel", fn ->
      c = connect()
      other = connect()
      pid = value(c, "select pg_backend_pid()")
      task = Task.async(fn -> Postgrex.query(c, "select pg_sleep(30)", []) end)
      Process.sleep(300)
      Postgrex.query!(other, "select pg_cancel_backend($1)", [pid])
      {:error, %{postgres: %{code: :query_canceled}}} = Task.await(task, 10_000)
      # Its own way.
      {:error, _} = Postgrex.query(c, "select pg_sleep(30)", [], timeout: 300)
    end)

    check("notify", fn ->
      {:ok, listener} = Postgrex.Notifications.start_link(options())
      {:ok, ref} = Postgrex.Notifications.listen(listener, "news")
      Postgrex.query!(connect(), "notify news, 'hello'", [])
      receive do
        {:notification, _, ^ref, "news", "hello"} -> :ok
      after
        10_000 -> raise "no notification"
      end
    end)

    check("pool", fn ->
      pool = connect(pool_size: 10)
      Postgrex.query!(pool, "create table counter_px (n int)", [])
      Postgrex.query!(pool, "insert into counter_px values (0)", [])

      1..20
      |> Task.async_stream(fn _ -> for _ <- 1..50, do: Postgrex.query!(pool, "update counter_px set n = n + 1", [], timeout: 60_000, queue_target: 60_000) end,
        max_concurrency: 20, timeout: 60_000)
      |> Stream.run()

      1000 = value(pool, "select n from counter_px")
      Postgrex.query!(pool, "drop table counter_px", [])
    end)

    check("tls", fn ->
      case System.get_env("TLS_CA", "") do
        "" -> :ok
        ca -> 1 = value(connect(hostname: "localhost", ssl: [cacertfile: ca, verify: :verify_peer, server_name_indication: 'localhost']), "select 1")
      end
    end)
  end

  defp ecto do
    {:ok, _} = Repo.start_link(options(pool_size: 10, log: false))

    check("migrations", fn ->
      :ok = Ecto.Migrator.up(Repo, 1, Migration, log: false)
      :already_up = Ecto.Migrator.up(Repo, 1, Migration, log: false)
      :ok = Ecto.Migrator.down(Repo, 1, Migration, log: false)
      :ok = Ecto.Migrator.up(Repo, 1, Migration, log: false)
    end)

    check("queries", fn ->
      for n <- 1..100, do: Repo.insert!(%Item{name: "i#{n}", tags: ["a"], data: %{"n" => n}, price: Decimal.new("1.50")})
      100 = Repo.aggregate(Item, :count)
      %{tags: ["a"]} = Repo.one!(from(i in Item, where: fragment("(?->>'n')::int", i.data) == 7))
      {:ok, 100} = Repo.transaction(fn -> Repo.stream(Item, max_rows: 10) |> Enum.count() end)
    end)

    check("errors", fn ->
      {:error, changeset} =
        %Item{name: "i1"} |> Ecto.Changeset.change() |> Ecto.Changeset.unique_constraint(:name) |> Repo.insert()
      [name: {"has already been taken", _}] = changeset.errors
    end)

    check("transactions", fn ->
      {:error, :back} = Repo.transaction(fn -> Repo.insert!(%Item{name: "gone"}); Repo.rollback(:back) end)
      nil = Repo.get_by(Item, name: "gone")
    end)

    check("pool", fn ->
      1..20
      |> Task.async_stream(fn _ -> for _ <- 1..25, do: Repo.update_all(from(i in Item, where: i.name == "i1"), [inc: [price: 1]]) end,
        max_concurrency: 20, timeout: 60_000)
      |> Stream.run()

      true = Decimal.equal?(Repo.get_by!(Item, name: "i1").price, Decimal.new("501.5"))
    end)

    check("sandbox", fn ->
      {:ok, _} = Repo.stop() && Repo.start_link(options(pool: Ecto.Adapters.SQL.Sandbox, pool_size: 10, log: false)) |> then(fn r -> r end)
      Ecto.Adapters.SQL.Sandbox.mode(Repo, :manual)
      1..10
      |> Task.async_stream(fn n ->
        :ok = Ecto.Adapters.SQL.Sandbox.checkout(Repo)
        Repo.insert!(%Item{name: "sandboxed #{n}"})
        1 = Repo.aggregate(from(i in Item, where: like(i.name, "sandboxed%")), :count)
        :ok = Ecto.Adapters.SQL.Sandbox.checkin(Repo)
      end, max_concurrency: 10, timeout: 60_000)
      |> Stream.run()
    end)

    check("clean_up", fn ->
      Postgrex.query!(connect(), "drop table ecto_items", [])
      Postgrex.query!(connect(), "drop table schema_migrations", [])
    end)
  end

  defp connect(more \\ []) do
    {:ok, c} = Postgrex.start_link(options(more))
    c
  end

  defp value(c, sql) do
    %{rows: [[value]]} = Postgrex.query!(c, sql, [])
    value
  end

  defp check(name, run) do
    # What a check starts must not take this process with it.
    task = Task.Supervisor.async_nolink(Clients.Tasks, run)

    case Task.yield(task, 60_000) || Task.shutdown(task, :brutal_kill) do
      {:ok, _} -> IO.puts("pass #{name}")
      other -> IO.puts("fail #{name} " <> String.slice(Regex.replace(~r/\s+/, inspect(other), " "), 0, 300))
    end
  end

  def main(arguments) do
    {:ok, _} = Application.ensure_all_started(:postgrex)
    {:ok, _} = Application.ensure_all_started(:ecto_sql)
    {:ok, _} = Task.Supervisor.start_link(name: Clients.Tasks)
    Logger.configure(level: :error)
    run(arguments)
  end
end
