defmodule Mix.Tasks.Compile.PgliteEx do
  @shortdoc "Puts the program pglite-port into priv"
  @moduledoc """
  Puts the program `pglite-port` into the `priv` directory of this application. It runs with `mix compile`.

      mix compile.pglite_ex [--force]

  The program comes from the first of these that there is:

    1. a release archive that `PGLITE_EX_ARCHIVE` names
    2. a program that `PGLITE_PORT` names
    3. `bin/OS-ARCH/pglite-port` in this package, such as `bin/linux-amd64/pglite-port`
    4. a release archive that is fetched: `config :pglite_ex, archive_url: "https://.../pglite-port-{version}-{target}.tar.gz"`
    5. the repository around this package, with its own build (`make build`), for the machine that compiles

  1, 3 and 4 must be in `checksums.txt`, or in the file that `config :pglite_ex, checksums: PATH` names (an absolute path). An
  archive is a tar file, compressed with gzip, with `bin/OS-ARCH/pglite-port` for one system or for several in it, or with
  one `pglite-port` anywhere.

  5 installs the Debian packages that it needs where they are missing, if it may.

  `TARGET_OS` and `TARGET_ARCH` say what it is compiled for, as Nerves sets them. A program for another system is refused.

  It is done again when the file it came from is newer, when another source is chosen, and with `--force`.
  """

  use Mix.Task.Compiler
  alias PgliteEx.Build

  @impl true
  def run(arguments) do
    {root, _} = Build.directories()
    destination = destination()

    case Build.source(root) do
      {:ok, source} ->
        if "--force" in arguments or stale?(source, destination),
          do: install(source, root, destination),
          else: {:noop, []}

      {:error, reason} ->
        failed(reason)
    end
  end

  defp install(source, root, destination) do
    case Build.install(source, root, destination, &Mix.shell().info("pglite_ex: " <> &1)) do
      :ok ->
        Mix.shell().info(
          "pglite_ex: #{Path.relative_to_cwd(destination)} is there, from #{Build.describe(source)}"
        )

        File.mkdir_p!(Path.dirname(manifest()))
        File.write!(manifest(), stamp(source))
        {:ok, []}

      {:error, reason} ->
        failed(reason)
    end
  end

  defp stale?(source, destination) do
    not File.regular?(destination) or File.read(manifest()) != {:ok, stamp(source)}
  end

  # What was installed: the target, the source, and the state of its file.
  defp stamp(source) do
    state =
      with path when path != nil <- Build.file(source),
           {:ok, stat} <- File.stat(path, time: :posix),
           do: {stat.size, stat.mtime}

    inspect({Build.target(), source, state})
  end

  defp failed(reason) do
    Mix.shell().error("pglite_ex: " <> reason)
    message = "pglite_ex: " <> reason

    {:error,
     [
       %Mix.Task.Compiler.Diagnostic{
         compiler_name: "pglite_ex",
         file: Path.expand("mix.exs"),
         message: message,
         position: nil,
         severity: :error
       }
     ]}
  end

  @impl true
  def manifests, do: [manifest()]

  defp manifest, do: in_build([".mix", "compile.pglite_ex"])
  defp destination, do: in_build(["priv", "pglite-port"])

  defp in_build(names) do
    {_, build} = Build.directories()
    Path.join([build | names])
  end

  @impl true
  def clean do
    _ = File.rm(destination())
    _ = File.rm(manifest())
    :ok
  end
end
