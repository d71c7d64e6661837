defmodule PgliteEx.Bridge.PortBridge do
  @moduledoc """
  An instance with one session: the program as a port of this process, with `{:packet, 4}`.

  Use it through `PgliteEx`. How it keeps its promises:

    * Each frame that is sent is answered by exactly one, in order. At most one request is in flight, perhaps with
      a CancelRequest behind it, so an answer belongs to the request in flight and to nobody else.
    * Requests wait in a queue. Each has a monitor of its caller and a deadline. A caller that dies or gives up in the
      queue is taken out of it; when its request is in flight that is cancelled, its answer is dropped, and only then
      comes the next.
    * Whoever leaves a transaction, a COPY or a batch of the extended protocol open holds the session: the requests of
      others wait until it is closed. When the holder dies, COPY is failed, the batch ended and the transaction rolled
      back.
    * The end of the program is the end of this process, and an error for each that waits.
  """

  use GenServer

  alias PgliteEx.{Error, Instance, LogReader, Options, Program, Protocol, Types}

  @cancel_again 1_000
  @cancel_retry 20
  # A session that is not at rest after so many attempts to get it there never will be.
  @recover_attempts 10
  @max_statements 250
  @last_words 1_000

  defmodule Request do
    @moduledoc false
    # What is sent is nobody's business but the caller's.
    @derive {Inspect, only: [:kind, :pid]}
    @enforce_keys [:ref, :kind]
    # from: nil where nobody waits for the answer (any more). session: the one that the frame's statement is of.
    defstruct [:ref, :kind, :frame, :session, :from, :pid, :timer]
  end

  defmodule State do
    @moduledoc false
    @derive {Inspect, only: [:os_pid, :current, :due, :holder, :status, :last_words]}
    defstruct [
      :options,
      :program,
      :port,
      :os_pid,
      :log_reader,
      # The directory that a snapshot of this program goes to; made when one is wanted.
      :scratch,
      :began,
      :statements,
      # Stands for the session, and begins the names of its statements: a snapshot has those of the session that it was
      # made of, and names must not meet.
      :session,
      statement_names: :queue.new(),
      statement_count: 0,
      # The request in flight, and what the frames that come next answer: :request or :cancel.
      current: nil,
      due: [],
      cancel_timer: nil,
      # Whose the session is if it is not at rest when nothing is due any more.
      caller: nil,
      # Those that wait, by reference, and their order.
      requests: %{},
      waiting: :queue.new(),
      # The process that has the session for itself with the monitor of it, and what it waits for.
      holder: nil,
      held: :queue.new(),
      # The session: the status of the last ReadyForQuery, COPY FROM STDIN waits for data, a batch has had no Sync.
      status: ?I,
      copy_in: false,
      open: false,
      # An answer was lost: what the session is has to be asked.
      unsure: false,
      # COPY FROM STDIN was begun by a request that has no data.
      unwanted_copy: false,
      recoveries: 0,
      # Why the session ends, once PostgreSQL has said so.
      last_words: nil,
      # Operations that run in tasks, and the requests for them.
      tasks: %{},
      listeners: %{}
    ]
  end

  @type statement :: %{
          name: String.t(),
          session: String.t(),
          parameters: [non_neg_integer()],
          columns: [Protocol.column()] | nil
        }

  # --- The API, in the caller's process ---

  @doc false
  @spec start_link(Options.t()) :: GenServer.on_start()
  def start_link(%Options{} = options), do: GenServer.start_link(__MODULE__, options)

  @doc """
  Sends a frame of whole frontend messages; the answer is the frame of backend messages.
  """
  @spec exec_protocol_raw(pid(), iodata(), timeout()) :: {:ok, binary()} | {:error, Error.t()}
  def exec_protocol_raw(pid, frame, timeout),
    do: Instance.call(pid, {:request, :raw, frame, timeout})

  @doc false
  @spec request(pid(), iodata(), timeout()) :: {:ok, binary()} | {:error, Error.t()}
  def request(pid, frame, timeout), do: Instance.call(pid, {:request, :messages, frame, timeout})

  @doc "As `request/3`, for a frame that binds a statement; `:new_session`: it was sent to nobody, as that is gone."
  @spec request_bound(pid(), statement(), iodata(), timeout()) ::
          {:ok, binary()} | :new_session | {:error, Error.t()}
  def request_bound(pid, statement, frame, timeout),
    do: Instance.call(pid, {:request_bound, statement.session, frame, timeout})

  @doc false
  @spec copy_in(pid(), iodata(), timeout()) :: {:ok, binary()} | {:error, Error.t()}
  def copy_in(pid, frame, timeout), do: Instance.call(pid, {:request, :copy_in, frame, timeout})

  @doc "A prepared statement for the SQL, from the cache where it is there."
  @spec prepare(pid(), :ets.table() | nil, String.t(), timeout()) ::
          {:ok, statement()} | {:error, Error.t()}
  def prepare(pid, statements, sql, timeout) do
    case :ets.lookup(statements, sql) do
      [{_, statement}] -> {:ok, statement}
      [] -> Instance.call(pid, {:prepare, sql, timeout})
    end
  rescue
    # The table has gone with its owner, which says so.
    ArgumentError -> Instance.call(pid, {:prepare, sql, timeout})
  end

  @doc "Forgets a statement that PostgreSQL does not take any more."
  @spec forget(pid(), String.t()) :: :ok | {:error, Error.t()}
  def forget(pid, sql), do: Instance.call(pid, {:forget, sql})

  @doc "Whether the caller is in a transaction: the session is its own, and not at rest."
  @spec in_transaction?(pid()) :: boolean() | {:error, Error.t()}
  def in_transaction?(pid), do: Instance.call(pid, :in_transaction?)

  @doc false
  @spec listen(pid(), String.t(), timeout()) :: {:ok, reference()} | {:error, Error.t()}
  def listen(pid, channel, timeout), do: Instance.call(pid, {:listen, channel, timeout})

  @doc false
  @spec unlisten(pid(), reference()) :: :ok | {:error, Error.t()}
  def unlisten(pid, ref), do: Instance.call(pid, {:unlisten, ref})

  @doc "Ends the program in order, runs `operation`, and starts it again. Callers wait meanwhile."
  @spec offline(pid(), (map() -> :ok | {:error, Error.t()}), timeout()) ::
          :ok | {:error, Error.t()}
  def offline(pid, operation, timeout), do: Instance.call(pid, {:offline, operation, timeout})

  @doc false
  @spec info(pid()) :: map() | {:error, Error.t()}
  def info(pid), do: Instance.call(pid, :info)

  # --- Starting and ending ---

  @impl true
  def init(%Options{} = options) do
    Process.flag(:trap_exit, true)

    with :ok <- Instance.register(options, __MODULE__),
         {:ok, reader} <- LogReader.start_link(options) do
      state = %State{
        options: options,
        program: Program.path!(options.program),
        log_reader: reader,
        began: System.monotonic_time(),
        session: new_session(),
        statements: :ets.new(:pglite_ex_statements, [:protected, read_concurrency: true])
      }

      Instance.update(options, %{statements: state.statements})

      case Instance.with_patience(options, fn -> start_program(state, options) end) do
        {:ok, started} ->
          Instance.started(options, :port, state.began)
          {:ok, %{started | began: System.monotonic_time()}}

        {:error, error} ->
          {:stop, error}
      end
    else
      {:error, reason} -> {:stop, reason}
    end
  rescue
    error in ArgumentError -> {:stop, error}
  end

  defp new_session, do: "pglite_ex_#{random_name()}_"
  defp random_name, do: Base.encode16(:crypto.strong_rand_bytes(8), case: :lower)

  defp start_program(%State{} = state, options) do
    state = %{state | scratch: Path.join(System.tmp_dir!(), "pglite_ex-" <> random_name())}

    arguments =
      ["port", "--framing", "packet4", "--stdin-end"] ++
        Options.arguments(options) ++
        if Options.memory?(options), do: ["--save-snapshot", snapshot_file(state)], else: []

    # The shell becomes the program, with its stderr where it is read.
    {executable, arguments} =
      case state.log_reader && LogReader.path(state.log_reader) do
        nil -> {state.program, arguments}
        path -> {"/bin/sh", ["-c", ~s(exec "$0" "$@" 2>"#{path}"), state.program | arguments]}
      end

    port =
      Port.open({:spawn_executable, executable}, [
        :binary,
        :exit_status,
        {:packet, 4},
        {:args, arguments},
        {:env, Program.port_environment()}
      ])

    os_pid =
      case Port.info(port, :os_pid) do
        {:os_pid, os_pid} -> os_pid
        nil -> nil
      end

    state = %{state | port: port, os_pid: os_pid}
    send_frame(state, Protocol.sync())
    await_ready(state, nil)
  end

  # A start that fails is an ERROR frame, and then an exit status.
  defp await_ready(%State{port: port} = state, reason) do
    receive do
      {^port, {:data, "ERROR: " <> reason}} ->
        await_ready(state, reason)

      {^port, {:data, _answer}} ->
        {:ok, state}

      {^port, {:exit_status, status}} ->
        message = reason || "the program has ended with #{status} while it started"
        {:error, Error.new({:exit_status, status}, message)}

      {:EXIT, ^port, cause} ->
        {:error, Error.new({:exit, cause}, reason || "the program has ended while it started")}
    after
      state.options.start_timeout ->
        Program.signal(state.os_pid, :kill)
        _ = Program.await_exit(port, state.os_pid, 0)

        {:error,
         Error.new(:timeout, "the program has not started in #{state.options.start_timeout} ms")}
    end
  end

  # It is written when the session ends, if its directory is there: nobody else's, made when it is wanted.
  defp snapshot_file(%State{scratch: scratch}), do: snapshot_file(scratch)
  defp snapshot_file(scratch), do: Path.join(scratch, "snapshot")

  defp want_snapshot(%State{scratch: scratch}) do
    with :ok <- File.mkdir(scratch),
         :ok <- File.chmod(scratch, 0o700) do
      :ok
    else
      {:error, reason} ->
        message = "cannot make #{scratch}: #{:file.format_error(reason)}"
        {:error, Error.new(:program, message)}
    end
  end

  @impl true
  def terminate(reason, %State{} = state) do
    _ = if state.port != nil, do: end_at_last(state, reason)
    # What is left of snapshots. A program that still runs ends with its port.
    Enum.each(state.tasks, fn {_, {_, _, task}} -> Task.shutdown(task, :brutal_kill) end)
    kept = for {_, {_, scratch, _}} when scratch != nil <- state.tasks, do: scratch
    Enum.each([state.scratch | kept], &File.rm_rf/1)
    Instance.stopped(state.options, :port, state.began, reason)
  end

  defp end_at_last(state, reason) do
    saves = state.options.save_snapshot != nil

    cond do
      not Options.memory?(state.options) ->
        end_program(state)

      saves and ordinary?(reason) ->
        save_at_end(state)

      # Nothing is lost.
      true ->
        Program.signal(state.os_pid, :kill)
        Program.await_exit(state.port, state.os_pid, 1_000)
    end
  end

  defp save_at_end(state) do
    with :ok <- want_snapshot(state),
         0 <- end_program(state),
         :ok <- move(snapshot_file(state), state.options.save_snapshot) do
      :ok
    else
      {:error, error} ->
        Instance.log(state.options, "ERROR: no snapshot: " <> error.message)

      status ->
        Instance.log(state.options, "ERROR: no snapshot: the program ended with #{status}")
    end
  end

  defp ordinary?(reason), do: reason in [:normal, :shutdown] or match?({:shutdown, _}, reason)

  # What runs is cancelled; else the end would wait for it.
  defp end_program(%State{} = state) do
    if state.current != nil, do: send_cancel(state)
    Program.signal(state.os_pid, :term)
    Program.await_exit(state.port, state.os_pid, state.options.shutdown_timeout)
  end

  @doc false
  # From one file system to another it is copied, and then renamed to be there at once.
  @spec move(Path.t(), Path.t()) :: :ok | {:error, Error.t()}
  def move(from, to) do
    to = Path.expand(to)

    with {:error, :exdev} <- File.rename(from, to),
         :ok <- File.cp(from, to <> ".part"),
         :ok <- File.chmod(to <> ".part", 0o600),
         :ok <- File.rename(to <> ".part", to) do
      :ok
    else
      :ok ->
        :ok

      {:error, reason} ->
        _ = File.rm(to <> ".part")
        {:error, Error.new(:program, "cannot write #{to}: #{:file.format_error(reason)}")}
    end
  end

  # --- Calls ---

  @impl true
  def handle_call({:request, kind, frame, timeout}, from, state),
    do: add(state, %Request{ref: nil, kind: kind, frame: frame, from: from}, timeout)

  def handle_call({:request_bound, session, frame, timeout}, from, state) do
    request = %Request{ref: nil, kind: :messages, frame: frame, session: session, from: from}
    add(state, request, timeout)
  end

  def handle_call({:prepare, sql, timeout}, from, state) do
    case :ets.lookup(state.statements, sql) do
      [{_, statement}] -> {:reply, {:ok, statement}, state}
      [] -> add(state, %Request{ref: nil, kind: {:prepare, sql}, from: from}, timeout)
    end
  end

  def handle_call({:offline, operation, timeout}, from, state),
    do: add(state, %Request{ref: nil, kind: {:offline, operation}, from: from}, timeout)

  def handle_call({:forget, sql}, _from, state) do
    :ets.delete(state.statements, sql)
    {:reply, :ok, state}
  end

  def handle_call(:in_transaction?, {pid, _}, state),
    do: {:reply, holder?(state, pid) and state.status != ?I, state}

  def handle_call({:listen, channel, timeout}, {pid, _} = from, state) do
    ref = Process.monitor(pid)
    state = put_in(state.listeners[ref], {pid, channel})

    request = %Request{
      ref: nil,
      kind: {:listen, ref},
      frame: listen_sql("LISTEN", channel),
      from: from
    }

    add(state, request, timeout)
  end

  def handle_call({:unlisten, ref}, _from, state) do
    Process.demonitor(ref, [:flush])
    {:reply, :ok, state |> drop_listener(ref) |> next()}
  end

  def handle_call(:info, _from, state) do
    info = %{
      name: state.options.name,
      pid: self(),
      mode: :port,
      data_dir: state.options.data_dir,
      database: state.options.database,
      username: state.options.username,
      program: state.program,
      os_pid: state.os_pid,
      status: if(state.current == nil and state.holder == nil, do: :idle, else: :busy),
      waiting: map_size(state.requests)
    }

    {:reply, info, state}
  end

  defp listen_sql(word, channel),
    do: Protocol.query([word, " \"", String.replace(channel, "\"", "\"\""), "\""])

  # --- The queue ---

  defp add(%State{} = state, %Request{from: {pid, _}} = request, timeout) do
    if map_size(state.requests) >= state.options.max_queue do
      error =
        Error.new(:overloaded, "#{map_size(state.requests)} callers wait already (:max_queue)")

      {:reply, {:error, error}, forget_listener(state, request)}
    else
      ref = Process.monitor(pid)
      timer = if timeout != :infinity, do: Process.send_after(self(), {:deadline, ref}, timeout)
      request = %{request | ref: ref, pid: pid, timer: timer}
      {:noreply, state |> enqueue(request) |> next()}
    end
  end

  defp enqueue(%State{} = state, %Request{ref: ref} = request) do
    state = %{state | requests: Map.put(state.requests, ref, request)}

    if request.pid != nil and holder?(state, request.pid),
      do: %{state | held: :queue.in(ref, state.held)},
      else: %{state | waiting: :queue.in(ref, state.waiting)}
  end

  defp holder?(%State{holder: {pid, _}}, pid), do: true
  defp holder?(_state, _pid), do: false

  # Sends the next request, if it is somebody's turn. Answers to cancels come first, so that no cancel meets it.
  defp next(%State{current: nil, due: [], last_words: nil, port: port} = state)
       when port != nil do
    field = if state.holder == nil, do: :waiting, else: :held

    case :queue.out(Map.fetch!(state, field)) do
      {:empty, _} ->
        state

      {{:value, ref}, queue} ->
        state = Map.put(state, field, queue)

        # It may have been taken out since.
        case Map.pop(state.requests, ref) do
          {nil, _} -> next(state)
          {request, requests} -> begin(%{state | requests: requests}, request)
        end
    end
  end

  defp next(state), do: state

  defp begin(state, %Request{kind: {:prepare, sql}} = request) do
    case :ets.lookup(state.statements, sql) do
      # Whoever came before wanted the same.
      [{_, statement}] ->
        reply(request, {:ok, statement})
        next(state)

      [] ->
        {state, closing} = make_room(state)
        count = state.statement_count + 1
        name = "#{state.session}#{count}"
        messages = [Protocol.parse(name, sql), Protocol.describe_statement(name), Protocol.sync()]
        request = %{request | kind: {:prepare, sql, name}, frame: [closing, messages]}
        transmit(%{state | statement_count: count}, request)
    end
  end

  defp begin(%State{holder: holder} = state, %Request{kind: {:offline, _}} = request)
       when holder != nil do
    reply(request, {:error, Error.new(:unsupported, "this is not possible in a transaction")})
    next(state)
  end

  defp begin(state, %Request{kind: {:offline, _}} = request) do
    case if(Options.memory?(state.options), do: want_snapshot(state), else: :ok) do
      :ok ->
        Program.signal(state.os_pid, :term)
        %{state | current: request}

      error ->
        reply(request, error)
        next(state)
    end
  end

  defp begin(%State{session: current} = state, %Request{session: session} = request)
       when session not in [nil, current] do
    reply(request, :new_session)
    next(state)
  end

  defp begin(state, request), do: transmit(state, request)

  defp transmit(state, request) do
    send_frame(state, request.frame)
    # The frame may be large.
    %{state | current: %{request | frame: nil}, due: [:request]}
  end

  # With one request in flight the program has read all that was sent before: this does not wait.
  defp send_frame(state, frame) do
    Port.command(state.port, frame)
  rescue
    # The program has ended; its exit status is on the way.
    ArgumentError -> false
  end

  defp make_room(state) do
    if :queue.len(state.statement_names) < @max_statements do
      {state, []}
    else
      {{:value, {sql, name}}, names} = :queue.out(state.statement_names)

      case :ets.lookup(state.statements, sql) do
        [{_, %{name: ^name}}] -> :ets.delete(state.statements, sql)
        _ -> :ok
      end

      {%{state | statement_names: names}, Protocol.close_statement(name)}
    end
  end

  # --- Giving up ---

  # It goes on, for nobody.
  defp abandon(%State{current: %Request{kind: {:offline, _}}} = state), do: forget_caller(state)
  defp abandon(state), do: state |> forget_caller() |> cancel()

  defp forget_caller(%State{current: current} = state) do
    release(current)
    %{state | current: %{current | from: nil, pid: nil, timer: nil}}
  end

  # A CancelRequest that comes before the query has begun has no effect, and a query may catch the error: it is
  # repeated until the answer is there.
  defp cancel(state) do
    {state, delay} =
      if send_cancel(state),
        do: {%{state | due: state.due ++ [:cancel]}, @cancel_again},
        else: {state, @cancel_retry}

    %{state | cancel_timer: Process.send_after(self(), {:cancel, state.current.ref}, delay)}
  end

  # False: the program still reads the request itself.
  defp send_cancel(state) do
    Port.command(state.port, Protocol.cancel_request(), [:nosuspend])
  rescue
    ArgumentError -> true
  end

  defp release(%Request{from: nil}), do: :ok

  defp release(%Request{ref: ref, timer: timer}) do
    Process.demonitor(ref, [:flush])
    _ = if timer != nil, do: Process.cancel_timer(timer)
    :ok
  end

  defp reply(%Request{from: nil}, _answer), do: :ok

  defp reply(%Request{from: from} = request, answer) do
    release(request)
    GenServer.reply(from, answer)
  end

  # --- Messages ---

  @impl true
  def handle_info({port, {:data, frame}}, %State{port: port, due: [:request | due]} = state) do
    _ = if state.cancel_timer != nil, do: Process.cancel_timer(state.cancel_timer)
    request = state.current
    state = %{state | current: nil, due: due, cancel_timer: nil, caller: caller(request)}
    {:noreply, state |> answered(request, frame) |> settle()}
  end

  def handle_info({port, {:data, _empty}}, %State{port: port, due: [:cancel | due]} = state),
    do: {:noreply, settle(%{state | due: due})}

  # Nobody asked: PostgreSQL ends the session, for a timeout of its own.
  def handle_info({port, {:data, frame}}, %State{port: port} = state),
    do: {:noreply, %{state | last_words: last_words(frame)}}

  def handle_info({port, {:exit_status, status}}, %State{port: port, current: current} = state) do
    state = %{state | port: nil, os_pid: nil}

    case current do
      %Request{kind: {:offline, operation}} when status == 0 ->
        went_offline(state, operation)

      _ ->
        crash(state, status)
    end
  end

  def handle_info({:deadline, ref}, %State{current: %Request{ref: ref} = current} = state) do
    reply(current, {:error, timeout_error()})
    {:noreply, abandon(state)}
  end

  def handle_info({:deadline, ref}, state) do
    case Map.pop(state.requests, ref) do
      {nil, _} ->
        {:noreply, state}

      {request, requests} ->
        reply(request, {:error, timeout_error()})
        {:noreply, forget_listener(%{state | requests: requests}, request)}
    end
  end

  def handle_info({:cancel, ref}, %State{current: %Request{ref: ref}} = state),
    do: {:noreply, cancel(state)}

  def handle_info({:cancel, _ref}, state), do: {:noreply, state}

  def handle_info({:DOWN, ref, :process, _pid, _reason}, %State{holder: {_, ref}} = state) do
    state = %{state | holder: nil, held: :queue.new(), caller: nil}

    # A request in flight is the holder's, and is given up by the monitor of its own.
    {:noreply, settle(state)}
  end

  def handle_info({:DOWN, ref, :process, _pid, _reason}, %State{} = state) do
    cond do
      state.current != nil and state.current.ref == ref ->
        {:noreply, abandon(state)}

      is_map_key(state.requests, ref) ->
        {:noreply, %{state | requests: Map.delete(state.requests, ref)}}

      is_map_key(state.listeners, ref) ->
        {:noreply, state |> drop_listener(ref) |> next()}

      is_map_key(state.tasks, ref) ->
        operation_done(state, ref, {:error, Error.new(:program, "the operation has crashed")})

      true ->
        {:noreply, state}
    end
  end

  def handle_info({ref, result}, %State{tasks: tasks} = state) when is_map_key(tasks, ref) do
    Process.demonitor(ref, [:flush])
    operation_done(state, ref, result)
  end

  # Without an exit status before it: the program was gone when it was written to.
  def handle_info({:EXIT, port, reason}, %State{port: port} = state),
    do: crash(%{state | port: nil, os_pid: nil}, reason)

  def handle_info({:EXIT, port, _reason}, state) when is_port(port), do: {:noreply, state}

  def handle_info({:EXIT, pid, _reason}, %State{log_reader: pid} = state) do
    # The program writes on, to nobody.
    {:noreply, %{state | log_reader: nil}}
  end

  # As any process that is linked to another.
  def handle_info({:EXIT, _pid, :normal}, state), do: {:noreply, state}
  def handle_info({:EXIT, _pid, reason}, state), do: {:stop, reason, state}

  def handle_info(_message, state), do: {:noreply, state}

  defp timeout_error,
    do: Error.new(:timeout, "the answer did not come in time; the query was cancelled")

  defp crash(state, status) do
    error = Instance.exit_error({:program_exited, status})
    words = state.last_words && ": " <> state.last_words
    error = {:error, %{error | message: "#{error.message}#{words}"}}
    if state.current != nil, do: reply(state.current, error)
    for {_, request} <- state.requests, do: reply(request, error)
    for {_, {request, _, _}} <- state.tasks, do: reply(request, error)
    {:stop, {:program_exited, status}, %{state | current: nil, requests: %{}}}
  end

  # --- Answers ---

  # An answer that was dropped may have changed the session.
  defp answered(state, request, "ERROR: " <> reason) do
    reason = binary_part(reason, 0, min(byte_size(reason), @last_words))
    reply(request, {:error, Error.new(:program, reason)})
    %{forget_listener(state, request) | unsure: true}
  end

  defp answered(state, request, frame) do
    scan = scan(frame)
    notify(state, scan.notifications)

    state
    |> observe(scan, frame)
    |> finish(request, frame)
  end

  defp statement(state, name, %{parameters: parameters, columns: columns}) do
    columns = columns && Enum.map(columns, &%{&1 | format: Types.format(&1.type)})
    %{name: name, session: state.session, parameters: parameters, columns: columns}
  end

  # SSLRequest and GSSENCRequest are answered by a letter that is no message.
  defp scan("N"), do: Protocol.scan("")
  defp scan(frame), do: Protocol.scan(frame)

  defp notify(state, notifications) do
    for {channel, payload} <- notifications,
        {ref, {pid, ^channel}} <- state.listeners,
        do: send(pid, {:notification, self(), ref, channel, payload})

    :ok
  end

  # An empty answer says nothing.
  defp observe(state, _scan, frame) when frame in ["", "N"], do: state

  defp observe(state, scan, _frame) do
    %{
      state
      | status: scan.status || state.status,
        open: scan.open or (scan.status == nil and state.open),
        copy_in: scan.copy_in,
        last_words: scan.fatal && scan.fatal[:message]
    }
  end

  defp finish(state, %Request{kind: {:prepare, sql, name}} = request, frame) do
    case Protocol.decode_description(frame) do
      {:ok, description} ->
        statement = statement(state, name, description)
        :ets.insert(state.statements, {sql, statement})
        reply(request, {:ok, statement})
        %{state | statement_names: :queue.in({sql, name}, state.statement_names)}

      {:error, error} ->
        reply(request, {:error, error})
        state
    end
  end

  defp finish(state, %Request{kind: {:listen, ref}} = request, frame) do
    case Protocol.decode_results(frame) do
      # Its listener may have gone meanwhile.
      {:ok, _, _} when request.from == nil ->
        drop_listener(state, ref)

      {:ok, _, _} ->
        reply(request, {:ok, ref})
        state

      {:error, error} ->
        reply(request, {:error, error})
        forget_listener(state, request)
    end
  end

  defp finish(%State{copy_in: true} = state, %Request{kind: :messages} = request, _frame) do
    reply(request, {:error, Error.new(:unsupported, "COPY FROM STDIN needs PgliteEx.copy_in/3")})
    %{state | unwanted_copy: true}
  end

  defp finish(state, request, frame) do
    reply(request, {:ok, frame})
    state
  end

  # Whose the session is after an answer, if it is not at rest. A process that has gone or given up has no say.
  defp caller(%Request{kind: {:on_behalf, pid}}), do: pid
  defp caller(%Request{from: nil}), do: nil
  defp caller(%Request{pid: pid}), do: pid

  # Between two requests: who has the session?
  defp settle(%State{current: nil, due: [], port: port} = state) when port != nil do
    cond do
      state.last_words != nil ->
        state

      state.unsure ->
        on_behalf(%{state | unsure: false}, Protocol.sync())

      state.unwanted_copy ->
        on_behalf(%{state | unwanted_copy: false}, end_of_copy())

      not (state.copy_in or state.open or state.status != ?I) ->
        %{release_holder(state) | recoveries: 0} |> next()

      state.holder != nil ->
        next(state)

      state.caller != nil ->
        state |> hold(state.caller) |> next()

      true ->
        recover(state)
    end
  end

  defp settle(state), do: state

  # A request of our own, that changes nothing of whose the session is.
  defp on_behalf(state, frame),
    do: transmit(state, %Request{ref: make_ref(), kind: {:on_behalf, state.caller}, frame: frame})

  # Nobody has the session: it is brought to rest.
  defp recover(%State{recoveries: count}) when count >= @recover_attempts,
    do: exit(:session_cannot_be_recovered)

  defp recover(state) do
    frame =
      cond do
        state.copy_in -> end_of_copy()
        state.open -> Protocol.sync()
        true -> Protocol.query("ROLLBACK")
      end

    on_behalf(%{state | recoveries: state.recoveries + 1}, frame)
  end

  defp end_of_copy, do: [Protocol.copy_fail("there is no data"), Protocol.sync()]

  # It may have asked for more meanwhile.
  defp hold(state, pid) do
    held? = &match?(%Request{pid: ^pid}, state.requests[&1])
    {held, waiting} = state.waiting |> :queue.to_list() |> Enum.split_with(held?)

    %{
      state
      | holder: {pid, Process.monitor(pid)},
        held: :queue.from_list(held),
        waiting: :queue.from_list(waiting)
    }
  end

  defp release_holder(%State{holder: nil} = state), do: state

  defp release_holder(%State{holder: {_, ref}} = state) do
    Process.demonitor(ref, [:flush])
    # What the holder still asks for comes first.
    %{state | holder: nil, held: :queue.new(), waiting: :queue.join(state.held, state.waiting)}
  end

  defp last_words("ERROR: " <> reason), do: reason
  defp last_words(frame), do: (scan(frame).fatal || %{})[:message] || "the session has ended"

  # --- Listeners ---

  defp forget_listener(state, %Request{kind: {:listen, ref}}) do
    Process.demonitor(ref, [:flush])
    %{state | listeners: Map.delete(state.listeners, ref)}
  end

  defp forget_listener(state, _request), do: state

  defp drop_listener(state, ref) do
    {listener, listeners} = Map.pop(state.listeners, ref)
    state = %{state | listeners: listeners}

    with {_pid, channel} <- listener,
         false <- Enum.any?(listeners, &match?({_, {_, ^channel}}, &1)) do
      enqueue(state, own(listen_sql("UNLISTEN", channel)))
    else
      _ -> state
    end
  end

  # Nobody waits for the answer.
  defp own(frame), do: %Request{ref: make_ref(), kind: :own, frame: frame}

  # --- Operations for which the program has to end ---

  # A snapshot is what it has left, and it goes on from it at once.
  defp went_offline(%State{current: request, scratch: scratch} = state, operation) do
    if Options.memory?(state.options) do
      snapshot = snapshot_file(scratch)
      options = %{state.options | snapshot: snapshot, database: nil, settings: []}

      case start_program(state, options) do
        {:ok, state} ->
          state = run_operation(%{state | current: nil}, request, operation, scratch)
          {:noreply, settle(state)}

        {:error, error} ->
          reply(request, {:error, error})
          {:stop, error, %{state | current: nil}}
      end
    else
      {:noreply, run_operation(state, request, operation, nil)}
    end
  end

  defp run_operation(state, request, operation, scratch) do
    argument = %{
      options: state.options,
      program: state.program,
      snapshot: scratch && snapshot_file(scratch)
    }

    task = Task.Supervisor.async_nolink(PgliteEx.TaskSupervisor, fn -> operation.(argument) end)
    put_in(state.tasks[task.ref], {request, scratch, task})
  end

  defp operation_done(state, task, result) do
    {{request, scratch, _}, tasks} = Map.pop(state.tasks, task)
    state = %{state | tasks: tasks}

    if scratch != nil do
      _ = File.rm_rf(scratch)
      reply(request, result)
      {:noreply, state}
    else
      back_online(state, result)
    end
  end

  # A new session: what it was prepared for and listened to has to be done again.
  defp back_online(state, result) do
    case Instance.with_patience(state.options, fn -> start_program(state, state.options) end) do
      {:ok, state} ->
        reply(state.current, result)
        :ets.delete_all_objects(state.statements)
        state = %{state | current: nil, session: new_session(), statement_names: :queue.new()}
        channels = for {_, {_, channel}} <- state.listeners, uniq: true, do: channel

        state =
          Enum.reduce(channels, state, fn channel, state ->
            request = own(listen_sql("LISTEN", channel))
            requests = Map.put(state.requests, request.ref, request)
            %{state | requests: requests, waiting: :queue.in_r(request.ref, state.waiting)}
          end)

        {:noreply, settle(state)}

      {:error, error} ->
        reply(state.current, {:error, error})
        {:stop, error, %{state | current: nil}}
    end
  end
end
