defmodule PgliteEx.Instance do
  @moduledoc false
  # What both kinds of instance share: their place in the registry, their log, their events.

  alias PgliteEx.{Error, Options, Telemetry}
  require Logger

  @type ref :: pid() | term()

  @typedoc "What callers know of an instance without asking it."
  @type entry :: %{
          name: term(),
          module: module(),
          timeout: timeout(),
          place: nil | PgliteEx.Server.place(),
          memory: boolean(),
          statements: nil | :ets.table()
        }

  @doc "Enters the calling process as the instance of these options."
  @spec register(Options.t(), module()) :: :ok | {:error, {:already_started, pid()}}
  def register(%Options{} = options, module) do
    entry = %{
      name: options.name,
      module: module,
      timeout: options.timeout,
      place: nil,
      memory: Options.memory?(options),
      statements: nil
    }

    case Registry.register(PgliteEx.Registry, key(options.name), entry) do
      {:ok, _} -> :ok
      {:error, {:already_registered, pid}} -> {:error, {:already_started, pid}}
    end
  end

  @doc "Changes the entry of the calling process."
  @spec update(Options.t(), %{optional(atom()) => term()}) :: :ok
  def update(%Options{} = options, changes) do
    {_, _} = Registry.update_value(PgliteEx.Registry, key(options.name), &Map.merge(&1, changes))
    :ok
  end

  defp key(nil), do: {:pid, self()}
  defp key(name), do: {:name, name}

  @doc "Process and entry of an instance, which is named or a process."
  @spec fetch(ref()) :: {:ok, pid(), entry()} | {:error, Error.t()}
  def fetch(instance) do
    keys =
      if is_pid(instance),
        do: Registry.keys(PgliteEx.Registry, instance),
        else: [{:name, instance}]

    with [key | _] <- keys,
         [{pid, entry}] <- Registry.lookup(PgliteEx.Registry, key) do
      {:ok, pid, entry}
    else
      [] -> {:error, Error.new(:not_found, "there is no instance #{inspect(instance)}")}
    end
  end

  @spec list() :: [{term(), pid()}]
  def list do
    Registry.select(PgliteEx.Registry, [{{:_, :"$1", %{name: :"$2"}}, [], [{{:"$2", :"$1"}}]}])
  end

  @doc "Calls an instance; that it ends meanwhile is an error like others."
  @spec call(pid(), term()) :: term()
  def call(pid, request) do
    GenServer.call(pid, request, :infinity)
  catch
    :exit, {reason, {GenServer, :call, _}} -> {:error, exit_error(reason)}
  end

  @doc "The error for those who were waiting for an instance that has ended."
  @spec exit_error(term()) :: Error.t()
  def exit_error({:program_exited, status}) when is_integer(status),
    do: Error.new({:exit_status, status}, "the program has ended with #{status}")

  def exit_error({:program_exited, reason}),
    do: Error.new({:exit, reason}, "the program has ended: #{inspect(reason)}")

  def exit_error(:noproc), do: Error.new(:not_found, "the instance has ended")

  def exit_error(reason),
    do: Error.new({:exit, reason}, "the instance has ended: #{inspect(reason)}")

  @doc "A line of the program's log goes to Logger."
  @spec log(Options.t(), String.t()) :: :ok
  def log(%Options{} = options, line) do
    level = if line =~ ~r/\b(PANIC|FATAL|ERROR):/, do: :error, else: options.log_level
    Logger.log(level, fn -> "pglite-port: " <> line end, pglite_ex: options.name)
  end

  @spec started(Options.t(), :port | :server, integer()) :: :ok
  def started(options, mode, began) do
    duration = System.monotonic_time() - began
    Telemetry.execute([:instance, :start], %{duration: duration}, metadata(options, mode))
  end

  @spec stopped(Options.t(), :port | :server, integer(), term()) :: :ok
  def stopped(options, mode, began, reason) do
    duration = System.monotonic_time() - began
    metadata = Map.put(metadata(options, mode), :reason, reason)
    Telemetry.execute([:instance, :stop], %{duration: duration}, metadata)
  end

  defp metadata(options, mode),
    do: %{name: options.name, mode: mode, data_dir: options.data_dir, pid: self()}

  @doc """
  Calls `start` until the data directory is free, for as long as `:lock_timeout` says.

  A program whose owner was killed still closes its directory when the next one starts.
  """
  @spec with_patience(Options.t(), (() -> {:ok, result} | {:error, Error.t()})) ::
          {:ok, result} | {:error, Error.t()}
        when result: term()
  def with_patience(%Options{} = options, start) do
    deadline = System.monotonic_time(:millisecond) + options.lock_timeout
    try_start(start, deadline)
  end

  @in_use 75

  defp try_start(start, deadline) do
    case start.() do
      {:error, %Error{reason: {:exit_status, @in_use}}} = error ->
        if System.monotonic_time(:millisecond) < deadline do
          Process.sleep(20)
          try_start(start, deadline)
        else
          error
        end

      result ->
        result
    end
  end
end
