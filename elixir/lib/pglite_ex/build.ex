defmodule PgliteEx.Build do
  @moduledoc false
  # Where the program comes from when this package is compiled. Used by the Mix tasks; nothing here runs with an
  # application.

  @program "pglite-port"

  @type source ::
          {:program, Path.t()}
          | {:archive, Path.t()}
          | {:prebuilt, Path.t()}
          | {:url, String.t()}
          | {:repository, Path.t()}

  @doc """
  The system that is compiled for, as the names of programs have it: `"linux-amd64"`.

  Nerves says it in TARGET_OS and TARGET_ARCH.

      iex> PgliteEx.Build.target(%{"TARGET_OS" => "linux", "TARGET_ARCH" => "aarch64"})
      "linux-arm64"
  """
  @spec target(%{optional(String.t()) => String.t()}) :: String.t()
  def target(environment \\ System.get_env()) do
    {os, arch} =
      case environment do
        %{"TARGET_ARCH" => arch} -> {Map.get(environment, "TARGET_OS", "linux"), arch}
        _ -> host()
      end

    "#{os}-#{architecture(arch)}"
  end

  @doc "Whether it is compiled for the system that it is compiled on."
  @spec native?() :: boolean()
  def native?, do: target() == target(%{})

  defp host do
    os =
      case :os.type() do
        {:unix, name} -> to_string(name)
        {family, _} -> to_string(family)
      end

    {os,
     :system_architecture |> :erlang.system_info() |> to_string() |> String.split("-") |> hd()}
  end

  defp architecture("x86_64"), do: "amd64"
  defp architecture("aarch64"), do: "arm64"
  defp architecture(other), do: other

  @doc """
  Where the program is taken from: the first of these that there is. `root` is the directory of this package.
  """
  @spec source(Path.t()) :: {:ok, source()} | {:error, String.t()}
  def source(root) do
    target = target()
    prebuilt = Path.join([root, "bin", target, @program])
    repository = Path.dirname(root)

    cond do
      path = variable("PGLITE_EX_ARCHIVE") ->
        {:ok, {:archive, Path.expand(path)}}

      path = variable("PGLITE_PORT") ->
        {:ok, {:program, Path.expand(path)}}

      File.regular?(prebuilt) ->
        {:ok, {:prebuilt, prebuilt}}

      template = Application.get_env(:pglite_ex, :archive_url) ->
        {:ok, {:url, url(template, target)}}

      File.regular?(Path.join(repository, "CMakePresets.json")) ->
        from_repository(repository, target)

      true ->
        {:error, nowhere(prebuilt)}
    end
  end

  defp from_repository(repository, target) do
    if native?(),
      do: {:ok, {:repository, repository}},
      else:
        {:error,
         "the repository builds for #{target(%{})} only, not for #{target}; " <> remedies()}
  end

  defp nowhere(prebuilt),
    do: "there is no #{prebuilt}, and no repository to build it from; " <> remedies()

  defp remedies do
    "set PGLITE_EX_ARCHIVE to a release archive, or PGLITE_PORT to a program, or config :pglite_ex, archive_url: ..."
  end

  defp variable(name) do
    case System.get_env(name) do
      "" -> nil
      value -> value
    end
  end

  @doc false
  @spec url(String.t(), String.t()) :: String.t()
  def url(template, target) do
    template
    |> String.replace("{version}", version())
    |> String.replace("{target}", target)
  end

  defp version, do: Mix.Project.config()[:version]

  @doc "Puts the program of `source` at `destination`. `say` is called with what takes long."
  @spec install(source(), Path.t(), Path.t(), (String.t() -> term())) ::
          :ok | {:error, String.t()}
  def install({:program, path}, _root, destination, _say), do: copy(path, destination)

  def install({:prebuilt, path}, root, destination, _say) do
    name = Path.join(Path.basename(Path.dirname(path)), @program)

    with {:ok, bytes} <- read(path),
         :ok <- verify(bytes, name, root),
         do: write(bytes, destination)
  end

  def install({:archive, path}, root, destination, _say) do
    with {:ok, bytes} <- read(path),
         :ok <- verify(bytes, Path.basename(path), root),
         {:ok, program} <- unpack(bytes, path),
         do: write(program, destination)
  end

  def install({:url, url}, root, destination, say) do
    say.("fetching #{url}")

    with {:ok, bytes} <- fetch(url),
         :ok <- verify(bytes, url |> URI.parse() |> Map.fetch!(:path) |> Path.basename(), root),
         {:ok, program} <- unpack(bytes, url),
         do: write(program, destination)
  end

  def install({:repository, repository}, _root, destination, say) do
    say.(
      "building #{@program} with make build in #{repository}; the first time takes some minutes"
    )

    options = [stderr_to_stdout: true, into: IO.stream(:stdio, :line)]

    case System.cmd("make", ["-C", repository, "build"], options) do
      {_, 0} -> copy(built(repository), destination)
      {_, status} -> {:error, "make build in #{repository} ended with #{status}"}
    end
  rescue
    # System.cmd/3 has not found it.
    ErlangError -> {:error, "make is not installed; it is needed to build from source"}
  end

  @doc "The program that the repository's build makes."
  @spec built(Path.t()) :: Path.t()
  def built(repository), do: Path.join([repository, "build", "release", @program])

  @doc "The file that is as old as the program, where a source is a file."
  @spec file(source()) :: Path.t() | nil
  def file({:url, _}), do: nil
  def file({:repository, repository}), do: built(repository)
  def file({_, path}), do: path

  defp read(path) do
    with {:error, reason} <- File.read(path),
         do: {:error, "cannot read #{path}: #{:file.format_error(reason)}"}
  end

  # A program that runs must not be written to; it is replaced.
  defp write(bytes, destination), do: replace(destination, &File.write(&1, bytes))

  defp copy(path, destination) do
    if File.regular?(path),
      do: replace(destination, &File.cp(path, &1)),
      else: {:error, "there is no program at #{path}"}
  end

  defp replace(destination, make) do
    part = destination <> ".part"

    with :ok <- File.mkdir_p(Path.dirname(destination)),
         :ok <- make.(part),
         :ok <- File.chmod(part, 0o755),
         :ok <- File.rename(part, destination) do
      :ok
    else
      {:error, reason} ->
        File.rm(part)
        {:error, "cannot make #{destination}: #{:file.format_error(reason)}"}
    end
  end

  defp verify(bytes, name, root) do
    file = Application.get_env(:pglite_ex, :checksums) || Path.join(root, "checksums.txt")
    found = :sha256 |> :crypto.hash(bytes) |> Base.encode16(case: :lower)

    with {:ok, text} <- read(file) do
      case checksums(text) do
        %{^name => ^found} ->
          :ok

        %{^name => other} ->
          {:error, "#{name} has the checksum #{found}, and #{file} says #{other}"}

        _ ->
          {:error, "#{name} is not in #{file}; if you trust it, add the line\n#{found}  #{name}"}
      end
    end
  end

  defp checksums(text) do
    for line <- String.split(text, "\n", trim: true),
        not String.starts_with?(line, "#"),
        [sum, name] <- [String.split(line, ~r/\s+\*?/, parts: 2)],
        into: %{},
        do: {String.trim(name), String.downcase(sum)}
  end

  defp unpack(bytes, from) do
    with {:ok, files} <- :erl_tar.extract({:binary, bytes}, [:memory, :compressed]),
         {_, program} <-
           Enum.find(files, fn {name, _} -> Path.basename(to_string(name)) == @program end) do
      {:ok, program}
    else
      nil -> {:error, "there is no #{@program} in #{from}"}
      {:error, reason} -> {:error, "cannot unpack #{from}: #{inspect(reason)}"}
    end
  end

  # Checksums say what is right; the certificate is checked all the same.
  defp fetch(url) do
    {:ok, _} = Application.ensure_all_started(:inets)
    {:ok, _} = Application.ensure_all_started(:ssl)
    ssl = if String.starts_with?(url, "https:"), do: [ssl: ssl_options(url)], else: []
    request = {String.to_charlist(url), []}

    case :httpc.request(:get, request, [timeout: 600_000] ++ ssl, body_format: :binary) do
      {:ok, {{_, 200, _}, _, body}} -> {:ok, body}
      {:ok, {{_, status, _}, _, _}} -> {:error, "#{url} was answered with #{status}"}
      {:error, reason} -> {:error, "cannot fetch #{url}: #{inspect(reason)}"}
    end
  end

  defp ssl_options(url) do
    [
      verify: :verify_peer,
      cacerts: :public_key.cacerts_get(),
      server_name_indication: url |> URI.parse() |> Map.fetch!(:host) |> String.to_charlist(),
      customize_hostname_check: [match_fun: :public_key.pkix_verify_hostname_match_fun(:https)]
    ]
  end
end
