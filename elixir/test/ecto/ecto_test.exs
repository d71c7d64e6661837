if Code.ensure_loaded?(Ecto.Adapters.Postgres) do
  defmodule PgliteEx.EctoSetup do
    @moduledoc "One server and one repository for the modules of this file, migrated once."
    alias PgliteEx.{TestMigration, TestRepo}

    def start do
      {:ok, pg} = PgliteEx.start_instance(PgliteEx.EctoPg, server: [port: 0])

      config =
        PgliteEx.postgrex_options(PgliteEx.EctoPg) ++
          [pool: Ecto.Adapters.SQL.Sandbox, pool_size: 10, log: false]

      {:ok, _} = Supervisor.start_link([{TestRepo, config}], strategy: :one_for_one)
      Ecto.Migrator.up(TestRepo, 1, TestMigration, log: false)
      Ecto.Adapters.SQL.Sandbox.mode(TestRepo, :manual)
      {:ok, pg}
    end
  end

  # Started once, by whoever comes first; async modules run at the same time.
  {:ok, _} =
    Agent.start(fn -> {:ok, _} = PgliteEx.EctoSetup.start() end,
      name: PgliteEx.EctoAgent,
      timeout: 60_000
    )

  for n <- 1..4 do
    defmodule Module.concat(PgliteEx, "SandboxTest#{n}") do
      use PgliteEx.Case, async: true
      alias Ecto.Adapters.SQL.Sandbox
      alias PgliteEx.{TestItem, TestRepo}
      @moduletag :ecto

      setup do
        pid = Sandbox.start_owner!(TestRepo, shared: false)
        on_exit(fn -> Sandbox.stop_owner(pid) end)
      end

      for test <- 1..10 do
        test "#{n}.#{test}: sees its own rows only" do
          # Different rows: the same would wait for each other, in the sandbox of any PostgreSQL.
          name = "item #{unquote(n)}.#{unquote(test)}"
          assert TestRepo.all(TestItem) == []

          item =
            TestRepo.insert!(%TestItem{
              name: name,
              tags: ["a", "b"],
              data: %{"x" => [1, nil]},
              price: Decimal.new("1.50")
            })

          assert [%TestItem{tags: ["a", "b"], data: %{"x" => [1, nil]}} = found] =
                   TestRepo.all(TestItem)

          assert Decimal.equal?(found.price, "1.5")

          assert {:error, _} =
                   TestRepo.transaction(fn -> TestRepo.delete!(item) && TestRepo.rollback(:no) end)

          task = Task.async(fn -> TestRepo.aggregate(TestItem, :count) end)
          assert Task.await(task) == 1
        end
      end
    end
  end

  defmodule PgliteEx.PostgrexTest do
    use PgliteEx.Case, async: true
    alias PgliteEx.{Template, TestItem, TestMigration, TestRepo}
    @moduletag :ecto

    test "a pool over TCP, over a Unix socket, and with a password" do
      for server <- [
            [port: 0],
            [socket_dir: tmp_dir()],
            [port: 0, password: "it's secret", auth: :scram]
          ] do
        pg = start_pg(server: server)

        pool =
          start_supervised!({Postgrex, PgliteEx.postgrex_options(pg) ++ [pool_size: 10]},
            id: make_ref()
          )

        1..200
        |> Task.async_stream(
          fn n -> Postgrex.query!(pool, "select $1::int, pg_sleep(0.001)", [n]).rows end,
          max_concurrency: 50
        )
        |> Enum.with_index(1)
        |> Enum.each(fn {{:ok, [[n, _]]}, index} -> assert n == index end)
      end
    end

    test "a repository by URL, also of a Unix socket" do
      for server <- [[port: 0], [socket_dir: tmp_dir()]] do
        pg = start_pg(server: server)

        repo =
          start_supervised!(
            {TestRepo,
             url: PgliteEx.url(pg),
             name: nil,
             pool_size: 2,
             pool: DBConnection.ConnectionPool,
             log: false},
            id: make_ref()
          )

        TestRepo.put_dynamic_repo(repo)
        assert %{rows: [[1]]} = TestRepo.query!("select 1")
        TestRepo.put_dynamic_repo(TestRepo)
      end
    end

    test "notifications between connections" do
      pg = start_pg(server: [port: 0])
      options = PgliteEx.postgrex_options(pg)
      listener = start_supervised!({Postgrex.Notifications, options})
      {:ok, ref} = Postgrex.Notifications.listen(listener, "news")
      connection = start_supervised!({Postgrex, options})
      Postgrex.query!(connection, "notify news, 'hello'", [])
      assert_receive {:notification, _, ^ref, "news", "hello"}, 5000
    end

    test "a pool comes back after the program was killed" do
      start_pg(name: :ecto_killed, server: [port: 0])

      pool =
        start_supervised!(
          {Postgrex,
           PgliteEx.postgrex_options(:ecto_killed) ++
             [pool_size: 3, backoff_min: 20, backoff_max: 100]}
        )

      assert %{rows: [[1]]} = Postgrex.query!(pool, "select 1", [])
      kill(os_pid(:ecto_killed))
      eventually(fn -> match?({:ok, %{rows: [[1]]}}, Postgrex.query(pool, "select 1", [])) end)
    end

    test "a database for each test, of a migrated template" do
      start_pg(name: :ecto_template, server: [port: 0])
      {:ok, "app"} = Template.create_database(:ecto_template, name: "app")

      config =
        PgliteEx.postgrex_options(:ecto_template) ++
          [name: nil, pool_size: 2, pool: DBConnection.ConnectionPool, log: false]

      with_repo(Keyword.put(config, :database, "app"), fn repo ->
        Ecto.Migrator.up(TestRepo, 1, TestMigration, log: false, dynamic_repo: repo)
      end)

      1..6
      |> Task.async_stream(
        fn n ->
          {:ok, name} = Template.create_database(:ecto_template, template: "app")

          with_repo(Keyword.put(config, :database, name), fn _ ->
            for i <- 1..n, do: TestRepo.insert!(%TestItem{name: "item #{i}"})
            assert TestRepo.aggregate(TestItem, :count) == n
          end)

          assert :ok = Template.drop_database(:ecto_template, name)
        end,
        timeout: 60_000
      )
      |> Enum.each(&assert({:ok, _} = &1))
    end

    @tag :server_snapshot
    test "a server for each test, from a snapshot that Ecto migrated" do
      path = Path.join(tmp_dir(), "migrated")
      config = [name: nil, pool_size: 2, pool: DBConnection.ConnectionPool, log: false]

      {:ok, _} =
        Template.build(path, [], fn pg ->
          with_repo(PgliteEx.postgrex_options(pg) ++ config, fn repo ->
            Ecto.Migrator.up(TestRepo, 1, TestMigration, log: false, dynamic_repo: repo)
          end)
        end)

      for _ <- 1..3 do
        pg = start_pg(snapshot: path, server: [port: 0])

        with_repo(PgliteEx.postgrex_options(pg) ++ config, fn _ ->
          TestRepo.insert!(%TestItem{name: "only"})
          assert TestRepo.aggregate(TestItem, :count) == 1
        end)
      end
    end

    defp with_repo(config, fun) do
      {:ok, repo} = TestRepo.start_link(config)
      TestRepo.put_dynamic_repo(repo)

      try do
        fun.(repo)
      after
        Supervisor.stop(repo)
        TestRepo.put_dynamic_repo(TestRepo)
      end
    end
  end
end
