defmodule PgliteEx.ClientTest do
  @moduledoc "A pool of a client that behaves as Postgrex does, on a server."
  use PgliteEx.Case, async: true
  alias PgliteEx.WireClient

  setup do
    pg = start_pg(server: [port: 0])
    options = PgliteEx.postgrex_options(pg)
    %{pool: for(n <- 1..10, do: start_supervised!({WireClient, options}, id: {:connection, n}))}
  end

  test "the types are read from the catalogue", %{pool: [connection | _]} do
    %Result{rows: rows} = WireClient.types(connection)
    assert length(rows) > 100
    assert [["23", "int4", "int4send", "int4recv" | _]] = Enum.filter(rows, &(hd(&1) == "23"))
  end

  test "named statements, binary parameters and results", %{pool: [connection | _]} do
    sql = "select $1::int8 + 1, $2::text, $3::bytea, $4::float8, $5::bool"

    for n <- 1..200 do
      assert {:ok, %Result{rows: [row]}} =
               WireClient.query(connection, sql, [n, "ünd", <<0, 255>>, 2.5, nil])

      assert row == [n + 1, "ünd", <<0, 255>>, 2.5, nil]
    end

    assert {:error, %Error{code: "22012"}} =
             WireClient.query(connection, "select 1 / $1::int8", [0])

    assert {:error, %Error{code: "42601"}} = WireClient.query(connection, "selec")
    assert {:ok, %Result{rows: [[1]]}} = WireClient.query(connection, "select 1")
  end

  test "ten connections at once, each in transactions of its own, as a sandbox has them", %{
    pool: pool
  } do
    {:ok, _} =
      WireClient.simple(hd(pool), "create table counters (id int primary key, n int8 not null)")

    {:ok, _} = WireClient.simple(hd(pool), "insert into counters values (0, 0)")

    pool
    |> Enum.with_index(1)
    |> Task.async_stream(
      fn {connection, id} ->
        {:ok, _} = WireClient.simple(connection, "begin; savepoint sandbox")

        {:ok, _} =
          WireClient.query(connection, "insert into counters values ($1::int8, $1::int8)", [id])

        assert {:ok, %Result{rows: [[0], [^id]]}} =
                 WireClient.query(connection, "select id from counters order by id")

        assert {:error, %Error{code: "23505"}} =
                 WireClient.query(connection, "insert into counters values ($1::int8, 0)", [id])

        {:ok, _} = WireClient.simple(connection, "rollback to savepoint sandbox")

        assert {:ok, %Result{rows: [[0]]}} =
                 WireClient.query(connection, "select id from counters order by id")

        {:ok, _} = WireClient.simple(connection, "rollback")

        for _ <- 1..50,
            do:
              {:ok, %Result{num_rows: 1}} =
                WireClient.query(connection, "update counters set n = n + 1 where id = 0")
      end,
      max_concurrency: 10,
      timeout: 60_000
    )
    |> Enum.each(&assert({:ok, _} = &1))

    assert {:ok, %Result{rows: [[500]]}} = WireClient.query(hd(pool), "select n from counters")
  end

  test "a large parameter and result", %{pool: [connection | _]} do
    bytes = :crypto.strong_rand_bytes(10_000_000)

    assert {:ok, %Result{rows: [[^bytes]]}} =
             WireClient.query(connection, "select $1::bytea", [bytes])
  end
end
