defmodule PgliteEx.Protocol do
  @moduledoc false
  # Messages of PostgreSQL's frontend/backend protocol, version 3: those that are sent, as iodata, and those of an
  # answer, taken apart. The names are those of the PostgreSQL manual, chapter "Message Formats".

  alias PgliteEx.{Error, Result, Types}

  @type column :: %{name: String.t(), type: non_neg_integer(), format: 0 | 1}

  # --- Frontend ---

  @spec query(iodata()) :: iodata()
  def query(sql), do: message(?Q, [sql, 0])

  @spec parse(String.t(), iodata()) :: iodata()
  def parse(name, sql), do: message(?P, [name, 0, sql, 0, <<0::16>>])

  @spec bind(String.t(), String.t(), [{0 | 1, iodata() | nil}], [0 | 1]) :: iodata()
  def bind(portal, statement, parameters, formats) do
    message(?B, [
      [portal, 0, statement, 0],
      [<<length(parameters)::16>>, for({format, _} <- parameters, do: <<format::16>>)],
      [<<length(parameters)::16>>, for({_, value} <- parameters, do: sized(value))],
      [<<length(formats)::16>>, for(format <- formats, do: <<format::16>>)]
    ])
  end

  @spec describe_statement(String.t()) :: iodata()
  def describe_statement(name), do: message(?D, [?S, name, 0])

  @spec execute(String.t(), non_neg_integer()) :: iodata()
  def execute(portal, max_rows), do: message(?E, [portal, 0, <<max_rows::32>>])

  @spec close_statement(String.t()) :: iodata()
  def close_statement(name), do: message(?C, [?S, name, 0])

  @spec close_portal(String.t()) :: iodata()
  def close_portal(name), do: message(?C, [?P, name, 0])

  @spec sync() :: iodata()
  def sync, do: message(?S, [])

  @spec copy_data(iodata()) :: iodata()
  def copy_data(data), do: message(?d, data)

  @spec copy_done() :: iodata()
  def copy_done, do: message(?c, [])

  @spec copy_fail(String.t()) :: iodata()
  def copy_fail(reason), do: message(?f, [reason, 0])

  # Process and key do not matter to the port: whoever writes to it owns the session.
  @spec cancel_request() :: iodata()
  def cancel_request, do: <<16::32, 80_877_102::32, 0::32, 0::32>>

  @spec startup([{String.t(), String.t()}]) :: iodata()
  def startup(parameters) do
    body = [<<196_608::32>>, for({name, value} <- parameters, do: [name, 0, value, 0]), 0]
    [<<IO.iodata_length(body) + 4::32>>, body]
  end

  defp message(type, body), do: [type, <<IO.iodata_length(body) + 4::32>>, body]

  defp sized(nil), do: <<-1::signed-32>>
  defp sized(value), do: [<<IO.iodata_length(value)::32>>, value]

  # --- Backend ---

  # What an answer says of the session: the status of its last ReadyForQuery, whether messages came behind that
  # (or without one), whether COPY FROM STDIN waits for data, whether the session has ended, and notifications.
  @type scan :: %{
          status: ?I | ?T | ?E | nil,
          open: boolean(),
          copy_in: boolean(),
          fatal: map() | nil,
          notifications: [{String.t(), String.t()}]
        }

  @spec scan(binary()) :: scan()
  def scan(answer) do
    scan(answer, %{status: nil, open: false, copy_in: false, fatal: nil, notifications: []})
  end

  defp scan(<<>>, acc), do: %{acc | notifications: Enum.reverse(acc.notifications)}

  defp scan(<<?Z, 5::32, status, rest::binary>>, acc),
    do: scan(rest, %{acc | status: status, open: false, copy_in: false})

  # The kinds of which there may be millions; nothing is to be remembered of them.
  defp scan(<<type, length::32, rest::binary>>, %{open: true} = acc) when type in [?D, ?d] do
    scan(skip(rest, length - 4), acc)
  end

  defp scan(<<?E, length::32, rest::binary>>, acc) do
    size = length - 4
    <<body::binary-size(size), rest::binary>> = rest
    fields = fields(body)
    fatal = if fields[:severity] in ["FATAL", "PANIC"], do: fields, else: acc.fatal
    scan(rest, %{acc | open: true, copy_in: false, fatal: fatal})
  end

  defp scan(<<?A, length::32, rest::binary>>, acc) do
    size = length - 8
    <<_pid::32, body::binary-size(size), rest::binary>> = rest
    [channel, payload, _] = :binary.split(body, <<0>>, [:global])
    notification = {:binary.copy(channel), :binary.copy(payload)}
    scan(rest, %{acc | notifications: [notification | acc.notifications]})
  end

  # What the server says by itself belongs to no request.
  defp scan(<<type, length::32, rest::binary>>, acc) when type in [?N, ?S],
    do: scan(skip(rest, length - 4), acc)

  defp scan(<<type, length::32, rest::binary>>, acc),
    do: scan(skip(rest, length - 4), %{acc | open: true, copy_in: type == ?G})

  defp skip(rest, size) do
    <<_::binary-size(size), rest::binary>> = rest
    rest
  end

  # Calls `fun` with each message of an answer: its type and its body.
  @spec reduce(binary(), acc, (byte(), binary(), acc -> acc)) :: acc when acc: term()
  def reduce(<<>>, acc, _fun), do: acc

  def reduce(<<type, length::32, rest::binary>>, acc, fun) do
    size = length - 4
    <<body::binary-size(size), rest::binary>> = rest
    reduce(rest, fun.(type, body, acc), fun)
  end

  @doc """
  The statement that Parse and Describe were answered for: its parameters' types and its columns.
  """
  @spec decode_description(binary()) ::
          {:ok, %{parameters: [non_neg_integer()], columns: [column()] | nil}}
          | {:error, Error.t()}
  def decode_description(answer) do
    reduce(answer, {:ok, %{parameters: [], columns: nil}}, fn
      ?t, <<_count::16, types::binary>>, {:ok, description} ->
        {:ok, %{description | parameters: for(<<type::32 <- types>>, do: type)}}

      ?T, body, {:ok, description} ->
        {:ok, %{description | columns: columns(body)}}

      ?E, body, _ ->
        {:error, Error.from_fields(fields(body))}

      _, _, acc ->
        acc
    end)
  end

  @doc """
  The results of an answer, one for each statement that was run, and the error that ended it.

  `columns` are those of a prepared statement, whose answer does not describe them. Text values stay as they are
  where `decode` is false.
  """
  @spec decode_results(binary(), [column()] | nil, boolean()) ::
          {:ok, [Result.t()], :done | :suspended} | {:error, Error.t()}
  def decode_results(answer, columns \\ nil, decode \\ true) do
    start = %{columns: columns, rows: [], count: 0, notices: [], results: [], more: :done}
    start = Map.merge(start, %{error: nil, copy: false, decode: decode})
    acc = reduce(answer, start, &result_message/3)

    case acc do
      %{error: %Error{} = error} -> {:error, error}
      %{more: :suspended} -> {:ok, [result(acc, nil)], :suspended}
      acc -> {:ok, Enum.reverse(acc.results), :done}
    end
  end

  defp result_message(?D, <<_count::16, values::binary>>, acc) do
    row = Types.decode_row(values, acc.columns, acc.decode)
    %{acc | rows: [row | acc.rows], count: acc.count + 1}
  end

  defp result_message(?d, body, acc),
    do: %{acc | rows: [:binary.copy(body) | acc.rows], count: acc.count + 1, copy: true}

  defp result_message(?T, body, acc), do: %{acc | columns: columns(body)}
  defp result_message(?H, _body, acc), do: %{acc | copy: true}
  defp result_message(?s, _body, acc), do: %{acc | more: :suspended}

  defp result_message(?C, body, acc) do
    tag = binary_part(body, 0, byte_size(body) - 1)
    next(acc, result(acc, tag))
  end

  defp result_message(?I, _body, acc), do: next(acc, result(acc, nil))
  defp result_message(?N, body, acc), do: %{acc | notices: [fields(body) | acc.notices]}

  defp result_message(?E, body, %{error: nil} = acc),
    do: %{acc | error: Error.from_fields(fields(body))}

  defp result_message(_type, _body, acc), do: acc

  defp next(acc, result) do
    %{acc | columns: nil, rows: [], count: 0, notices: [], copy: false}
    |> Map.update!(:results, &[result | &1])
  end

  defp result(acc, tag) do
    {command, number} = split_tag(tag)
    names = acc.columns && Enum.map(acc.columns, & &1.name)

    %Result{
      command: command,
      columns: names,
      rows: if(names != nil or acc.copy, do: Enum.reverse(acc.rows)),
      num_rows: number || acc.count,
      notices: Enum.reverse(acc.notices)
    }
  end

  # "INSERT 0 5", "SELECT 2", "CREATE TABLE"
  defp split_tag(nil), do: {nil, nil}

  defp split_tag(tag) do
    words = String.split(tag, " ")

    case Enum.split_while(words, &(&1 =~ ~r/[^0-9]/)) do
      {command, []} -> {Enum.join(command, " "), nil}
      {command, numbers} -> {Enum.join(command, " "), String.to_integer(List.last(numbers))}
    end
  end

  @spec columns(binary()) :: [column()]
  def columns(<<_count::16, rest::binary>>), do: each_column(rest)

  defp each_column(<<>>), do: []

  defp each_column(bytes) do
    [name, rest] = :binary.split(bytes, <<0>>)

    <<_table::32, _attribute::16, type::32, _size::16, _modifier::32, format::16, rest::binary>> =
      rest

    [%{name: :binary.copy(name), type: type, format: format} | each_column(rest)]
  end

  @field_names %{
    ?S => :severity_localized,
    ?V => :severity,
    ?C => :code,
    ?M => :message,
    ?D => :detail,
    ?H => :hint,
    ?P => :position,
    ?p => :internal_position,
    ?q => :internal_query,
    ?W => :where,
    ?s => :schema,
    ?t => :table,
    ?c => :column,
    ?d => :data_type,
    ?n => :constraint,
    ?F => :file,
    ?L => :line,
    ?R => :routine
  }

  @doc "The fields of an ErrorResponse or a NoticeResponse."
  @spec fields(binary()) :: %{optional(atom()) => String.t()}
  def fields(body) do
    for <<key, text::binary>> <- :binary.split(body, <<0>>, [:global, :trim_all]),
        name = @field_names[key],
        name != :severity_localized,
        into: %{},
        do: {name, :binary.copy(text)}
  end
end
