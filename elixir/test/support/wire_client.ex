defmodule PgliteEx.WireClient do
  @moduledoc """
  A connection of a client that behaves as Postgrex does: it reads the types from the catalogue when it connects, prepares
  statements by name, and gives and takes binary values. Where Postgrex cannot be had it stands in for it.
  """

  use GenServer
  alias PgliteEx.{Error, Protocol}

  def start_link(options), do: GenServer.start_link(__MODULE__, options)

  def query(connection, sql, parameters \\ []),
    do: GenServer.call(connection, {:query, sql, parameters}, :infinity)

  def simple(connection, sql), do: GenServer.call(connection, {:simple, sql}, :infinity)
  def types(connection), do: GenServer.call(connection, :types)

  @bootstrap """
  SELECT t.oid, t.typname, t.typsend, t.typreceive, t.typoutput, t.typinput,
         t.typelem, coalesce(r.rngsubtype, 0), ARRAY (
    SELECT a.atttypid
    FROM pg_attribute AS a
    WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
  )
  FROM pg_type AS t
  LEFT JOIN pg_range AS r ON r.rngtypid = t.oid
  WHERE (t.typrelid = 0)
  AND (t.typelem = 0 OR NOT EXISTS (SELECT 1 FROM pg_catalog.pg_type s WHERE s.typrelid != 0 AND s.oid = t.typelem))
  """

  @impl true
  def init(options) do
    {:ok, socket} =
      :gen_tcp.connect(String.to_charlist(options[:hostname]), options[:port], [
        :binary,
        active: false,
        nodelay: true
      ])

    startup = [
      {"user", options[:username]},
      {"database", options[:database]},
      {"client_encoding", "UTF8"}
    ]

    :ok = :gen_tcp.send(socket, Protocol.startup(startup))
    {:ok, _} = answer(socket)
    :ok = :gen_tcp.send(socket, Protocol.query(@bootstrap))
    {:ok, bytes} = answer(socket)
    {:ok, [types], _} = Protocol.decode_results(bytes, nil, false)
    {:ok, %{socket: socket, types: types, statements: %{}}}
  end

  @impl true
  def handle_call({:query, sql, parameters}, _from, state) do
    case prepare(state, sql) do
      {:ok, {name, columns}, state} ->
        bind =
          Protocol.bind(
            "",
            name,
            Enum.map(parameters, &binary/1),
            Enum.map(columns, fn _ -> 1 end)
          )

        {:reply, request(state, [bind, Protocol.execute("", 0), Protocol.sync()], columns), state}

      {:error, error} ->
        {:reply, {:error, error}, state}
    end
  end

  def handle_call({:simple, sql}, _from, state) do
    :ok = :gen_tcp.send(state.socket, Protocol.query(sql))
    {:ok, bytes} = answer(state.socket)

    case Protocol.decode_results(bytes, nil, false) do
      {:ok, results, _} -> {:reply, {:ok, results}, state}
      error -> {:reply, error, state}
    end
  end

  def handle_call(:types, _from, state), do: {:reply, state.types, state}

  defp prepare(state, sql) do
    case state.statements do
      %{^sql => statement} ->
        {:ok, statement, state}

      _ ->
        name = "ecto_#{System.unique_integer([:positive])}"

        :ok =
          :gen_tcp.send(state.socket, [
            Protocol.parse(name, sql),
            Protocol.describe_statement(name),
            Protocol.sync()
          ])

        {:ok, bytes} = answer(state.socket)

        with {:ok, description} <- Protocol.decode_description(bytes) do
          columns = for column <- description.columns || [], do: %{column | format: 1}
          {:ok, {name, columns}, put_in(state.statements[sql], {name, columns})}
        end
    end
  end

  defp request(state, messages, columns) do
    :ok = :gen_tcp.send(state.socket, messages)

    with {:ok, bytes} <- answer(state.socket),
         {:ok, [result], _} <- Protocol.decode_results(bytes, columns),
         do: {:ok, result}
  end

  # As the server's binary input functions want them; the statements of the tests cast accordingly.
  defp binary(nil), do: {1, nil}
  defp binary(value) when is_integer(value), do: {1, <<value::64>>}
  defp binary(value) when is_float(value), do: {1, <<value::float-64>>}
  defp binary(value) when is_boolean(value), do: {1, <<if(value, do: 1, else: 0)>>}
  defp binary(value) when is_binary(value), do: {1, value}

  defp answer(socket, bytes \\ []) do
    with {:ok, <<type, length::32>> = head} <- :gen_tcp.recv(socket, 5, 30_000),
         {:ok, body} <-
           if(length == 4, do: {:ok, ""}, else: :gen_tcp.recv(socket, length - 4, 30_000)) do
      bytes = [bytes, head, body]
      if type == ?Z, do: {:ok, IO.iodata_to_binary(bytes)}, else: answer(socket, bytes)
    else
      {:error, reason} -> {:error, Error.new({:exit, reason}, "the connection is gone")}
    end
  end
end
