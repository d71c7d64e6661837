defmodule PgliteEx.Server do
  @moduledoc """
  An instance for PostgreSQL's clients: `pglite-port serve` as a port of this process.

  Use it through `PgliteEx`: `PgliteEx.postgrex_options/1` and `PgliteEx.url/1` say how to connect. With `port: 0` the
  first start takes a free port, and a restart takes the same one again, so that pools find it.
  """

  use GenServer
  alias PgliteEx.{Error, Instance, Options, Program}

  @line 8192
  @kept_lines 20

  @typedoc "Where clients connect."
  @type place :: %{
          host: String.t() | nil,
          port: :inet.port_number() | nil,
          socket_dir: String.t() | nil,
          socket_port: :inet.port_number(),
          username: String.t(),
          database: String.t(),
          password: String.t() | nil
        }

  defmodule State do
    @moduledoc false
    # There is a password in it.
    @derive {Inspect, only: [:program, :os_pid]}
    defstruct [:options, :program, :port, :os_pid, :place, :began, lines: []]
  end

  @doc false
  @spec start_link(Options.t()) :: GenServer.on_start()
  def start_link(%Options{} = options), do: GenServer.start_link(__MODULE__, options)

  @doc false
  @spec info(pid()) :: map() | {:error, Error.t()}
  def info(pid), do: Instance.call(pid, :info)

  @impl true
  def init(%Options{} = options) do
    Process.flag(:trap_exit, true)
    began = System.monotonic_time()

    with :ok <- Instance.register(options, __MODULE__),
         state = %State{options: options, program: Program.path!(options.program)},
         {:ok, state} <- start_somewhere(state) do
      Instance.update(options, %{place: state.place})
      remember(options, state.place.port)
      Instance.started(options, :server, began)
      {:ok, %{state | began: System.monotonic_time()}}
    else
      {:error, reason} -> {:stop, reason}
    end
  rescue
    error in ArgumentError -> {:stop, error}
  end

  # The port that it had before, unless somebody else has it now.
  defp start_somewhere(%State{options: %{server: %{port: 0}} = options} = state) do
    with {:ok, port} <- Registry.meta(PgliteEx.Registry, {:port, options.name}),
         {:ok, state} <- start(state, port) do
      {:ok, state}
    else
      _ -> start(state, 0)
    end
  end

  defp start_somewhere(state), do: start(state, state.options.server.port)

  defp remember(%Options{name: name}, port) when name != nil and port != nil,
    do: Registry.put_meta(PgliteEx.Registry, {:port, name}, port)

  defp remember(_options, _port), do: :ok

  defp start(state, port),
    do: Instance.with_patience(state.options, fn -> start_program(state, port) end)

  defp start_program(%State{options: options} = state, tcp_port) do
    with_password_file(options.server.password, fn password ->
      port =
        Port.open({:spawn_executable, state.program}, [
          :binary,
          :exit_status,
          :stderr_to_stdout,
          line: @line,
          args: arguments(options, tcp_port) ++ password,
          env: Program.port_environment()
        ])

      os_pid =
        case Port.info(port, :os_pid) do
          {:os_pid, os_pid} -> os_pid
          nil -> nil
        end

      deadline = System.monotonic_time(:millisecond) + options.start_timeout
      await_ready(%{state | port: port, os_pid: os_pid, lines: []}, deadline)
    end)
  end

  defp arguments(%Options{server: server} = options, tcp_port) do
    optional = [
      {"--listen", tcp_port && "#{bracketed(server.host)}:#{tcp_port}"},
      {"--socket-dir", server.socket_dir},
      {"--socket-port", server.socket_dir && to_string(server.socket_port)},
      {"--auth", server.auth && to_string(server.auth)},
      {"--tls-cert", server.tls_cert},
      {"--tls-key", server.tls_key},
      {"--metrics", server.metrics},
      {"--save-snapshot", options.save_snapshot && Path.expand(options.save_snapshot)}
    ]

    ["serve", "--stdin-end", "--ready-fd", "1"] ++
      Options.arguments(options) ++
      for {flag, value} when value != nil <- optional, word <- [flag, value], do: word
  end

  defp bracketed(host), do: if(String.contains?(host, ":"), do: "[#{host}]", else: host)

  # It is read before the server is ready.
  defp with_password_file(nil, start), do: start.([])

  defp with_password_file(password, start) do
    name = "pglite_ex-" <> Base.encode16(:crypto.strong_rand_bytes(12), case: :lower)
    path = Path.join(System.tmp_dir!(), name)
    File.touch!(path)
    File.chmod!(path, 0o600)
    File.write!(path, [password, "\n"])

    try do
      start.(["--password-file", path])
    after
      File.rm(path)
    end
  end

  defp await_ready(%State{port: port} = state, deadline) do
    receive do
      # The log says "ready for clients on ..."; this is the line for programs.
      {^port, {:data, {:eol, "ready for " <> _ = line}}} ->
        await_ready(log(state, line), deadline)

      {^port, {:data, {:eol, "ready " <> addresses}}} ->
        {:ok, %{state | place: place(state.options, addresses)}}

      {^port, {:data, {_, line}}} ->
        await_ready(log(state, line), deadline)

      {^port, {:exit_status, status}} ->
        message = Enum.find(state.lines, "the program has ended with #{status}", &(&1 != ""))

        {:error,
         Error.new({:exit_status, status}, String.replace_prefix(message, "pglite-port: ", ""))}
    after
      max(deadline - System.monotonic_time(:millisecond), 0) ->
        Program.signal(state.os_pid, :kill)
        _ = Program.await_exit(port, state.os_pid, 0)

        {:error,
         Error.new(:timeout, "the server has not started in #{state.options.start_timeout} ms")}
    end
  end

  defp place(%Options{server: server} = options, addresses) do
    {sockets, internet} =
      addresses |> String.split(", ") |> Enum.split_with(&String.starts_with?(&1, "/"))

    %{
      host: if(internet != [], do: reachable(server.host)),
      port: internet |> List.first() |> port_of(),
      socket_dir: if(sockets != [], do: server.socket_dir),
      socket_port: server.socket_port,
      username: options.username,
      database: options.database || "postgres",
      password: server.password
    }
  end

  defp reachable("*"), do: "127.0.0.1"
  defp reachable("0.0.0.0"), do: "127.0.0.1"
  defp reachable("::"), do: "::1"
  defp reachable(host), do: host

  defp port_of(nil), do: nil

  defp port_of(address),
    do: address |> String.split(":") |> List.last() |> String.to_integer()

  defp log(state, line) do
    Instance.log(state.options, line)
    %{state | lines: Enum.take([line | state.lines], @kept_lines)}
  end

  @impl true
  def handle_call(:info, _from, state) do
    info = %{
      name: state.options.name,
      pid: self(),
      mode: :server,
      data_dir: state.options.data_dir,
      database: state.place.database,
      username: state.options.username,
      program: state.program,
      os_pid: state.os_pid,
      host: state.place.host,
      port: state.place.port,
      socket_dir: state.place.socket_dir
    }

    {:reply, info, state}
  end

  @impl true
  def handle_info({port, {:data, {_, line}}}, %State{port: port} = state),
    do: {:noreply, log(state, line)}

  def handle_info({port, {:exit_status, status}}, %State{port: port} = state),
    do: {:stop, {:program_exited, status}, %{state | port: nil, os_pid: nil}}

  def handle_info({:EXIT, port, reason}, %State{port: port} = state),
    do: {:stop, {:program_exited, reason}, %{state | port: nil, os_pid: nil}}

  def handle_info({:EXIT, port, _reason}, state) when is_port(port), do: {:noreply, state}
  def handle_info({:EXIT, _pid, :normal}, state), do: {:noreply, state}
  def handle_info({:EXIT, _pid, reason}, state), do: {:stop, reason, state}
  def handle_info(_message, state), do: {:noreply, state}

  # Sessions are ended, a directory is closed, a snapshot is written.
  @impl true
  def terminate(reason, %State{} = state) do
    _ = if state.port != nil, do: end_program(state)
    Instance.stopped(state.options, :server, state.began, reason)
  end

  defp end_program(%State{} = state) do
    Program.signal(state.os_pid, :int)
    Program.await_exit(state.port, state.os_pid, state.options.shutdown_timeout)
  end
end
