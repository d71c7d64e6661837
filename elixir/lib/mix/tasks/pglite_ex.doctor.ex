defmodule Mix.Tasks.PgliteEx.Doctor do
  @shortdoc "Says what is wrong with a set-up of PgliteEx"
  @moduledoc """
  Looks for what may keep PgliteEx from working, and says what to do.

      mix pglite_ex.doctor

  It exits with 1 when something is wrong. Where this package cannot be compiled, because there is no program for it, Mix
  does not come so far; this leaves the compiling out:

      mix do deps.loadpaths --no-compile --no-deps-check + pglite_ex.doctor
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

    set_up = [
      {"compiler", fn -> compiled end},
      {"system", &system/0},
      {"source", &source/0},
      {"program", &program/0},
      {"address space", &address_space/0},
      {"temporary directory", &temporary_directory/0},
      {"log", &log/0},
      {"libraries", &libraries/0}
    ]

    running = [{"version", &version/0}, {"port", &port/0}, {"server", &server/0}]
    wrong = wrong(set_up)

    # What is not there, or compiled for another system, cannot run.
    wrong =
      if "program" in wrong or not Build.native?(),
        do: wrong,
        else: wrong ++ wrong(running)

    unless wrong == [] do
      Mix.shell().error("wrong: " <> Enum.join(wrong, ", "))
      exit({:shutdown, 1})
    end
  end

  defp wrong(checks),
    do: for({name, check} <- checks, not report(name, safely(check)), do: name)

  defp compile do
    case Mix.Task.run("compile", ["--return-errors"]) do
      {:error, diagnostics} -> {:wrong, Enum.map_join(diagnostics, "; ", & &1.message)}
      _ -> {:ok, "has nothing to say"}
    end
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
    if Build.native?(),
      do: {:ok, Build.target()},
      else:
        {:note,
         "compiled for #{Build.target()} on #{Build.target(%{})}: what runs there is not looked at"}
  end

  # Where the compiler takes the program from; what takes long is not tried.
  defp source do
    {root, _} = Build.directories()

    with {:ok, source} <- Build.source(root),
         :ok <- try_source(source, root) do
      {:ok, Build.describe(source)}
    else
      {:error, message} -> {:wrong, message}
    end
  end

  defp try_source({kind, _}, _root) when kind in [:url, :repository], do: :ok

  defp try_source(source, root) do
    with {:ok, _} <- Build.obtain(source, root, & &1, Build.target()), do: :ok
  end

  defp program do
    {source, path} = if Build.native?(), do: Program.find(), else: {"priv", Program.in_priv()}

    with {:ok, %{mode: mode}} <- File.stat(path),
         {:ok, system} <- Build.system_of(path) do
      cond do
        system not in [nil, Build.target()] -> {:wrong, "#{path} is for #{system}"}
        Bitwise.band(mode, 0o111) == 0 -> {:wrong, "#{path} is not executable: chmod +x #{path}"}
        true -> {:ok, path}
      end
    else
      {:error, reason} -> {:wrong, "#{path} (#{source}): #{:file.format_error(reason)}"}
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
    with_instance([], fn pid ->
      %{rows: [[version]]} = PgliteEx.query!(pid, "show server_version")
      "PostgreSQL #{version} answers"
    end)
  end

  defp server, do: with_instance([server: [port: 0]], &"was ready on #{PgliteEx.url(&1)}")

  defp with_instance(options, fun) do
    case PgliteEx.start_instance(__MODULE__, options) do
      {:ok, pid} ->
        text = fun.(pid)
        :ok = PgliteEx.stop_instance(pid)
        {:ok, text}

      {:error, error} when is_exception(error) ->
        {:wrong, Exception.message(error)}

      {:error, reason} ->
        {:wrong, inspect(reason)}
    end
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
