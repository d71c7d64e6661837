defmodule PgliteEx.Build do
  @moduledoc false
  # Where the program comes from when this package is compiled. Used by the Mix tasks; nothing here runs with an
  # application.

  @program "pglite-port"
  @version Mix.Project.config()[:version]
  # So much of a file says what system it is for.
  @head 20

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
  The directory of this package, and the one of what it is compiled to, in its own project and in one that depends on it.
  """
  @spec directories() :: {Path.t(), Path.t()}
  def directories do
    case Mix.Project.deps_paths() do
      %{pglite_ex: root} -> {root, Path.join([Mix.Project.build_path(), "lib", "pglite_ex"])}
      _ -> {File.cwd!(), Mix.Project.app_path()}
    end
  end

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
    |> String.replace("{version}", @version)
    |> String.replace("{target}", target)
  end

  @doc """
  Puts the program of `source` for `target` at `destination`. `say` is called with what takes long.
  """
  @spec install(source(), Path.t(), Path.t(), (String.t() -> term()), String.t()) ::
          :ok | {:error, String.t()}
  def install(source, root, destination, say, target \\ target()) do
    with {:ok, program} <- obtain(source, root, say, target), do: put(program, destination)
  end

  @doc "As `install/5`, but the program is put nowhere."
  @spec obtain(source(), Path.t(), (String.t() -> term()), String.t()) ::
          {:ok, {:bytes, binary()} | {:file, Path.t()}} | {:error, String.t()}
  def obtain({:program, path}, _root, _say, target), do: program(path, target)

  def obtain({:prebuilt, path}, root, _say, target) do
    name = Path.join(Path.basename(Path.dirname(path)), @program)

    with {:ok, bytes} <- read(path),
         :ok <- verify(bytes, name, root),
         :ok <- bytes |> system() |> fits(path, target),
         do: {:ok, {:bytes, bytes}}
  end

  def obtain({:archive, path}, root, _say, target) do
    with {:ok, bytes} <- read(path), do: unpack_trusted(bytes, path, path, root, target)
  end

  def obtain({:url, url}, root, say, target) do
    say.("fetching #{url}")

    with {:ok, bytes} <- fetch(url, target),
         do: unpack_trusted(bytes, url, URI.parse(url).path, root, target)
  end

  def obtain({:repository, repository}, _root, say, target) do
    say.(
      "building #{@program} with make build in #{repository}; the first time takes some minutes"
    )

    options = [stderr_to_stdout: true, into: IO.stream(:stdio, :line)]

    case System.cmd("make", ["-C", repository, "build"], options) do
      {_, 0} -> program(built(repository), target)
      {_, status} -> {:error, "make build in #{repository} ended with #{status}"}
    end
  rescue
    # System.cmd/3 has not found it.
    ErlangError -> {:error, "make is not installed; it is needed to build from source"}
  end

  defp program(path, target) do
    with true <- File.regular?(path),
         {:ok, system} <- system_of(path),
         :ok <- fits(system, path, target) do
      {:ok, {:file, path}}
    else
      false -> {:error, "there is no program at #{path}"}
      {:error, reason} when is_atom(reason) -> cannot("read", path, reason)
      {:error, message} -> {:error, message}
    end
  end

  defp unpack_trusted(bytes, from, path, root, target) do
    with :ok <- verify(bytes, Path.basename(path), root),
         {:ok, program} <- unpack(bytes, from, target),
         :ok <- program |> system() |> fits(from, target),
         do: {:ok, {:bytes, program}}
  end

  @doc "The program that the repository's build makes."
  @spec built(Path.t()) :: Path.t()
  def built(repository), do: Path.join([repository, "build", "release", @program])

  @doc "A source as people read it."
  @spec describe(source()) :: String.t()
  def describe({:url, url}), do: url
  def describe(source), do: file(source)

  @doc "The file that is as old as the program, where a source is a file."
  @spec file(source()) :: Path.t() | nil
  def file({:url, _}), do: nil
  def file({:repository, repository}), do: built(repository)
  def file({_, path}), do: path

  defp read(path) do
    with {:error, reason} <- File.read(path), do: cannot("read", path, reason)
  end

  # A program that runs must not be written to; it is replaced.
  defp put(program, destination) do
    part = destination <> ".part"

    with :ok <- File.mkdir_p(Path.dirname(destination)),
         :ok <- write(program, part),
         :ok <- File.chmod(part, 0o755),
         :ok <- File.rename(part, destination) do
      :ok
    else
      {:error, reason} ->
        _ = File.rm(part)
        cannot("make", destination, reason)
    end
  end

  defp write({:bytes, bytes}, part), do: File.write(part, bytes)
  defp write({:file, path}, part), do: File.cp(path, part)

  defp cannot(do_what, path, reason),
    do: {:error, "cannot #{do_what} #{path}: #{:file.format_error(reason)}"}

  # What is built into an image of another system would fail there, and nowhere before.
  defp fits(system, _from, target) when system in [nil, target], do: :ok

  defp fits(system, from, target),
    do: {:error, "#{from} is for #{system}, and it is compiled for #{target}"}

  @doc "The system that the program in a file is for, see `system/1`."
  @spec system_of(Path.t()) :: {:ok, String.t() | nil} | {:error, File.posix()}
  def system_of(path) do
    with {:ok, head} <- File.open(path, [:read, :binary], &IO.binread(&1, @head)),
         do: {:ok, if(is_binary(head), do: system(head))}
  end

  @doc """
  The system that a program is for, from its first bytes; `nil` where they do not say.

      iex> PgliteEx.Build.system("#!/bin/sh")
      nil
  """
  @spec system(binary()) :: String.t() | nil
  def system(<<0x7F, "ELF", 2, 1, 1, abi, _::binary-10, machine::little-16, _::binary>>)
      when abi in [0, 3] do
    case machine do
      0x3E -> "linux-amd64"
      0xB7 -> "linux-arm64"
      0xF3 -> "linux-riscv64"
      _ -> nil
    end
  end

  def system(<<0xFEEDFACF::little-32, 0x01000007::little-32, _::binary>>), do: "darwin-amd64"
  def system(<<0xFEEDFACF::little-32, 0x0100000C::little-32, _::binary>>), do: "darwin-arm64"
  def system(_head), do: nil

  defp verify(bytes, name, root) do
    file = Application.get_env(:pglite_ex, :checksums) || Path.join(root, "checksums.txt")
    found = :sha256 |> :crypto.hash(bytes) |> Base.encode16(case: :lower)

    with {:ok, text} <- read(file) do
      case checksums(text) do
        %{^name => ^found} ->
          :ok

        %{^name => other} ->
          {:error,
           "#{name} has the checksum #{found}, and #{file} says #{other}: it is damaged, or another one; get it again"}

        _ ->
          {:error,
           "#{name} is not in #{file} (config :pglite_ex, checksums: names another file); if you trust it, add the line\n#{found}  #{name}"}
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

  defp unpack(bytes, from, target) do
    case :erl_tar.extract({:binary, bytes}, [:memory, :compressed]) do
      {:ok, files} ->
        programs =
          for {name, program} <- files,
              [@program | directories] <- [name |> to_string() |> Path.split() |> Enum.reverse()],
              do: {directories, program}

        pick(programs, from, target)

      {:error, reason} ->
        {:error, "cannot unpack #{from}: #{inspect(reason)}"}
    end
  end

  # The one in bin/TARGET, or the only one.
  defp pick(programs, from, target) do
    laid = for {[target, "bin" | _], program} <- programs, into: %{}, do: {target, program}

    case {laid, programs} do
      {%{^target => program}, _} -> {:ok, program}
      {none, [{_, program}]} when none == %{} -> {:ok, program}
      {_, []} -> {:error, "there is no #{@program} in #{from}"}
      _ -> {:error, "#{from} has no #{@program} for #{target}; it has #{names(laid)}"}
    end
  end

  defp names(laid) when laid == %{}, do: "some, and does not say for what"
  defp names(laid), do: laid |> Map.keys() |> Enum.sort() |> Enum.join(", ")

  # Checksums say what is right; the certificate is checked all the same.
  defp fetch(url, target) do
    {:ok, _} = Application.ensure_all_started(:inets)
    {:ok, _} = Application.ensure_all_started(:ssl)
    ssl = if String.starts_with?(url, "https:"), do: [ssl: ssl_options(url)], else: []
    request = {String.to_charlist(url), []}

    case :httpc.request(:get, request, [timeout: 600_000] ++ ssl, body_format: :binary) do
      {:ok, {{_, 200, _}, _, body}} ->
        {:ok, body}

      {:ok, {{_, 404, _}, _, _}} ->
        {:error, "#{url} was answered with 404: is there a release for #{target}?"}

      {:ok, {{_, status, _}, _, _}} ->
        {:error, "#{url} was answered with #{status}"}

      {:error, reason} ->
        {:error, "cannot fetch #{url}: #{inspect(reason)}"}
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
