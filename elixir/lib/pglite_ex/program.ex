defmodule PgliteEx.Program do
  @moduledoc """
  The program `pglite-port`: where it is, and how it is run.

  It is looked for in this order:

    1. the `:program` option of the instance
    2. `config :pglite_ex, program: "/path/to/pglite-port"`
    3. the variable `PGLITE_PORT`
    4. `priv/pglite-port` of this application, where the Mix compiler puts it
  """

  alias PgliteEx.Error

  @doc "The path of the program. An `ArgumentError` says where it was looked for."
  @spec path!(String.t() | nil) :: String.t()
  def path!(option \\ nil) do
    {source, path} = find(option)

    unless File.regular?(path) do
      raise ArgumentError,
            "there is no program at #{path} (#{source}); mix pglite_ex.doctor says what is wrong"
    end

    path
  end

  @doc "Where the program has to be, and what says so."
  @spec find(String.t() | nil) :: {String.t(), Path.t()}
  def find(option \\ nil) do
    candidates = [
      {"the option :program", option},
      {"config :pglite_ex, :program", Application.get_env(:pglite_ex, :program)},
      {"PGLITE_PORT", System.get_env("PGLITE_PORT")},
      {"the priv directory", in_priv()}
    ]

    {source, path} = Enum.find(candidates, fn {_, path} -> path not in [nil, ""] end)
    {source, Path.expand(path)}
  end

  @doc "Where the Mix compiler puts the program."
  @spec in_priv() :: String.t()
  def in_priv, do: Path.join(priv_dir(), "pglite-port")

  defp priv_dir do
    case :code.priv_dir(:pglite_ex) do
      {:error, :bad_name} -> "priv"
      path -> to_string(path)
    end
  end

  # Ends the command when the VM, or the process that waits for it, is gone: then its end of the pipe is closed.
  @attended """
  exec 3<&0
  "$0" "$@" </dev/null 3<&- &
  command=$!
  (read -r _ <&3; kill -s TERM $command) >/dev/null 2>&1 &
  watch=$!
  wait $command
  status=$?
  kill $watch
  exit $status
  """

  @doc """
  Runs a command of the program's to its end. Its output is returned.

  It is ended when the calling process ends.
  """
  @spec run(String.t(), [String.t()]) :: {:ok, String.t()} | {:error, Error.t()}
  def run(program, arguments) do
    arguments = ["-c", @attended, program | arguments]

    case System.cmd("/bin/sh", arguments, stderr_to_stdout: true, env: clean_environment()) do
      {output, 0} ->
        {:ok, output}

      {output, status} ->
        message = "pglite-port ended with #{status}: #{String.trim(output)}"
        {:error, Error.new(:program, message)}
    end
  end

  # A variable that is set for something else must not become an option of an instance.
  @doc false
  @spec clean_environment() :: [{String.t(), nil}]
  def clean_environment do
    for {"PGLITE_" <> _ = name, _} <- System.get_env(), do: {name, nil}
  end

  @doc false
  @spec port_environment() :: [{charlist(), false}]
  def port_environment do
    for {name, nil} <- clean_environment(), do: {String.to_charlist(name), false}
  end

  @doc false
  @spec signal(non_neg_integer() | nil, :int | :term | :kill) :: :ok
  def signal(nil, _signal), do: :ok

  def signal(os_pid, signal) do
    name = signal |> to_string() |> String.upcase()

    # kill is part of every shell; the program may be missing from a small system.
    _ = System.cmd("/bin/sh", ["-c", "kill -s #{name} #{os_pid}"], stderr_to_stdout: true)
    :ok
  end

  @doc """
  Waits for the end of a program that is a port of this process, after a signal.

  It is killed when it takes longer than `timeout` milliseconds.
  """
  @spec await_exit(port(), non_neg_integer() | nil, non_neg_integer()) ::
          non_neg_integer() | :killed | :unknown
  def await_exit(port, os_pid, timeout) do
    deadline = System.monotonic_time(:millisecond) + timeout
    do_await_exit(port, os_pid, deadline)
  end

  defp do_await_exit(port, os_pid, deadline) do
    receive do
      {^port, {:exit_status, status}} -> status
      {^port, {:data, _}} -> do_await_exit(port, os_pid, deadline)
      # Nothing told its status.
      {:EXIT, ^port, _} -> :unknown
    after
      max(deadline - System.monotonic_time(:millisecond), 0) ->
        signal(os_pid, :kill)

        receive do
          {^port, {:exit_status, _}} -> :killed
        after
          5_000 -> :killed
        end
    end
  end
end
