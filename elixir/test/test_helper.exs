for application <- [:telemetry, :postgrex, :ecto_sql],
    do: Application.ensure_all_started(application)

# Where the program takes no snapshots of servers, that is not tested.
Logger.configure(level: :none)

snapshots_of_servers =
  case PgliteEx.start_instance(:probe,
         server: [port: 0],
         save_snapshot: "/nonexistent/snapshot",
         lock_timeout: 0
       ) do
    {:ok, _} ->
      PgliteEx.stop_instance(:probe)
      []

    {:error, %PgliteEx.Error{message: message}} ->
      IO.puts("not tested: snapshots of servers (#{message})")
      [:server_snapshot]
  end

Logger.configure(level: :debug)
ecto = if Code.ensure_loaded?(Ecto.Adapters.Postgres), do: [], else: [:ecto]
if ecto != [], do: IO.puts("not tested: Ecto and Postgrex, which are not there (ELIXIR_DEPS)")

# :heavy are run by hand: mix test --include heavy
ExUnit.start(
  exclude: [:heavy] ++ snapshots_of_servers ++ ecto,
  capture_log: true,
  timeout: 120_000
)
