defmodule PgliteEx.Types do
  @moduledoc """
  How values of PostgreSQL become Elixir terms, and the other way round.

  | PostgreSQL | Elixir |
  |---|---|
  | `bool` | `true`, `false` |
  | `int2`, `int4`, `int8`, `oid` | integer |
  | `float4`, `float8` | float, `:nan`, `:infinity`, `:neg_infinity` |
  | `numeric` | `Decimal` where that library is loaded, else a string |
  | `text`, `varchar`, `bpchar`, `name`, `xml` | string |
  | `bytea` | binary |
  | `uuid` | string, `"550e8400-e29b-41d4-a716-446655440000"` |
  | `date` | `Date`, `:infinity`, `:neg_infinity` |
  | `time` | `Time` |
  | `timestamp` | `NaiveDateTime`, `:infinity`, `:neg_infinity` |
  | `timestamptz` | `DateTime` in UTC, `:infinity`, `:neg_infinity` |
  | `json`, `jsonb` | what the JSON library makes of it (`config :pglite_ex, json_library: Jason`; by default Jason or Elixir's own JSON where there is one), else a string |
  | arrays of these | lists |
  | all other | a string, as PostgreSQL prints it |

  Dates after the year 9999, which Elixir's calendar does not have, and the time `24:00:00` are strings. JSON is given as
  a string of JSON, or as what the library encodes.

  A parameter may also be given as a string that PostgreSQL reads: `"2024-02-29"` for a date, `"{1,2}"` for an
  array. `nil` is NULL.
  """

  @bool 16
  @bytea 17
  @int8 20
  @int2 21
  @int4 23
  @oid 26
  @json 114
  @float4 700
  @float8 701
  @date 1082
  @time 1083
  @timestamp 1114
  @timestamptz 1184
  @numeric 1700
  @uuid 2950
  @jsonb 3802
  # text, name, xml, bpchar, varchar, unknown: their binary form is their text.
  @texts [25, 19, 142, 1042, 1043, 705]

  # array type => element type
  @arrays %{
    1000 => @bool,
    1001 => @bytea,
    1003 => 19,
    1005 => @int2,
    1007 => @int4,
    1009 => 25,
    1014 => 1042,
    1015 => 1043,
    1016 => @int8,
    1021 => @float4,
    1022 => @float8,
    1028 => @oid,
    199 => @json,
    1115 => @timestamp,
    1182 => @date,
    1183 => @time,
    1185 => @timestamptz,
    1231 => @numeric,
    2951 => @uuid,
    3807 => @jsonb
  }
  @array_types Map.keys(@arrays)

  @binary [
            @bool,
            @bytea,
            @int2,
            @int4,
            @int8,
            @oid,
            @float4,
            @float8,
            @date,
            @time,
            @timestamp,
            @timestamptz,
            @numeric,
            @uuid,
            @json,
            @jsonb
          ] ++ @texts ++ @array_types

  @epoch_days :calendar.date_to_gregorian_days({2000, 1, 1})
  @epoch_microseconds :calendar.datetime_to_gregorian_seconds({{2000, 1, 1}, {0, 0, 0}}) *
                        1_000_000

  # The last that Elixir's calendar has, counted from 2000-01-01; PostgreSQL has some after it.
  @last_day :calendar.date_to_gregorian_days({9999, 12, 31}) - @epoch_days
  @day 86_400_000_000

  @doc false
  @spec format(non_neg_integer()) :: 0 | 1
  def format(type) when type in @binary, do: 1
  def format(_type), do: 0

  # --- Decoding ---

  @doc false
  @spec decode_row(binary(), [PgliteEx.Protocol.column()] | nil, boolean()) :: [term()]
  def decode_row(<<>>, _columns, _decode), do: []

  def decode_row(<<-1::signed-32, rest::binary>>, [_ | columns], decode),
    do: [nil | decode_row(rest, columns, decode)]

  def decode_row(<<size::32, rest::binary>>, [column | columns], decode) do
    <<value::binary-size(size), rest::binary>> = rest

    term =
      if decode and column.format == 1,
        do: decode(column.type, value),
        else: :binary.copy(value)

    [term | decode_row(rest, columns, decode)]
  end

  # Binaries are copied: a value must not keep the whole answer alive.
  @doc false
  @spec decode(non_neg_integer(), binary()) :: term()
  def decode(type, value) when type in @texts or type == @bytea, do: :binary.copy(value)
  def decode(@bool, <<byte>>), do: byte != 0
  def decode(@int2, <<n::signed-16>>), do: n
  def decode(@int4, <<n::signed-32>>), do: n
  def decode(@int8, <<n::signed-64>>), do: n
  def decode(@oid, <<n::32>>), do: n
  def decode(@float4, <<n::float-32>>), do: n
  def decode(@float4, <<sign::1, 255, fraction::23>>), do: not_finite(sign, fraction)
  def decode(@float8, <<n::float-64>>), do: n
  def decode(@float8, <<sign::1, 2047::11, fraction::52>>), do: not_finite(sign, fraction)
  def decode(@json, value), do: decode_json(value)
  def decode(@jsonb, <<1, value::binary>>), do: decode_json(value)
  def decode(@date, <<0x7FFFFFFF::32>>), do: :infinity
  def decode(@date, <<0x80000000::32>>), do: :neg_infinity

  def decode(@date, <<days::signed-32>>) when days > @last_day,
    do: far_date(days + @epoch_days)

  def decode(@date, <<days::signed-32>>), do: Date.from_gregorian_days(days + @epoch_days)

  # Elixir has no such time of day.
  def decode(@time, <<86_400_000_000::64>>), do: "24:00:00"

  def decode(@time, <<microseconds::signed-64>>),
    do: Time.from_seconds_after_midnight(div(microseconds, 1_000_000), fraction(microseconds))

  def decode(type, <<0x7FFFFFFFFFFFFFFF::64>>) when type in [@timestamp, @timestamptz],
    do: :infinity

  def decode(type, <<0x8000000000000000::64>>) when type in [@timestamp, @timestamptz],
    do: :neg_infinity

  def decode(type, <<microseconds::signed-64>>)
      when type in [@timestamp, @timestamptz] and microseconds >= (@last_day + 1) * @day do
    total = microseconds + @epoch_microseconds
    seconds = div(rem(total, @day), 1_000_000)
    time = Time.from_seconds_after_midnight(seconds, fraction(total))
    far_date(div(total, @day)) <> " " <> Time.to_string(time)
  end

  def decode(@timestamp, <<microseconds::signed-64>>) do
    total = microseconds + @epoch_microseconds

    NaiveDateTime.from_gregorian_seconds(Integer.floor_div(total, 1_000_000), fraction(total))
  end

  def decode(@timestamptz, <<microseconds::signed-64>>) do
    total = microseconds + @epoch_microseconds
    DateTime.from_gregorian_seconds(Integer.floor_div(total, 1_000_000), fraction(total))
  end

  def decode(@uuid, <<a::binary-4, b::binary-2, c::binary-2, d::binary-2, e::binary-6>>),
    do: Enum.map_join([a, b, c, d, e], "-", &Base.encode16(&1, case: :lower))

  def decode(@numeric, <<count::16, weight::signed-16, sign::16, scale::16, digits::binary>>) do
    case sign do
      0xC000 -> decimal("NaN")
      0xD000 -> decimal("Infinity")
      0xF000 -> decimal("-Infinity")
      _ -> decimal(numeric_text(count, weight, sign, scale, digits))
    end
  end

  def decode(type, value) when type in @array_types, do: decode_array(@arrays[type], value)
  def decode(_type, value), do: :binary.copy(value)

  defp far_date(days) do
    {year, month, day} = :calendar.gregorian_days_to_date(days)
    pad = &String.pad_leading(Integer.to_string(&1), 2, "0")
    "#{year}-#{pad.(month)}-#{pad.(day)}"
  end

  defp not_finite(_sign, fraction) when fraction != 0, do: :nan
  defp not_finite(0, 0), do: :infinity
  defp not_finite(1, 0), do: :neg_infinity

  defp fraction(microseconds), do: {Integer.mod(microseconds, 1_000_000), 6}

  # Digits to the base 10,000; the first is worth 10,000^weight.
  defp numeric_text(count, weight, sign, scale, digits) do
    digits = for <<digit::16 <- digits>>, do: digit
    coefficient = Enum.reduce(digits, 0, &(&2 * 10_000 + &1))
    exponent = (weight - count + 1) * 4
    # As many decimals as it says, whatever digits were sent.
    scaled =
      if exponent + scale >= 0,
        do: coefficient * Integer.pow(10, exponent + scale),
        else: div(coefficient, Integer.pow(10, -exponent - scale))

    text = scaled |> Integer.to_string() |> String.pad_leading(scale + 1, "0")
    {whole, decimals} = String.split_at(text, byte_size(text) - scale)
    minus = if sign == 0x4000, do: "-", else: ""
    if scale == 0, do: minus <> whole, else: minus <> whole <> "." <> decimals
  end

  defp decimal(text) do
    if Code.ensure_loaded?(Decimal), do: apply(Decimal, :new, [text]), else: text
  end

  defp decode_array(_element, <<0::32, _flags::32, _type::32>>), do: []

  defp decode_array(element, <<dimensions::32, _flags::32, _type::32, rest::binary>>) do
    size = dimensions * 8
    <<bounds::binary-size(size), values::binary>> = rest
    lengths = for <<length::32, _lower::32 <- bounds>>, do: length
    values |> elements(element) |> nest(lengths)
  end

  defp elements(<<>>, _element), do: []
  defp elements(<<-1::signed-32, rest::binary>>, element), do: [nil | elements(rest, element)]

  defp elements(<<size::32, rest::binary>>, element) do
    <<value::binary-size(size), rest::binary>> = rest
    [decode(element, value) | elements(rest, element)]
  end

  defp nest(values, [_length]), do: values

  defp nest(values, [_length | lengths]) do
    values |> Enum.chunk_every(Enum.product(lengths)) |> Enum.map(&nest(&1, lengths))
  end

  # --- Encoding ---

  @doc """
  A parameter of a type, as it goes into Bind: its format, and its bytes.

      iex> PgliteEx.Types.encode(23, 5)
      {0, "5"}
      iex> PgliteEx.Types.encode(1009, ["a", nil, "b\\"c"])
      {0, ["{", [~S("a"), ",", "NULL", ",", ~S("b\\"c")], "}"]}
  """
  @spec encode(non_neg_integer(), term()) :: {0 | 1, iodata() | nil}
  def encode(_type, nil), do: {0, nil}
  def encode(@bytea, value) when is_binary(value) or is_list(value), do: {1, value}
  def encode(type, value), do: {0, text(type, value)}

  defp text(type, value) when type in [@json, @jsonb], do: encode_json(value)
  defp text(type, value) when type in @array_types and is_list(value), do: array(type, value)
  defp text(@bytea, value) when is_binary(value), do: ["\\x", Base.encode16(value, case: :lower)]

  defp text(@uuid, <<_::128>> = value), do: decode(@uuid, value)

  defp text(_type, value) when is_binary(value) do
    if :binary.match(value, <<0>>) != :nomatch,
      do: raise(ArgumentError, "text of PostgreSQL's cannot hold a zero byte; use bytea")

    value
  end

  defp text(_type, true), do: "t"
  defp text(_type, false), do: "f"
  defp text(_type, value) when is_integer(value), do: Integer.to_string(value)
  defp text(_type, value) when is_float(value), do: Float.to_string(value)
  defp text(_type, :nan), do: "NaN"
  defp text(_type, :infinity), do: "infinity"
  defp text(_type, :neg_infinity), do: "-infinity"
  defp text(_type, %Date{} = value), do: iso(Date.to_iso8601(value), value.year)
  defp text(_type, %Time{} = value), do: Time.to_iso8601(value)

  defp text(_type, %NaiveDateTime{} = value),
    do: iso(NaiveDateTime.to_iso8601(value), value.year)

  defp text(_type, %DateTime{} = value), do: iso(DateTime.to_iso8601(value), value.year)

  defp text(_type, %module{} = value) when module == Decimal,
    do: apply(Decimal, :to_string, [value, :normal])

  defp text(type, value) do
    raise ArgumentError,
          "a parameter of the type with the number #{type} cannot be #{inspect(value, limit: 5)}"
  end

  # There is no year 0 in SQL: what ISO 8601 calls 0 is 1 BC.
  defp iso(text, year) when year > 0, do: text

  defp iso(text, year) do
    [_, rest] = Regex.run(~r/^-?\d+(-.*)$/s, text)
    year = String.pad_leading(Integer.to_string(1 - year), 4, "0")
    "#{year}#{rest} BC"
  end

  defp array(type, list), do: ["{", Enum.map_intersperse(list, ",", &element(type, &1)), "}"]

  defp element(_type, nil), do: "NULL"
  defp element(type, list) when is_list(list), do: array(type, list)

  defp element(type, value) do
    text = @arrays[type] |> text(value) |> IO.iodata_to_binary()
    ~s("#{String.replace(text, ["\\", "\""], &("\\" <> &1))}")
  end

  # --- JSON ---

  defp decode_json(text) do
    case json_library() do
      nil -> :binary.copy(text)
      library -> library |> apply(:decode!, [text])
    end
  end

  # A string is JSON already, as it is with no library.
  defp encode_json(value) when is_binary(value), do: value

  defp encode_json(value) do
    case json_library() do
      nil ->
        raise ArgumentError,
              "there is no JSON library to encode #{inspect(value, limit: 5)} with: add jason to " <>
                "the dependencies, or give a string"

      library ->
        encoder =
          if function_exported?(library, :encode_to_iodata!, 1),
            do: :encode_to_iodata!,
            else: :encode!

        apply(library, encoder, [value])
    end
  end

  defp json_library do
    case Application.fetch_env(:pglite_ex, :json_library) do
      {:ok, library} -> library
      :error -> Enum.find([Jason, JSON], &Code.ensure_loaded?/1)
    end
  end
end
