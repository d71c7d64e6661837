defmodule Mix.Tasks.PgliteEx.Doctor do
  @shortdoc "Says what is wrong with a set-up of PgliteEx"
  @moduledoc """
  Looks for what may keep PgliteEx from working, and says what to do.

      mix pglite_ex.doctor

  It exits with 1 when something is wrong.
  """

  use Mix.Task
  alias PgliteEx.{Build, Program}

  # What one session takes of address space, with some room.
  @address_space 9 * 1024 * 1024

  @impl true
  def run(_arguments) do
    # What the compiler has to say is part of the diagnosis: it must not end it.
    compiled = compile()
    _ = Application.ensure_all_started(:pglite_ex)

    checks = [
      {"compiler", fn -> compiled end},
      {"system", &system/0},
      {"program", &program/0},
      {"version", &version/0},
      {"address space", &address_space/0},
      {"temporary directory", &temporary_directory/0},
      {"log", &log/0},
      {"port", &port/0},
      {"server", &server/0},
      {"libraries", &libraries/0}
    ]

    wrong = for {name, check} <- checks, not report(name, safely(check)), do: name

    unless wrong == [] do
      Mix.shell().error("wrong: " <> Enum.join(wrong, ", "))
      exit({:shutdown, 1})
    end
  end

  defp compile do
    Mix.Task.run("compile", ["--return-errors"])
    {:ok, "has nothing to say"}
  rescue
    error -> {:wrong, Exception.message(error)}
  end

  defp safely(check) do
    check.()
  rescue
    error -> {:wrong, Exception.message(error)}
  catch
    :exit, reason -> {:wrong, inspect(reason)}
  end

  defp report(name, {:ok, text}) do
    Mix.shell().info("ok     #{name}: #{text}")
    true
  end

  defp report(name, {:note, text}) do
    Mix.shell().info("note   #{name}: #{text}")
    true
  end

  defp report(name, {:wrong, text}) do
    Mix.shell().error("wrong  #{name}: #{text}")
    false
  end

  defp system do
    case {Build.target(), Build.native?()} do
      {"linux-amd64", true} ->
        {:ok, "linux-amd64"}

      {target, true} ->
        {:wrong, "#{target}: the program is for linux-amd64"}

      {target, false} ->
        {:note, "compiled for #{target}; what follows is about #{Build.target(%{})}"}
    end
  end

  defp program do
    path = Program.path!()

    case File.stat(path) do
      {:ok, %{mode: mode}} when Bitwise.band(mode, 0o111) != 0 -> {:ok, path}
      {:ok, _} -> {:wrong, "#{path} is not executable: chmod +x #{path}"}
      {:error, reason} -> {:wrong, "#{path}: #{:file.format_error(reason)}"}
    end
  end

  defp version do
    case System.cmd(Program.path!(), ["--version"], stderr_to_stdout: true) do
      {"pglite-port " <> _ = text, 0} ->
        {:ok, String.trim(text)}

      {text, status} ->
        {:wrong, "it ended with #{status} and said #{inspect(text)}: is it for another system?"}
    end
  end

  defp address_space do
    case System.cmd("/bin/sh", ["-c", "ulimit -v"]) do
      {"unlimited\n", 0} ->
        {:ok, "not limited"}

      {text, 0} ->
        kilobytes = text |> String.trim() |> String.to_integer()

        if kilobytes >= @address_space,
          do: {:ok, "#{kilobytes} KB"},
          else:
            {:wrong,
             "ulimit -v is #{kilobytes} KB; an instance reserves 8.25 GiB. Raise the limit"}

      {text, status} ->
        {:note, "ulimit -v ended with #{status}: #{text}"}
    end
  end

  defp temporary_directory do
    case System.tmp_dir() do
      nil ->
        {:wrong, "none can be written to: set TMPDIR. Snapshots and passwords of servers need it"}

      path ->
        {:ok, path}
    end
  end

  defp log do
    if System.find_executable("cat") != nil and File.dir?("/proc/self/fd"),
      do: {:ok, "goes to Logger"},
      else: {:note, "a port's log goes to the VM's stderr, because there is no cat or no /proc"}
  end

  defp port do
    {:ok, pid} = PgliteEx.start_instance({__MODULE__, :port}, [])
    %{rows: [[version]]} = PgliteEx.query!(pid, "show server_version")
    :ok = PgliteEx.stop_instance(pid)
    {:ok, "PostgreSQL #{version} answers"}
  end

  defp server do
    {:ok, pid} = PgliteEx.start_instance({__MODULE__, :server}, server: [port: 0])
    url = PgliteEx.url(pid)
    :ok = PgliteEx.stop_instance(pid)
    {:ok, "was ready on #{url}"}
  end

  defp libraries do
    here =
      for module <- [:telemetry, Decimal, Jason, Postgrex, Ecto],
          Code.ensure_loaded?(module),
          do: inspect(module)

    if here == [],
      do: {:note, "no optional library is loaded"},
      else: {:ok, Enum.join(here, ", ")}
  end
end
