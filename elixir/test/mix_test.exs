defmodule PgliteEx.MixTest do
  @moduledoc "How the program gets into priv, and an application that uses this package."
  use PgliteEx.Case, async: true
  alias PgliteEx.Build

  describe "the target" do
    test "is the host's, or the one that Nerves names" do
      assert Build.target(%{}) =~ ~r/\Alinux-(amd64|arm64)\z/
      assert Build.target(%{"TARGET_OS" => "linux", "TARGET_ARCH" => "x86_64"}) == "linux-amd64"
      assert Build.target(%{"TARGET_ARCH" => "arm", "TARGET_OS" => "linux"}) == "linux-arm"

      assert Build.target(%{"TARGET_ARCH" => "aarch64", "TARGET_OS" => "darwin"}) ==
               "darwin-arm64"
    end
  end

  describe "install" do
    setup do
      root = tmp_dir()
      program = "#!/bin/sh\necho program\n"
      archive = Path.join(root, "pglite-port-1.0-linux-amd64.tar.gz")

      :ok =
        :erl_tar.create(
          String.to_charlist(archive),
          [{'release/pglite-port', program}, {'release/README', "x"}],
          [:compressed]
        )

      File.mkdir_p!(Path.join(root, "bin/linux-amd64"))
      File.write!(Path.join(root, "bin/linux-amd64/pglite-port"), program)
      trust(root, [archive, Path.join(root, "bin/linux-amd64/pglite-port")])

      %{
        root: root,
        archive: archive,
        to: Path.join(root, "app/priv/pglite-port"),
        program: program
      }
    end

    test "from an archive, a program in bin, and any program", c do
      for source <- [
            {:archive, c.archive},
            {:prebuilt, Path.join(c.root, "bin/linux-amd64/pglite-port")},
            {:program, Path.join(c.root, "bin/linux-amd64/pglite-port")}
          ] do
        File.rm_rf!(Path.dirname(c.to))
        assert :ok = Build.install(source, c.root, c.to, &flunk/1)
        assert File.read!(c.to) == c.program
        assert Bitwise.band(File.stat!(c.to).mode, 0o777) == 0o755
        assert File.ls!(Path.dirname(c.to)) == ["pglite-port"]
      end
    end

    test "by HTTP, from a template", c do
      port = serve(%{"/1.0/pglite-port-1.0-linux-amd64.tar.gz" => File.read!(c.archive)})

      url =
        "http://127.0.0.1:#{port}/1.0/pglite-port-1.0-{target}.tar.gz" |> Build.url("linux-amd64")

      assert :ok = Build.install({:url, url}, c.root, c.to, &send(self(), {:said, &1}))
      assert_received {:said, "fetching http" <> _}
      assert File.read!(c.to) == c.program
      assert {:error, message} = Build.install({:url, url <> "x"}, c.root, c.to, & &1)
      assert message =~ "404"
      assert {:error, message} = Build.install({:url, "http://127.0.0.1:1/x"}, c.root, c.to, & &1)
      assert message =~ "cannot fetch"
    end

    test "what is not trusted is refused, and says how to trust it", c do
      File.write!(Path.join(c.root, "checksums.txt"), "# nothing\n")
      assert {:error, message} = Build.install({:archive, c.archive}, c.root, c.to, & &1)

      assert message =~
               ~r/is not in .*checksums.txt .*; if you trust it, add the line\n[0-9a-f]{64}  pglite-port-1.0/

      [_, line] = String.split(message, "add the line\n")
      File.write!(Path.join(c.root, "checksums.txt"), line)
      assert :ok = Build.install({:archive, c.archive}, c.root, c.to, & &1)
      File.write!(c.archive, "x", [:append])
      assert {:error, message} = Build.install({:archive, c.archive}, c.root, c.to, & &1)
      assert message =~ "has the checksum"
    end

    test "what cannot be read or has no program in it", c do
      assert {:error, message} = Build.install({:archive, "/nonexistent"}, c.root, c.to, & &1)
      assert message =~ "no such file"
      File.write!(c.archive, "no archive")
      trust(c.root, [c.archive])
      assert {:error, message} = Build.install({:archive, c.archive}, c.root, c.to, & &1)
      assert message =~ "cannot unpack"
      :ok = :erl_tar.create(String.to_charlist(c.archive), [{'other', "x"}], [:compressed])
      trust(c.root, [c.archive])
      assert {:error, message} = Build.install({:archive, c.archive}, c.root, c.to, & &1)
      assert message =~ "there is no pglite-port"
      refute File.exists?(c.to)
    end

    test "for the system that is compiled for, from an archive with several", c do
      arm64 = elf(0xB7)
      amd64 = elf(0x3E)

      :ok =
        :erl_tar.create(
          String.to_charlist(c.archive),
          [{'p/bin/linux-amd64/pglite-port', amd64}, {'p/bin/linux-arm64/pglite-port', arm64}],
          [:compressed]
        )

      trust(c.root, [c.archive])

      for {target, program} <- [{"linux-arm64", arm64}, {"linux-amd64", amd64}] do
        assert :ok = Build.install({:archive, c.archive}, c.root, c.to, & &1, target)
        assert File.read!(c.to) == program
      end

      assert {:error, message} =
               Build.install({:archive, c.archive}, c.root, c.to, & &1, "linux-arm")

      assert message =~ "has no pglite-port for linux-arm; it has linux-amd64, linux-arm64"
    end

    test "not what is for another system", c do
      assert Enum.map([elf(0x3E), elf(0xB7), elf(0x08), "#!/bin/sh"], &Build.system/1) ==
               ["linux-amd64", "linux-arm64", nil, nil]

      path = Path.join(c.root, "arm64")
      File.write!(path, elf(0xB7))

      assert {:error, message} =
               Build.install({:program, path}, c.root, c.to, & &1, "linux-amd64")

      assert message =~ "arm64 is for linux-arm64, and it is compiled for linux-amd64"
      refute File.exists?(c.to)
    end
  end

  # The header of a 64-bit ELF file for a machine.
  defp elf(machine),
    do: <<0x7F, "ELF", 2, 1, 1, 0, 0::64, 2::little-16, machine::little-16, 1::little-32>>

  defp trust(root, files) do
    lines =
      for file <- files do
        name =
          if Path.basename(file) == "pglite-port",
            do: "linux-amd64/pglite-port",
            else: Path.basename(file)

        [Base.encode16(:crypto.hash(:sha256, File.read!(file)), case: :lower), "  ", name, "\n"]
      end

    File.write!(Path.join(root, "checksums.txt"), ["# comment\n", lines])
  end

  # A server of HTTP for a few requests.
  defp serve(files) do
    {:ok, socket} =
      :gen_tcp.listen(0, [:binary, packet: :http_bin, active: false, ip: {127, 0, 0, 1}])

    {:ok, port} = :inet.port(socket)

    start_supervised!(
      {Task,
       fn ->
         Stream.repeatedly(fn ->
           {:ok, client} = :gen_tcp.accept(socket)
           {:ok, {:http_request, :GET, {:abs_path, path}, _}} = :gen_tcp.recv(client, 0)

           {status, body} =
             if files[path], do: {"200 OK", files[path]}, else: {"404 Not Found", ""}

           :gen_tcp.send(
             client,
             "HTTP/1.1 #{status}\r\ncontent-length: #{byte_size(body)}\r\nconnection: close\r\n\r\n" <>
               body
           )

           :gen_tcp.close(client)
         end)
         |> Stream.run()
       end}
    )

    port
  end

  @package Path.expand("..", __DIR__)

  @tag timeout: 300_000
  test "an application with this package: compile, migrations in SQL, the doctor, a release" do
    root = tmp_dir()
    mix!(root, ["new", "shop", "--sup"])
    app = Path.join(root, "shop")

    edit!(
      Path.join(app, "mix.exs"),
      "# {:dep_from_hexpm, \"~> 0.3.0\"},",
      "{:pglite_ex, path: #{inspect(@package)}}"
    )

    edit!(
      Path.join(app, "lib/shop/application.ex"),
      "# {Shop.Worker, arg}",
      "{PgliteEx, name: Shop.Pg, data_dir: System.get_env(\"SHOP_DATA\", \"memory://\")}, Shop.Migrations"
    )

    File.mkdir_p!(Path.join(app, "priv/migrations"))

    File.write!(
      Path.join(app, "priv/migrations/1_items.sql"),
      "create table items (id int primary key, name text);\ninsert into items values (1, 'a');\n"
    )

    File.write!(
      Path.join(app, "priv/migrations/2_price.sql"),
      "alter table items add price numeric default 1.50;\n"
    )

    File.write!(Path.join(app, "lib/shop/migrations.ex"), """
    defmodule Shop.Migrations do
      use Task, restart: :transient
      def start_link(_), do: Task.start_link(__MODULE__, :run, [])

      def run do
        PgliteEx.exec!(Shop.Pg, "create table if not exists migrations (name text primary key)")

        for path <- Enum.sort(Path.wildcard(Application.app_dir(:shop, "priv/migrations/*.sql"))) do
          {:ok, _} =
            PgliteEx.transaction(Shop.Pg, fn pg ->
              name = Path.basename(path)

              if PgliteEx.query!(pg, "insert into migrations values ($1) on conflict do nothing", [name]).num_rows == 1,
                do: PgliteEx.exec!(pg, File.read!(path))
            end)
        end

        IO.inspect(PgliteEx.query!(Shop.Pg, "select id, name, price::text, (select count(*) from migrations) from items").rows)
      end
    end
    """)

    output = mix!(app, ["run", "-e", "Process.sleep(1000)"])
    assert output =~ "pglite_ex: "
    assert output =~ ~s([[1, "a", "1.50", 2]])

    assert mix!(app, ["pglite_ex.doctor"]) =~ ~r/ok     port: PostgreSQL 18/
    {output, 1} = mix(app, ["pglite_ex.doctor"], [{"PGLITE_PORT", "/bin/true"}])
    assert output =~ "wrong  version: "
    {output, 1} = mix(app, ["compile"], [{"PGLITE_PORT", "/nonexistent/pglite-port"}])
    assert output =~ "pglite_ex: there is no program at /nonexistent/pglite-port"

    # By itself it is put there again, after another one.
    program = Path.join(app, "_build/dev/lib/pglite_ex/priv/pglite-port")
    assert mix!(app, ["compile"]) =~ "pglite_ex: "
    assert File.stat!(program).size == File.stat!(PgliteEx.Program.path!()).size
    refute mix!(app, ["compile"]) =~ "pglite_ex: "

    from_archive(root, app)
    mix!(app, ["release"], [{"MIX_ENV", "prod"} | archive(root)])
    release = Path.join(app, "_build/prod/rel/shop")
    # Of the release, wherever it is, and nothing else.
    moved = Path.join(root, "moved")
    File.rename!(release, moved)
    File.rm_rf!(app)

    for _ <- 1..2 do
      {output, 0} =
        System.cmd(
          Path.join(moved, "bin/shop"),
          [
            "eval",
            "{:ok, _} = Application.ensure_all_started(:shop); Process.sleep(1000); IO.puts(elem(PgliteEx.instance_info(Shop.Pg), 1).program)"
          ],
          env: [
            {"PGLITE_PORT", nil},
            {"SHOP_DATA", Path.join(root, "data")},
            {"MIX_ENV", nil},
            {"RELEASE_DISTRIBUTION", "none"}
          ],
          stderr_to_stdout: true
        )

      assert output =~ ~s([[1, "a", "1.50", 2]])
      assert output =~ ~r/moved\/lib\/pglite_ex-.*\/priv\/pglite-port/
    end
  end

  # What a release offers, with the program that is tested in it.
  defp from_archive(root, app) do
    {_, 0} =
      System.cmd(
        Path.expand("../scripts/build_release.sh", @package),
        ["--out", root, "--program", PgliteEx.Program.path!(), "linux-amd64"],
        env: [{"SOURCE_DATE_EPOCH", "0"}]
      )

    # The message says what to do.
    {output, 1} = mix(app, ["compile"], archive(root))
    assert output =~ "is not in #{@package}/checksums.txt"
    checksums = Path.join(app, "checksums.txt")
    File.mkdir_p!(Path.join(app, "config"))

    File.write!(
      Path.join(app, "config/config.exs"),
      "import Config\nconfig :pglite_ex, checksums: #{inspect(checksums)}\n"
    )

    right = File.read!(Path.join(root, "SHA256SUMS"))
    File.write!(checksums, String.replace(right, ~r/^.{8}/m, "00000000"))
    {output, 1} = mix(app, ["compile"], archive(root))
    assert output =~ "has the checksum"

    # Mix ends where a dependency cannot be compiled; this way the doctor gets to it.
    uncompiled = ~w(do deps.loadpaths --no-compile --no-deps-check + pglite_ex.doctor)
    {output, 1} = mix(app, uncompiled, archive(root))
    assert output =~ ~r/wrong  source: .* has the checksum/

    File.write!(checksums, right)
    assert mix!(app, ["compile"], archive(root)) =~ "is there, from #{root}/pglite-port-"
    refute mix!(app, ["compile"], archive(root)) =~ "pglite_ex: "
    forced = mix!(app, ["compile.pglite_ex", "--force"], archive(root))
    assert forced =~ "pglite_ex: _build/dev/lib/pglite_ex/priv/pglite-port is there"
    refute File.exists?(Path.join(app, "_build/dev/lib/shop/priv/pglite-port"))
    assert mix!(app, ["pglite_ex.doctor"], archive(root)) =~ ~r/ok     server: was ready/

    # As Nerves says it.
    nerves = [{"TARGET_ARCH", "aarch64"}, {"TARGET_OS", "linux"} | archive(root)]
    {output, 1} = mix(app, ["compile"], nerves)
    assert output =~ "has no pglite-port for linux-arm64; it has linux-amd64"
    {output, 1} = mix(app, uncompiled, nerves)

    assert output =~
             "wrong  program: #{app}/_build/dev/lib/pglite_ex/priv/pglite-port is for linux-amd64"
  end

  defp archive(root) do
    [path] = Path.wildcard(Path.join(root, "pglite-port-*-linux-amd64.tar.gz"))
    [{"PGLITE_EX_ARCHIVE", path}, {"PGLITE_PORT", nil}]
  end

  defp edit!(path, old, new) do
    text = File.read!(path)
    assert text =~ old
    File.write!(path, String.replace(text, old, new))
  end

  defp mix!(directory, arguments, environment \\ []) do
    {output, status} = mix(directory, arguments, environment)
    assert status == 0, output
    output
  end

  # None of this build's variables, but the program.
  defp mix(directory, arguments, environment) do
    clean = [
      {"MIX_ENV", "dev"},
      {"MIX_BUILD_PATH", nil},
      {"ELIXIR_DEPS", nil},
      {"PGLITE_EX_ARCHIVE", nil},
      {"TARGET_ARCH", nil},
      {"PGLITE_PORT", PgliteEx.Program.path!()}
    ]

    # The last of a name counts.
    env = Map.merge(Map.new(clean), Map.new(environment))
    System.cmd("mix", arguments, cd: directory, env: env, stderr_to_stdout: true)
  end
end
