defmodule PgliteEx.Options do
  @moduledoc false
  # The options of an instance, checked, with their defaults; and what they are on the command line.

  @type t :: %__MODULE__{}

  defstruct name: nil,
            data_dir: "memory://",
            username: "postgres",
            database: nil,
            server: nil,
            settings: [],
            durability: nil,
            autovacuum: true,
            snapshot: nil,
            save_snapshot: nil,
            debug: 0,
            program: nil,
            start_timeout: 60_000,
            shutdown_timeout: 10_000,
            lock_timeout: 5_000,
            timeout: 15_000,
            max_queue: :infinity,
            log_level: :debug

  @server [
    host: "127.0.0.1",
    port: nil,
    socket_dir: nil,
    socket_port: 5432,
    auth: nil,
    password: nil,
    tls_cert: nil,
    tls_key: nil,
    metrics: nil
  ]

  @spec new!(keyword()) :: t()
  def new!(options) do
    unless Keyword.keyword?(options),
      do:
        raise(
          ArgumentError,
          "the options of PgliteEx are a keyword list, not #{inspect(options)}"
        )

    known = %__MODULE__{} |> Map.from_struct() |> Map.keys()

    case Keyword.keys(options) -- known do
      [] -> :ok
      [unknown | _] -> bad!("unknown option #{inspect(unknown)}", "one of #{inspect(known)}")
    end

    options = struct!(__MODULE__, options)
    options = %{options | server: server!(options.server), settings: settings!(options.settings)}
    options = %{options | data_dir: data_dir!(options.data_dir)}
    Enum.each(Map.from_struct(options), fn {key, value} -> check!(key, value) end)

    if not memory?(options) and (options.snapshot || options.save_snapshot),
      do: bad!(":snapshot and :save_snapshot with a data directory", "memory://")

    options
  end

  @spec memory?(t()) :: boolean()
  def memory?(%__MODULE__{data_dir: data_dir}), do: data_dir == "memory://"

  defp server!(nil), do: nil
  defp server!(false), do: nil
  defp server!(true), do: server!([])

  defp server!(server) do
    unless Keyword.keyword?(server),
      do: bad!("server: #{inspect(server)}", "a keyword list, such as [port: 0]")

    case Keyword.keys(server) -- Keyword.keys(@server) do
      [] ->
        :ok

      [key | _] ->
        bad!(
          "unknown option #{inspect(key)} of :server",
          "one of #{inspect(Keyword.keys(@server))}"
        )
    end

    server = @server |> Keyword.merge(server) |> Map.new()

    # A socket alone, unless a port is asked for.
    port = if server.port == nil and server.socket_dir == nil, do: 0, else: server.port

    unless port == nil or port in 0..65_535,
      do: bad!("server: [port: #{inspect(port)}]", "0 to 65535; 0 takes a free one")

    for key <- [:tls_cert, :tls_key, :socket_dir, :password, :host, :metrics],
        value = server[key],
        not is_binary(value),
        do: bad!("server: [#{key}: #{inspect(value)}]", "a string")

    unless server.auth in [nil, :remote, :scram, :trust, :hba],
      do: bad!("server: [auth: #{inspect(server.auth)}]", ":remote, :scram, :trust or :hba")

    directory = server.socket_dir && Path.expand(server.socket_dir)
    %{server | port: port, socket_dir: directory}
  end

  defp settings!(settings) when is_list(settings) or is_map(settings) do
    for {name, value} <- settings do
      name = to_string(name)

      unless name =~ ~r/\A[a-zA-Z_][a-zA-Z0-9_.]*\z/,
        do: bad!("the setting #{inspect(name)}", "the name of a setting of PostgreSQL's")

      {name, to_string(value)}
    end
  end

  defp settings!(settings),
    do: bad!("settings: #{inspect(settings)}", "a keyword list, such as [work_mem: \"8MB\"]")

  # The program's working directory may be another one later.
  defp data_dir!("memory://"), do: "memory://"
  defp data_dir!("file://" <> path) when path != "", do: path |> URI.decode() |> Path.expand()

  defp data_dir!(path) when is_binary(path) and path != "" do
    # "memory:" is no directory of that name: it is misspelt.
    if path =~ ~r{\A[^/:]+:},
      do: bad!("data_dir: #{inspect(path)}", "\"memory://\", a path, or file:// and a path")

    Path.expand(path)
  end

  defp data_dir!(other), do: bad!("data_dir: #{inspect(other)}", "\"memory://\" or a path")

  defp check!(:database, nil), do: :ok

  defp check!(key, value) when key in [:username, :database] do
    unless is_binary(value) and byte_size(value) in 1..63,
      do: bad!("#{key}: #{inspect(value)}", "a name of 1 to 63 bytes")
  end

  defp check!(key, value) when key in [:snapshot, :save_snapshot, :program] do
    unless value == nil or (is_binary(value) and value != ""),
      do: bad!("#{key}: #{inspect(value)}", "a path")
  end

  defp check!(key, value) when key in [:start_timeout, :shutdown_timeout, :lock_timeout] do
    unless is_integer(value) and value >= 0,
      do: bad!("#{key}: #{inspect(value)}", "a number of milliseconds")
  end

  defp check!(key, value) when key in [:timeout, :max_queue] do
    unless value == :infinity or (is_integer(value) and value > 0),
      do: bad!("#{key}: #{inspect(value)}", "a positive number, or :infinity")
  end

  defp check!(:durability, value) do
    unless value in [nil, :full, :relaxed, :off],
      do: bad!("durability: #{inspect(value)}", ":full, :relaxed or :off")
  end

  defp check!(:autovacuum, value) do
    unless is_boolean(value), do: bad!("autovacuum: #{inspect(value)}", "true or false")
  end

  defp check!(:debug, value) do
    unless value in 0..5, do: bad!("debug: #{inspect(value)}", "0 to 5")
  end

  defp check!(:log_level, value) do
    unless value in [:debug, :info, :notice, :warning, :error],
      do: bad!("log_level: #{inspect(value)}", "a level of Logger's")
  end

  defp check!(_key, _value), do: :ok

  @spec bad!(String.t(), String.t()) :: no_return()
  defp bad!(what, accepted), do: raise(ArgumentError, "#{what}; accepted is #{accepted}")

  # --- The command line ---

  @doc "The arguments that all commands understand."
  @spec arguments(t()) :: [String.t()]
  def arguments(%__MODULE__{} = o) do
    ["-D", o.data_dir, "-U", o.username, "--debug", to_string(o.debug)] ++
      if(o.snapshot, do: ["--snapshot", Path.expand(o.snapshot)], else: []) ++
      if(o.database, do: ["-d", o.database], else: []) ++
      if(o.durability, do: ["--durability", to_string(o.durability)], else: []) ++
      if(o.autovacuum, do: [], else: ["--autovacuum", "off"]) ++
      if(o.settings == [], do: [], else: ["-o", settings_text(o.settings)])
  end

  # Quoted as for a shell.
  defp settings_text(settings) do
    Enum.map_join(settings, " ", fn {name, value} ->
      "-c " <> "'" <> String.replace("#{name}=#{value}", "'", "'\\''") <> "'"
    end)
  end
end
