defmodule PgliteEx do
  @moduledoc """
  PostgreSQL 18 as one native program, started and supervised from Elixir.

  There are two kinds of instances. Both hold a whole PostgreSQL, in memory or in a directory.

  **A server** speaks PostgreSQL's protocol on a socket, for Ecto, Postgrex and every other client:

      children = [
        {PgliteEx, name: MyApp.Pg, data_dir: "memory://", server: [port: 0]},
        ...
      ]

      {:ok, db} = Postgrex.start_link(PgliteEx.postgrex_options(MyApp.Pg))

  **A port** has one session and needs no client: the functions of this module query it.

      iex> {:ok, db} = PgliteEx.start_link()
      iex> PgliteEx.query!(db, "select $1::int + 1 as n", [41]).rows
      [[42]]
      iex> {:error, %PgliteEx.Error{code: "22012"}} = PgliteEx.query(db, "select 1/0")
      iex> PgliteEx.stop_instance(db)
      :ok

  Any number of processes may query one port. They take turns, and each gets its own answer. Whoever opens a
  transaction has the session alone until its end; the others wait.

  ## Options

    * `:name` - any term. Functions of this module take it, or the pid
    * `:data_dir` - `"memory://"` (the default), or a directory, which is made when it is missing
    * `:server` - a keyword list makes it a server; see below
    * `:username`, `:database` - `"postgres"`, or the database that a `:snapshot` has
    * `:settings` - settings of PostgreSQL's, such as `[work_mem: "8MB"]`
    * `:durability` - `:full` (the default in a directory), `:relaxed` or `:off`
    * `:autovacuum` - `true`
    * `:snapshot` - start `memory://` from this file, see `snapshot/2` and `PgliteEx.Template`
    * `:save_snapshot` - write this file when the instance is stopped
    * `:timeout` - of a request to a port, 15,000 ms, or `:infinity`. It counts from the call, waiting included
    * `:max_queue` - so many callers may wait for a port; `:infinity`
    * `:start_timeout` - 60,000 ms
    * `:shutdown_timeout` - 10,000 ms; then the program is killed
    * `:lock_timeout` - how long to wait for a directory or a port that is in use, 5,000 ms
    * `:program` - the path of `pglite-port`, see `PgliteEx.Program`
    * `:debug` - 0 to 5, how much the program logs
    * `:log_level` - the level of its ordinary lines in Logger, `:debug`. Failures have `:error`

  Those of `:server`:

    * `:port` - of TCP; 0 (the default) takes a free one. With a `:socket_dir` there is none unless it is given
    * `:host` - where it listens, `"127.0.0.1"`
    * `:socket_dir`, `:socket_port` - the directory of a Unix socket, and the number in its name
    * `:password` - the role gets it; give `auth: :scram` to have it asked for
    * `:auth` - `:remote` (clients of other hosts give a password), `:scram` (all), `:trust` (nobody), `:hba`
    * `:tls_cert`, `:tls_key` - PEM files
    * `:metrics` - `"127.0.0.1:9187"`, for Prometheus

  ## Failures

  Functions return `{:error, %PgliteEx.Error{}}`. When the program ends, so does the instance, and those that wait get
  `{:error, %PgliteEx.Error{reason: {:exit_status, status}}}`. A caller whose time is up gets `reason: :timeout`; its
  query is cancelled, as is that of a caller that dies. Arguments that make no sense raise `ArgumentError`.

  When the VM ends, however it does, the program ends.
  """

  alias PgliteEx.Bridge.PortBridge

  alias PgliteEx.{
    Copy,
    Error,
    Instance,
    Options,
    Program,
    Protocol,
    Result,
    Server,
    Telemetry,
    Types
  }

  @typedoc "The name of an instance, or its process."
  @type instance :: pid() | term()

  @typedoc "An option of an instance; what they mean is said above."
  @type option ::
          {:name, term()}
          | {:data_dir, String.t()}
          | {:server, [server_option()] | boolean() | nil}
          | {:username, String.t()}
          | {:database, String.t() | nil}
          | {:settings,
             [{atom() | String.t(), setting()}] | %{(atom() | String.t()) => setting()}}
          | {:durability, :full | :relaxed | :off | nil}
          | {:autovacuum, boolean()}
          | {:snapshot, Path.t() | nil}
          | {:save_snapshot, Path.t() | nil}
          | {:timeout, timeout()}
          | {:max_queue, pos_integer() | :infinity}
          | {:start_timeout, non_neg_integer()}
          | {:shutdown_timeout, non_neg_integer()}
          | {:lock_timeout, non_neg_integer()}
          | {:program, Path.t() | nil}
          | {:debug, 0..5}
          | {:log_level, :debug | :info | :notice | :warning | :error}

  @typedoc "An option of `:server`."
  @type server_option ::
          {:port, :inet.port_number() | nil}
          | {:host, String.t()}
          | {:socket_dir, Path.t() | nil}
          | {:socket_port, :inet.port_number()}
          | {:password, String.t() | nil}
          | {:auth, :remote | :scram | :trust | :hba | nil}
          | {:tls_cert, Path.t() | nil}
          | {:tls_key, Path.t() | nil}
          | {:metrics, String.t() | nil}

  @typedoc "The value of a setting of PostgreSQL's, as it is written there or as a term that prints so."
  @type setting :: String.t() | number() | atom()

  @typedoc "An option of a request. `:timeout`, in milliseconds, counts from the call; by default it is the instance's."
  @type query_option :: {:timeout, timeout()}

  @typedoc "What `instance_info/1` returns. Some of it is there for one of the modes only."
  @type info :: %{
          required(:name) => term(),
          required(:pid) => pid(),
          required(:mode) => :port | :server,
          required(:data_dir) => String.t(),
          required(:database) => String.t() | nil,
          required(:username) => String.t(),
          required(:program) => Path.t(),
          required(:os_pid) => non_neg_integer() | nil,
          optional(:status) => :idle | :busy,
          optional(:waiting) => non_neg_integer(),
          optional(:host) => String.t() | nil,
          optional(:port) => :inet.port_number() | nil,
          optional(:socket_dir) => Path.t() | nil
        }

  @rows_at_once 500

  # --- Instances ---

  @doc """
  Starts an instance that is linked to the caller. It is ready when this returns.
  """
  @spec start_link([option()]) :: GenServer.on_start()
  def start_link(options \\ []) do
    options = Options.new!(options)
    if options.server, do: Server.start_link(options), else: PortBridge.start_link(options)
  end

  @doc "For a supervision tree."
  @spec child_spec([option()]) :: Supervisor.child_spec()
  def child_spec(options) do
    # Longer than the program may take.
    shutdown = Keyword.get(options, :shutdown_timeout, %Options{}.shutdown_timeout) + 6_000

    %{
      id: Keyword.get(options, :name, __MODULE__),
      start: {__MODULE__, :start_link, [options]},
      shutdown: shutdown
    }
  end

  @doc """
  Starts an instance under a supervisor of this application, which restarts it when its program ends.

  One that goes on failing is given up, without harm to the others.
  """
  @spec start_instance(term(), [option()]) :: {:ok, pid()} | {:error, term()}
  def start_instance(name, options \\ []) do
    _ = Options.new!(options)
    child = child_spec([name: name] ++ Keyword.delete(options, :name))
    via = {:via, Registry, {PgliteEx.Registry, {:supervisor, name}}}
    arguments = [[child], [strategy: :one_for_one, name: via]]

    supervisor = %{
      id: name,
      type: :supervisor,
      restart: :temporary,
      start: {Supervisor, :start_link, arguments}
    }

    case DynamicSupervisor.start_child(PgliteEx.InstanceSupervisor, supervisor) do
      {:ok, supervisor} ->
        case Supervisor.which_children(supervisor) do
          [{_, pid, _, _}] when is_pid(pid) -> {:ok, pid}
          _ -> {:error, Error.new(:not_found, "the instance has ended")}
        end

      {:error, {:shutdown, {:failed_to_start_child, _, reason}}} ->
        {:error, reason}

      {:error, reason} ->
        {:error, reason}
    end
  end

  @doc """
  Stops an instance, in order. One in a supervision tree of yours may be started again by that.
  """
  @spec stop_instance(instance()) :: :ok | {:error, Error.t()}
  def stop_instance(instance) do
    with {:ok, pid, entry} <- Instance.fetch(instance) do
      case Registry.lookup(PgliteEx.Registry, {:supervisor, entry.name}) do
        [{supervisor, _}] ->
          _ = DynamicSupervisor.terminate_child(PgliteEx.InstanceSupervisor, supervisor)
          :ok

        [] ->
          GenServer.stop(pid, :normal, :infinity)
      end
    end
  catch
    # It has ended meanwhile.
    :exit, _ -> :ok
  end

  @doc "All instances: their names (`nil` where they have none) and processes."
  @spec list_instances() :: [{term(), pid()}]
  def list_instances, do: Instance.list()

  @doc """
  What an instance is and does: `:mode` (`:port` or `:server`), `:data_dir`, `:os_pid`, `:program` and so on; of a port
  also whether it is `:idle`, and how many are `:waiting`; of a server `:host`, `:port` and `:socket_dir`.
  """
  @spec instance_info(instance()) :: {:ok, info()} | {:error, Error.t()}
  def instance_info(instance) do
    with {:ok, pid, entry} <- Instance.fetch(instance),
         %{mode: _} = info <- entry.module.info(pid),
         do: {:ok, info}
  end

  # --- Servers ---

  @doc """
  What `Postgrex.start_link/1` and the configuration of an Ecto repository take.

      iex> {:ok, pg} = PgliteEx.start_link(server: [port: 0], database: "shop")
      iex> PgliteEx.postgrex_options(pg) |> Keyword.delete(:port)
      [hostname: "127.0.0.1", username: "postgres", database: "shop"]

  A Unix socket comes first where there is one.
  """
  @spec postgrex_options(instance()) :: keyword()
  def postgrex_options(instance) do
    place = place!(instance)

    address =
      if place.socket_dir,
        do: [socket_dir: place.socket_dir, port: place.socket_port],
        else: [hostname: place.host, port: place.port]

    address ++
      [username: place.username, database: place.database] ++
      if(place.password, do: [password: place.password], else: [])
  end

  @doc """
  The same as a URL, as Ecto takes it. A Unix socket, where there is no TCP, is its parameter `socket_dir`.
  """
  @spec url(instance()) :: String.t()
  def url(instance) do
    place = place!(instance)
    password = if place.password, do: ":" <> encoded(place.password), else: ""

    {host, port, parameters} =
      if place.port,
        do: {place.host, place.port, ""},
        else: {"localhost", place.socket_port, "?socket_dir=" <> encoded(place.socket_dir)}

    host = if String.contains?(host, ":"), do: "[#{host}]", else: host

    "postgresql://#{encoded(place.username)}#{password}@#{host}:#{port}/#{encoded(place.database)}#{parameters}"
  end

  defp encoded(text), do: URI.encode(text, &URI.char_unreserved?/1)

  defp place!(instance) do
    case Instance.fetch(instance) do
      {:ok, _, %{place: %{} = place}} ->
        place

      {:ok, _, _} ->
        raise ArgumentError,
              "#{inspect(instance)} is no server: start it with the option :server, such as server: [port: 0]"

      {:error, error} ->
        raise error
    end
  end

  # --- Queries ---

  @doc """
  Runs one statement, with parameters `$1`, `$2` and so on. `PgliteEx.Types` says what becomes of values.

      iex> {:ok, db} = PgliteEx.start_link()
      iex> {:ok, result} = PgliteEx.query(db, "select $1::int as n, 'a' as letter", [1])
      iex> {result.columns, result.rows, result.num_rows}
      {["n", "letter"], [[1, "a"]], 1}
      iex> {:error, error} = PgliteEx.query(db, "select * from absent")
      iex> {error.reason, error.code, error.fields.message}
      {:postgres, "42P01", ~s(relation "absent" does not exist)}

  Statements are prepared once and kept.
  """
  @spec query(instance(), String.t(), [term()], [query_option()]) ::
          {:ok, Result.t()} | {:error, Error.t()}
  def query(instance, sql, parameters \\ [], options \\ []) when is_list(parameters) do
    check_sql!(sql)

    measure(instance, sql, fn ->
      with {:ok, pid, entry} <- port(instance) do
        deadline = deadline(options, entry)
        run = fn -> run_prepared(pid, entry, sql, parameters, deadline) end

        case run.() do
          {:stale, error} ->
            _ = PortBridge.forget(pid, sql)

            # In a transaction it has already failed.
            if PortBridge.in_transaction?(pid),
              do: {:error, error},
              else: no_longer_stale(run.())

          answer ->
            answer
        end
      end
    end)
  end

  @doc "As `query/4`; an error is raised."
  @spec query!(instance(), String.t(), [term()], [query_option()]) :: Result.t()
  def query!(instance, sql, parameters \\ [], options \\ []),
    do: bang(query(instance, sql, parameters, options))

  defp run_prepared(pid, entry, sql, parameters, deadline) do
    with {:ok, statement} <- PortBridge.prepare(pid, entry.statements, sql, left(deadline)),
         frame = [bind("", statement, parameters), Protocol.execute("", 0), Protocol.sync()],
         {:ok, answer} <- PortBridge.request_bound(pid, statement, frame, left(deadline)),
         {:ok, [result], _more} <- Protocol.decode_results(answer, statement.columns) do
      {:ok, result}
    else
      # A dump came between the two.
      :new_session -> run_prepared(pid, entry, sql, parameters, deadline)
      {:error, error} -> if stale?(error), do: {:stale, error}, else: {:error, error}
    end
  end

  # The statement was deallocated, or a table of it was altered.
  defp stale?(%Error{code: "26000"}), do: true
  defp stale?(%Error{fields: %{routine: "RevalidateCachedQuery"}}), do: true
  defp stale?(_error), do: false

  defp no_longer_stale({:stale, error}), do: {:error, error}
  defp no_longer_stale(answer), do: answer

  defp bind(portal, statement, parameters) do
    wanted = length(statement.parameters)

    if length(parameters) != wanted do
      raise ArgumentError,
            "the statement has #{wanted} parameters, and #{length(parameters)} were given"
    end

    values = Enum.zip_with(statement.parameters, parameters, &Types.encode/2)
    formats = for column <- statement.columns || [], do: column.format
    Protocol.bind(portal, statement.name, values, formats)
  end

  @doc """
  Runs a script: any number of statements, without parameters. There is a result for each.

  The first error ends it, and undoes all of it that is not in a transaction of its own. Values are strings, as
  PostgreSQL prints them.

      iex> {:ok, db} = PgliteEx.start_link()
      iex> {:ok, results} = PgliteEx.exec(db, "create table t (n int); insert into t values (1), (2); table t")
      iex> Enum.map(results, &{&1.command, &1.num_rows, &1.rows})
      [{"CREATE TABLE", 0, nil}, {"INSERT", 2, nil}, {"SELECT", 2, [["1"], ["2"]]}]
  """
  @spec exec(instance(), String.t(), [query_option()]) ::
          {:ok, [Result.t()]} | {:error, Error.t()}
  def exec(instance, sql, options \\ []) do
    check_sql!(sql)

    measure(instance, sql, fn ->
      with {:ok, pid, entry} <- port(instance),
           {:ok, answer} <- PortBridge.request(pid, Protocol.query(sql), timeout(options, entry)),
           {:ok, results, _more} <- Protocol.decode_results(answer, nil, false),
           do: {:ok, results}
    end)
  end

  @doc "As `exec/3`; an error is raised."
  @spec exec!(instance(), String.t(), [query_option()]) :: [Result.t()]
  def exec!(instance, sql, options \\ []), do: bang(exec(instance, sql, options))

  @doc """
  Sends messages of PostgreSQL's frontend protocol in one frame, and returns those of the answer.

  A caller that leaves a transaction, a COPY or a batch without Sync open has the session until it closes it.
  """
  @spec exec_protocol_raw(instance(), iodata(), [query_option()]) ::
          {:ok, binary()} | {:error, Error.t()}
  def exec_protocol_raw(instance, messages, options \\ []) do
    with {:ok, pid, entry} <- port(instance),
         do: PortBridge.exec_protocol_raw(pid, messages, timeout(options, entry))
  end

  @doc """
  Runs `fun` with the instance in a transaction, and commits it. What `fun` returns comes in `{:ok, result}`.

  The session is the caller's until the end; queries of other processes wait, those that it starts itself too. An
  exception rolls back and goes on; `rollback/2` rolls back and makes this return `{:error, reason}`. A transaction in
  a transaction is a savepoint.

      iex> {:ok, db} = PgliteEx.start_link()
      iex> PgliteEx.query!(db, "create table t (n int)")
      iex> PgliteEx.transaction(db, fn db -> PgliteEx.query!(db, "insert into t values (1)").num_rows end)
      {:ok, 1}
      iex> PgliteEx.transaction(db, fn db ->
      ...>   PgliteEx.query!(db, "insert into t values (2)")
      ...>   PgliteEx.rollback(db, :changed_my_mind)
      ...> end)
      {:error, :changed_my_mind}
      iex> PgliteEx.query!(db, "select n from t").rows
      [[1]]
  """
  @spec transaction(instance(), (instance() -> result), [query_option()]) ::
          {:ok, result} | {:error, Error.t() | term()}
        when result: term()
  def transaction(instance, fun, options \\ []) when is_function(fun, 1) do
    with {:ok, pid, _} <- port(instance),
         nested when is_boolean(nested) <- PortBridge.in_transaction?(pid),
         {start, commit, rollback} = transaction_words(nested),
         {:ok, _} <- exec(pid, start, options) do
      try do
        fun.(instance)
      catch
        :throw, {:pglite_ex_rollback, ^pid, reason} ->
          with {:ok, _} <- exec(pid, rollback, options), do: {:error, reason}

        kind, reason ->
          _ = exec(pid, rollback, options)
          :erlang.raise(kind, reason, __STACKTRACE__)
      else
        result -> commit(pid, commit, rollback, result, options)
      end
    end
  end

  defp transaction_words(false), do: {"BEGIN", "COMMIT", "ROLLBACK"}

  defp transaction_words(true) do
    name = "pglite_ex"

    {"SAVEPOINT #{name}", "RELEASE SAVEPOINT #{name}",
     "ROLLBACK TO SAVEPOINT #{name}; RELEASE SAVEPOINT #{name}"}
  end

  defp commit(pid, commit, rollback, result, options) do
    case exec(pid, commit, options) do
      # What PostgreSQL makes of COMMIT where something has failed.
      {:ok, [%Result{command: "ROLLBACK"}]} ->
        message = "a query in the transaction has failed, and it was rolled back"
        {:error, %Error{reason: :postgres, code: "25P02", message: message}}

      {:ok, _} ->
        {:ok, result}

      {:error, error} ->
        _ = exec(pid, rollback, options)
        {:error, error}
    end
  end

  @doc "Ends the innermost `transaction/3` of the caller, which returns `{:error, reason}`."
  @spec rollback(instance(), term()) :: no_return()
  def rollback(instance, reason) do
    {:ok, pid, _} = Instance.fetch(instance)
    throw({:pglite_ex_rollback, pid, reason})
  end

  @doc """
  The rows of a query as a stream, some at a time: `:max_rows`, #{@rows_at_once}.

  While it runs the caller is in a transaction (its own, where there is none yet), and has the session. Errors are
  raised.

      iex> {:ok, db} = PgliteEx.start_link()
      iex> db
      ...> |> PgliteEx.stream("select n from generate_series(1, $1::int) n", [10_000], max_rows: 1000)
      ...> |> Stream.map(fn [n] -> n end)
      ...> |> Enum.sum()
      50_005_000
  """
  @spec stream(instance(), String.t(), [term()], [query_option() | {:max_rows, pos_integer()}]) ::
          Enumerable.t()
  def stream(instance, sql, parameters \\ [], options \\ []) do
    check_sql!(sql)
    {max_rows, options} = Keyword.pop(options, :max_rows, @rows_at_once)

    Stream.resource(
      fn -> open_fresh_portal(instance, sql, parameters, options, max_rows) end,
      &next_rows/1,
      &close_portal/1
    )
  end

  defp open_fresh_portal(instance, sql, parameters, options, max_rows) do
    {pid, entry} = port!(instance)
    own = not bang_boolean(PortBridge.in_transaction?(pid))

    try do
      open_portal({pid, entry, own}, sql, parameters, options, max_rows)
    rescue
      error ->
        if not stale?(error), do: reraise(error, __STACKTRACE__)
        _ = PortBridge.forget(pid, sql)
        # The caller's own transaction has already failed.
        if not own, do: reraise(error, __STACKTRACE__)
        open_portal({pid, entry, own}, sql, parameters, options, max_rows)
    end
  end

  defp open_portal({pid, entry, own}, sql, parameters, options, max_rows) do
    _ = if own, do: exec!(pid, "BEGIN", options)
    portal = "pglite_ex_#{System.unique_integer([:positive])}"
    timeout = timeout(options, entry)

    reader = %{
      pid: pid,
      portal: portal,
      own: own,
      max_rows: max_rows,
      timeout: timeout,
      options: options
    }

    try do
      statement = bang(PortBridge.prepare(pid, entry.statements, sql, timeout))
      bind = bind(portal, statement, parameters)
      _ = results!(pid, [bind, Protocol.sync()], statement.columns, timeout)
      Map.merge(reader, %{columns: statement.columns, more: :suspended})
    rescue
      error ->
        close_portal(reader)
        reraise error, __STACKTRACE__
    end
  end

  defp next_rows(%{more: :done} = reader), do: {:halt, reader}

  defp next_rows(%{pid: pid} = reader) do
    frame = [Protocol.execute(reader.portal, reader.max_rows), Protocol.sync()]
    {results, more} = results!(pid, frame, reader.columns, reader.timeout)
    {Enum.flat_map(results, &(&1.rows || [])), %{reader | more: more}}
  end

  defp close_portal(%{pid: pid} = reader) do
    _ =
      PortBridge.request(
        pid,
        [Protocol.close_portal(reader.portal), Protocol.sync()],
        reader.timeout
      )

    _ = if reader.own, do: exec(pid, "COMMIT", reader.options)
    :ok
  end

  defp results!(pid, frame, columns, timeout) do
    answer = bang(PortBridge.request(pid, frame, timeout))

    case Protocol.decode_results(answer, columns) do
      {:ok, results, more} -> {results, more}
      {:error, error} -> raise error
    end
  end

  # --- COPY ---

  @doc """
  `COPY ... FROM STDIN` as something to write to. `Enum.into/2` returns the `PgliteEx.Result`; errors are raised.

      iex> {:ok, db} = PgliteEx.start_link()
      iex> PgliteEx.query!(db, "create table people (id int, name text)")
      iex> lines = Stream.map(1..1000, &"\#{&1}\\tname\\n")
      iex> Enum.into(lines, PgliteEx.copy_in(db, "copy people from stdin")).num_rows
      1000
  """
  @spec copy_in(instance(), String.t(), [query_option()]) :: Copy.t()
  def copy_in(instance, sql, options \\ []) do
    check_sql!(sql)
    {pid, entry} = port!(instance)
    %Copy{pid: pid, sql: sql, timeout: timeout(options, entry)}
  end

  @doc """
  `COPY ... TO STDOUT` as a stream of its lines. Errors are raised.

  The program sends all of it at once, so it is in memory as a whole, 2 GB at most. `stream/4` reads a piece at a time.

      iex> {:ok, db} = PgliteEx.start_link()
      iex> db |> PgliteEx.copy_out("copy (values (1, 'a'), (2, 'b')) to stdout (format csv)") |> Enum.to_list()
      ["1,a\\n", "2,b\\n"]
  """
  @spec copy_out(instance(), String.t(), [query_option()]) :: Enumerable.t()
  def copy_out(instance, sql, options \\ []) do
    check_sql!(sql)

    Stream.resource(
      fn ->
        {pid, entry} = port!(instance)
        {results, _} = results!(pid, Protocol.query(sql), nil, timeout(options, entry))
        Enum.flat_map(results, &(&1.rows || []))
      end,
      fn
        [] -> {:halt, []}
        lines -> {lines, []}
      end,
      fn _ -> :ok end
    )
  end

  # --- LISTEN and NOTIFY ---

  @doc """
  Has notifications of a channel sent to the caller, as `{:notification, pid, ref, channel, payload}`.

  A port has one session: what it hears is what is notified through it, when that commits. For notifications between
  connections use a server, and `Postgrex.Notifications`.

      iex> {:ok, db} = PgliteEx.start_link()
      iex> {:ok, ref} = PgliteEx.listen(db, "news")
      iex> PgliteEx.query!(db, "select pg_notify('news', 'hello')")
      iex> receive do: ({:notification, ^db, ^ref, channel, payload} -> {channel, payload})
      {"news", "hello"}
  """
  @spec listen(instance(), String.t(), [query_option()]) ::
          {:ok, reference()} | {:error, Error.t()}
  def listen(instance, channel, options \\ []) when is_binary(channel) do
    with {:ok, pid, entry} <- port(instance),
         do: PortBridge.listen(pid, channel, timeout(options, entry))
  end

  @doc "Ends what `listen/3` began."
  @spec unlisten(instance(), reference()) :: :ok | {:error, Error.t()}
  def unlisten(instance, ref) when is_reference(ref) do
    with {:ok, pid, _} <- port(instance), do: PortBridge.unlisten(pid, ref)
  end

  # --- Snapshots and dumps ---

  @doc """
  Writes a snapshot of a port in memory. `:snapshot` starts another one from it, in milliseconds.

  The program writes it when it ends. It is ended between two requests, outside of transactions, and started again from the
  snapshot, with all that the session had: prepared statements, temporary tables, settings, listeners. What others ask for
  meanwhile is queued and answered afterwards; it waits longer, which counts for its `:timeout`. Should the program not come
  back, what was in memory is lost, and the callers get errors.

  In a transaction of the caller's own it is an error. A snapshot fits the very build of the program that made it.
  """
  @spec snapshot(instance(), Path.t()) :: :ok | {:error, Error.t()}
  def snapshot(instance, path) do
    path = Path.expand(path)

    offline(instance, fn
      %{snapshot: nil} ->
        {:error, Error.new(:unsupported, "snapshots are of memory://; use dump/3")}

      %{snapshot: file} ->
        PortBridge.move(file, path)
    end)
  end

  @doc """
  Writes a dump of a port.

  `:format` is `:archive` (the default for a directory), which `restore/2` reads, or `:sql` (the default in memory).
  `:gzip` compresses an archive.

  As for `snapshot/2` the program is ended between two requests, and what others ask for meanwhile is queued and answered
  afterwards. A directory stays closed for as long as the dump takes, and is opened again in a new session: temporary tables
  and settings of the session are gone; listeners stay.
  """
  @spec dump(instance(), Path.t(), [{:format, :archive | :sql} | {:gzip, boolean()}]) ::
          :ok | {:error, Error.t()}
  def dump(instance, path, options \\ []) do
    path = Path.expand(path)

    offline(instance, fn context ->
      memory = context.snapshot != nil
      format = Keyword.get(options, :format, if(memory, do: :sql, else: :archive))
      gzip = if Keyword.get(options, :gzip, false), do: ["--gzip"], else: []

      source =
        if memory,
          do: ["--snapshot", context.snapshot],
          else: ["-D", context.options.data_dir]

      case {format, memory} do
        {:archive, true} ->
          {:error,
           Error.new(
             :unsupported,
             "an archive is of a directory; use format: :sql, or snapshot/2"
           )}

        {:archive, false} ->
          done(Program.run(context.program, ["dump", "-o", path] ++ source ++ gzip))

        {:sql, _} ->
          user = ["-U", context.options.username]
          database = context.options.database
          user = if database && not memory, do: ["-d", database | user], else: user
          done(Program.run(context.program, ["dump", "--sql", "-o", path] ++ source ++ user))
      end
    end)
  end

  @doc """
  Makes a data directory from an archive: `restore("backup.tar", "data")`.

  The directory must be missing or empty. An instance is started on it afterwards.
  """
  @spec restore(Path.t(), Path.t()) :: :ok | {:error, Error.t()}
  def restore(archive, data_dir) do
    arguments = ["restore", "-D", Path.expand(data_dir), "-f", Path.expand(archive)]
    done(Program.run(Program.path!(), arguments))
  end

  defp offline(instance, operation) do
    with {:ok, pid, _} <- port(instance), do: PortBridge.offline(pid, operation, :infinity)
  end

  defp done({:ok, _output}), do: :ok
  defp done(error), do: error

  # --- What these have in common ---

  defp port(instance) do
    case Instance.fetch(instance) do
      {:ok, pid, %{module: PortBridge} = entry} ->
        {:ok, pid, entry}

      {:ok, _, _} ->
        message =
          "#{inspect(instance)} is a server: connect to it with PgliteEx.postgrex_options/1"

        {:error, Error.new(:unsupported, message)}

      error ->
        error
    end
  end

  defp port!(instance) do
    case port(instance) do
      {:ok, pid, entry} -> {pid, entry}
      {:error, error} -> raise error
    end
  end

  defp bang({:ok, result}), do: result
  defp bang({:error, error}), do: raise(error)

  defp bang_boolean(value) when is_boolean(value), do: value
  defp bang_boolean({:error, error}), do: raise(error)

  defp check_sql!(sql) do
    unless is_binary(sql) and :binary.match(sql, <<0>>) == :nomatch,
      do:
        raise(ArgumentError, "SQL is a string without a zero byte, not #{inspect(sql, limit: 5)}")
  end

  defp timeout(options, entry), do: Keyword.get(options, :timeout, entry.timeout)

  defp deadline(options, entry) do
    case timeout(options, entry) do
      :infinity -> :infinity
      timeout -> System.monotonic_time(:millisecond) + timeout
    end
  end

  defp left(:infinity), do: :infinity
  defp left(deadline), do: max(deadline - System.monotonic_time(:millisecond), 0)

  defp measure(instance, sql, fun) do
    began = System.monotonic_time()
    answer = fun.()
    result = if match?({:error, _}, answer), do: elem(answer, 1), else: :ok
    metadata = %{instance: instance, query: sql, result: result}
    Telemetry.execute([:query, :stop], %{duration: System.monotonic_time() - began}, metadata)

    case answer do
      {:error, %Error{} = error} -> {:error, %{error | query: sql}}
      answer -> answer
    end
  end
end
