defmodule PgliteEx.LogReader do
  @moduledoc false
  # Reads what a program writes to stderr, while its stdout carries frames: the VM has no port for both.
  #
  # `cat` is a port of this process, and waits for input that never comes. The program gets the write end of its pipe
  # to the VM as stderr, by its name in /proc. Nothing is left on disk, and both end with the VM.

  use GenServer
  alias PgliteEx.{Instance, Options}

  @line 8192
  @patience 5_000

  @spec start_link(Options.t()) :: GenServer.on_start()
  def start_link(options), do: GenServer.start_link(__MODULE__, options)

  @doc "Where the program's stderr goes; nil: the system has no such thing, and it is the VM's own."
  @spec path(pid()) :: String.t() | nil
  def path(reader), do: GenServer.call(reader, :path)

  @impl true
  def init(options) do
    cat = System.find_executable("cat")

    if cat != nil and File.dir?("/proc/self/fd") do
      port = Port.open({:spawn_executable, cat}, [:binary, :exit_status, line: @line])

      # Its answer shows that its descriptors are in place.
      true = Port.command(port, "\n")

      receive do
        {^port, {:data, {:eol, ""}}} ->
          {:os_pid, os_pid} = Port.info(port, :os_pid)
          {:ok, %{options: options, port: port, path: "/proc/#{os_pid}/fd/1"}}
      after
        @patience -> {:stop, :cat_does_not_answer}
      end
    else
      {:ok, %{options: options, port: nil, path: nil}}
    end
  end

  @impl true
  def handle_call(:path, _from, state), do: {:reply, state.path, state}

  @impl true
  def handle_info({port, {:data, {:noeol, part}}}, %{port: port} = state) do
    Instance.log(state.options, part)
    {:noreply, state}
  end

  def handle_info({port, {:data, {:eol, line}}}, %{port: port} = state) do
    Instance.log(state.options, line)
    {:noreply, state}
  end

  # Without it there is no log; the instance goes on.
  def handle_info({port, {:exit_status, _}}, %{port: port} = state),
    do: {:noreply, %{state | port: nil, path: nil}}
end
