defmodule PgliteEx.Template do
  @moduledoc """
  Migrate once, then a fresh database for each test module, or each test, in milliseconds.

  There are two ways. Both begin with a function that migrates.

  **A snapshot**: every test has a PostgreSQL of its own. `build/3` makes the file, or finds that it is there.

      # test_helper.exs
      {:ok, snapshot} =
        PgliteEx.Template.build("_build/test/app.snapshot", [key: PgliteEx.Template.digest("priv/repo/migrations/**")], fn pg ->
          {:ok, _} = MyApp.Repo.start_link(PgliteEx.postgrex_options(pg) ++ [pool_size: 2])
          Ecto.Migrator.run(MyApp.Repo, :up, all: true)
          MyApp.Repo.stop()
        end)

      # in a test
      pg = start_supervised!({PgliteEx, snapshot: snapshot, server: [port: 0]})
      start_supervised!({MyApp.Repo, PgliteEx.postgrex_options(pg) ++ [name: nil]})

  **A database** of one server for each test, by `CREATE DATABASE ... TEMPLATE`:

      {:ok, name} = PgliteEx.Template.create_database(MyApp.Pg, template: "app")
      options = Keyword.put(PgliteEx.postgrex_options(MyApp.Pg), :database, name)
      ...
      :ok = PgliteEx.Template.drop_database(MyApp.Pg, name)

  Nobody may be connected to the template meanwhile.
  """

  alias PgliteEx.{Client, Error, Instance, Program}

  @doc """
  Makes the snapshot at `path`, unless it is there and was made by this program with the same `:key`.

  `key: TERM` stands for what is migrated, see `digest/1`. `fun` is called with an instance in memory, a server unless
  `server: false` is given. Other options are those of `PgliteEx`. The caller, and nobody else, makes it; a failure leaves what was there.
  """
  @spec build(Path.t(), [PgliteEx.option() | {:key, term()}], (pid() -> term())) ::
          {:ok, Path.t()} | {:error, Error.t()}
  def build(path, options \\ [], fun) when is_function(fun, 1) do
    path = Path.expand(path)
    {key, options} = Keyword.pop(options, :key)
    stamp = stamp(key, options)

    if File.regular?(path) and File.read(stamp_file(path)) == {:ok, stamp},
      do: {:ok, path},
      else: make(path, stamp, options, fun)
  end

  defp make(path, stamp, options, fun) do
    File.mkdir_p!(Path.dirname(path))
    _ = File.rm(stamp_file(path))
    part = path <> ".#{System.pid()}-#{System.unique_integer([:positive])}.part"
    options = Keyword.merge([server: [port: 0]], options)
    options = Keyword.merge(options, data_dir: "memory://", save_snapshot: part)
    name = {__MODULE__, make_ref()}

    with {:ok, pid} <- PgliteEx.start_instance(name, options) do
      # The part is written when the instance is stopped.
      try do
        fun.(pid)
      catch
        kind, reason ->
          _ = stop(name, part)
          :erlang.raise(kind, reason, __STACKTRACE__)
      else
        # Another one, started again by its supervisor, would be empty.
        # The registry may not know yet that the first has ended.
        _ ->
          finish(
            name,
            Process.alive?(pid) and match?({:ok, ^pid, _}, Instance.fetch(name)),
            {part, path, stamp}
          )
      end
    end
  end

  defp finish(name, false, {part, _, _}) do
    _ = stop(name, part)
    {:error, Error.new(:program, "the snapshot was not made: the program ended meanwhile")}
  end

  defp finish(name, true, {part, path, stamp}) do
    _ = PgliteEx.stop_instance(name)

    with :ok <- File.rename(part, path),
         :ok <- File.write(stamp_file(path), stamp) do
      {:ok, path}
    else
      {:error, reason} ->
        message = "the snapshot was not made: #{:file.format_error(reason)}"
        {:error, Error.new(:program, message)}
    end
  end

  defp stop(name, part) do
    _ = PgliteEx.stop_instance(name)
    File.rm(part)
  end

  # A snapshot fits one build of the program.
  defp stamp(key, options) do
    program = Program.path!(options[:program])
    %{size: size, mtime: mtime} = File.stat!(program, time: :posix)
    term = {key, program, size, mtime, Keyword.drop(options, [:program])}
    :sha256 |> :crypto.hash(:erlang.term_to_binary(term)) |> Base.encode16(case: :lower)
  end

  defp stamp_file(path), do: path <> ".key"

  @doc """
  A key that changes when one of the files does, or their names do.

      PgliteEx.Template.digest(["priv/repo/migrations/**/*.exs", "priv/repo/structure.sql"])
  """
  @spec digest(Path.t() | [Path.t()]) :: String.t()
  def digest(wildcards) do
    files =
      wildcards |> List.wrap() |> Enum.flat_map(&Path.wildcard/1) |> Enum.filter(&File.regular?/1)

    content = for file <- Enum.sort(files), do: {file, File.read!(file)}
    :sha256 |> :crypto.hash(:erlang.term_to_binary(content)) |> Base.encode16(case: :lower)
  end

  @doc """
  Creates a database of a server, as a copy of the `:template` (`"template1"`), with a name of its own unless `:name`
  is given.

  `:strategy` is PostgreSQL's; by default the quicker one: `:file_copy` in memory, `:wal_log` in a directory.
  """
  @spec create_database(PgliteEx.instance(), [
          {:template, String.t()} | {:name, String.t()} | {:strategy, :file_copy | :wal_log}
        ]) :: {:ok, String.t()} | {:error, Error.t()}
  def create_database(instance, options \\ []) do
    template = Keyword.get(options, :template, "template1")
    random = Base.encode16(:crypto.strong_rand_bytes(6), case: :lower)
    name = Keyword.get(options, :name, "test_#{random}")

    with {:ok, _, entry} <- Instance.fetch(instance),
         strategy =
           Keyword.get(options, :strategy, if(entry.memory, do: :file_copy, else: :wal_log)),
         sql =
           "CREATE DATABASE #{quoted(name)} TEMPLATE #{quoted(template)} STRATEGY #{strategy}",
         {:ok, _} <- run(instance, sql),
         do: {:ok, name}
  end

  @doc "Drops a database of a server, and ends the sessions in it."
  @spec drop_database(PgliteEx.instance(), String.t()) :: :ok | {:error, Error.t()}
  def drop_database(instance, name) do
    with {:ok, _} <- run(instance, "DROP DATABASE IF EXISTS #{quoted(name)} WITH (FORCE)"),
         do: :ok
  end

  defp run(instance, sql) do
    case Instance.fetch(instance) do
      # From a database that nobody makes copies of.
      {:ok, _, %{place: %{} = place}} ->
        Client.run(place, "postgres", sql)

      {:ok, _, _} ->
        {:error, Error.new(:unsupported, "databases beside the first are for servers")}

      error ->
        error
    end
  end

  defp quoted(name), do: "\"" <> String.replace(name, "\"", "\"\"") <> "\""
end
