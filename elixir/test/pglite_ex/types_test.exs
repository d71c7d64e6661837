defmodule PgliteEx.TypesTest do
  use PgliteEx.Case, async: true

  setup_all do
    {:ok, db} = PgliteEx.start_instance({__MODULE__, make_ref()})
    on_exit(fn -> PgliteEx.stop_instance(db) end)
    %{db: db}
  end

  # There and back: as parameters, and as what PostgreSQL itself makes of the literal.
  @values [
    {"bool", true, "'t'"},
    {"bool", false, "'f'"},
    {"int2", -32_768, "'-32768'"},
    {"int4", 2_147_483_647, "'2147483647'"},
    {"int8", -9_223_372_036_854_775_808, "'-9223372036854775808'"},
    {"oid", 4_294_967_295, "'4294967295'"},
    {"float4", 1.5, "'1.5'"},
    {"float8", 0.1, "'0.1'"},
    {"float8", 1.0e300, "'1e300'"},
    {"float8", :nan, "'NaN'"},
    {"float8", :infinity, "'Infinity'"},
    {"float8", :neg_infinity, "'-Infinity'"},
    {"float4", :neg_infinity, "'-Infinity'"},
    {"text", "ünd 🦀 \\ \" '", "E'ünd 🦀 \\\\ \" '''"},
    {"text", "", "''"},
    {"varchar(10)", "abc", "'abc'"},
    {"char(5)", "abc  ", "'abc'"},
    {"name", "abc", "'abc'"},
    {"bytea", <<0, 255, 1, 92>>, "'\\x00ff015c'"},
    {"uuid", "550e8400-e29b-41d4-a716-446655440000", "'550E8400-E29B-41D4-A716-446655440000'"},
    {"date", ~D[2024-02-29], "'2024-02-29'"},
    {"date", ~D[0001-01-01], "'0001-01-01'"},
    {"date", ~D[-0043-03-15], "'0044-03-15 BC'"},
    {"date", :infinity, "'infinity'"},
    {"date", :neg_infinity, "'-infinity'"},
    {"time", ~T[23:59:59.999999], "'23:59:59.999999'"},
    {"time", ~T[00:00:00.000000], "'00:00'"},
    {"time", "24:00:00", "'24:00'"},
    {"timestamp", ~N[1999-12-31 23:59:59.000456], "'1999-12-31 23:59:59.000456'"},
    {"timestamp", ~N[2024-02-29 00:00:00.000000], "'2024-02-29'"},
    {"timestamp", ~N[-0043-03-15 12:00:00.000000], "'0044-03-15 12:00 BC'"},
    {"timestamp", :infinity, "'infinity'"},
    {"timestamptz", ~U[2024-02-29 01:02:03.000456Z], "'2024-02-29 03:02:03.000456+02'"},
    {"timestamptz", :neg_infinity, "'-infinity'"},
    {"interval", "1 mon 2 days 03:00:00", "'1 month 2 days 3 hours'"},
    {"int4[]", [1, nil, -3], "'{1,NULL,-3}'"},
    {"int4[]", [], "'{}'"},
    {"int4[]", [[1, 2], [3, 4], [5, 6]], "'{{1,2},{3,4},{5,6}}'"},
    {"int8[]", [[[1, 2]], [[3, nil]]], "'{{{1,2}},{{3,NULL}}}'"},
    {"text[]", ["a", "", "NULL", nil, "b\"\\c,{}", "ü"],
     "array['a', '', 'NULL', null, 'b\"\\c,{}', 'ü']"},
    {"bool[]", [true, false, nil], "'{t,f,NULL}'"},
    {"float8[]", [1.5, :nan], "'{1.5,NaN}'"},
    {"bytea[]", [<<0, 255>>, ""], "array['\\x00ff'::bytea, '']"},
    {"uuid[]", ["550e8400-e29b-41d4-a716-446655440000"],
     "'{550e8400-e29b-41d4-a716-446655440000}'"},
    {"date[]", [~D[2024-02-29]], "'{2024-02-29}'"},
    {"timestamptz[]", [~U[2024-02-29 00:00:00.000000Z]], "'{2024-02-29 00:00+00}'"},
    {"inet", "10.0.0.1/8", "'10.0.0.1/8'"},
    {"point", "(1,2)", "'(1,2)'"},
    {"int4range", "[1,5)", "'[1,5)'"},
    {"bit(3)", "101", "'101'"}
  ]

  for {{type, term, literal}, index} <- Enum.with_index(@values) do
    test "#{index}: #{type} #{inspect(term)}", %{db: db} do
      term = unquote(Macro.escape(term))
      type = unquote(type)
      assert value(db, "select #{unquote(literal)}::#{type}") == term
      assert value(db, "select $1::#{type}", [term]) == term
    end
  end

  @numerics ~w(0 1 -1 0.1 -0.1 1.50 0.0001 0.00012 12345.6789 10000 100000000 0.00 1e20 1e-20 NaN
    99999999999999999999999999.999999999999 -0.000000000001 5000 50000000.5 9999 10001.0001)

  test "numeric", %{db: db} do
    for text <- @numerics do
      printed = value(db, "select '#{text}'::numeric::text")
      assert to_string(value(db, "select '#{text}'::numeric")) |> plain() == printed, text
      assert value(db, "select $1::numeric::text", [text]) == printed
      assert [found, nil] = value(db, "select array['#{text}'::numeric, null]")
      assert plain(to_string(found)) == printed
    end

    assert value(db, "select $1::numeric::text", [5]) == "5"
    assert value(db, "select 'infinity'::numeric") |> to_string() =~ ~r/^Inf/
  end

  # Decimal prints exponents.
  defp plain(text) do
    if text =~ "E" and Code.ensure_loaded?(Decimal),
      do: apply(Decimal, :to_string, [apply(Decimal, :new, [text]), :normal]),
      else: text
  end

  test "null", %{db: db} do
    for type <- ~w(int4 text bytea numeric date int4[] jsonb inet),
        do: assert(value(db, "select $1::#{type}", [nil]) == nil)
  end

  test "json is text, or what the library makes of it", %{db: db} do
    if Code.ensure_loaded?(Jason) do
      assert value(db, "select $1::jsonb", [%{"a" => [1, nil]}]) == %{"a" => [1, nil]}
      assert value(db, "select $1::json", [~s({"a":1})]) == %{"a" => 1}
      assert value(db, "select $1::jsonb[]", [[%{"a" => 1}, nil]]) == [%{"a" => 1}, nil]
    else
      assert value(db, "select $1::jsonb", [~s({"a": [1, null]})]) == ~s({"a": [1, null]})
      assert value(db, "select $1::json", [~s({"a":1})]) == ~s({"a":1})

      assert_raise ArgumentError, ~r/JSON library/, fn ->
        PgliteEx.query(db, "select $1::jsonb", [%{}])
      end
    end
  end

  test "types of one's own are strings", %{db: db} do
    PgliteEx.exec!(
      db,
      "create type mood as enum ('sad', 'happy'); create domain small as int check (value < 10)"
    )

    assert value(db, "select $1::mood", ["happy"]) == "happy"
    assert value(db, "select $1::small", [5]) == 5
    assert value(db, "select row(1, 'a')") == "(1,a)"
    assert value(db, "select array['sad'::mood]") == "{sad}"
  end

  test "far times", %{db: db} do
    assert value(db, "select '9999-12-31'::date") == ~D[9999-12-31]

    assert value(db, "select '9999-12-31 23:59:59.999999'::timestamp") ==
             ~N[9999-12-31 23:59:59.999999]

    assert value(db, "select '10000-01-01'::timestamp") == "10000-01-01 00:00:00.000000"

    assert value(db, "select '20000-02-03 04:05:06.7+00'::timestamptz") ==
             "20000-02-03 04:05:06.700000"

    assert value(db, "select '5874897-12-31'::date") == "5874897-12-31"
    assert value(db, "select '4713-01-01 BC'::date") == ~D[-4712-01-01]
  end

  test "settings of the session do not matter", %{db: db} do
    {:ok, _} =
      PgliteEx.transaction(db, fn db ->
        PgliteEx.exec!(
          db,
          "set local datestyle = 'SQL, DMY'; set local timezone = 'Asia/Tokyo'; set local bytea_output = 'escape'"
        )

        assert value(db, "select '2024-02-29'::date") == ~D[2024-02-29]
        assert value(db, "select $1::date", [~D[2024-02-29]]) == ~D[2024-02-29]

        assert value(db, "select $1::timestamptz", [~U[2024-02-29 01:02:03.000000Z]]) ==
                 ~U[2024-02-29 01:02:03.000000Z]

        assert value(db, "select '\\x00ff'::bytea") == <<0, 255>>
      end)
  end
end
