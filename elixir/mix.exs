defmodule PgliteEx.MixProject do
  use Mix.Project

  @version "0.1.0"

  def project do
    [
      app: :pglite_ex,
      version: @version,
      elixir: "~> 1.14",
      elixirc_paths: elixirc_paths(Mix.env()),
      # The program, after the task that gets it.
      compilers: Mix.compilers() ++ [:pglite_ex],
      # For the compiler that fetches an archive; applications do not need them.
      xref: [exclude: [:httpc, :public_key]],
      start_permanent: Mix.env() == :prod,
      deps: deps(),
      description: "PostgreSQL as one native program, for Ecto, Postgrex and as an Erlang port",
      package: package(),
      docs: docs(),
      dialyzer: [plt_add_apps: [:mix]]
    ]
  end

  def application do
    [mod: {PgliteEx.Application, []}, extra_applications: [:logger, :crypto]]
  end

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(_), do: ["lib"]

  # None is needed. What is there is used: telemetry for events, Decimal for numeric, Jason for JSON; Postgrex and Ecto
  # in tests. ELIXIR_DEPS names a directory that has them, where there is no Hex.
  defp deps do
    cond do
      directory = System.get_env("ELIXIR_DEPS") ->
        for name <- [:telemetry, :decimal, :jason, :db_connection, :postgrex, :ecto, :ecto_sql],
            do: {name, path: Path.join(directory, "#{name}"), override: true, optional: true}

      Code.ensure_loaded?(Hex) ->
        [
          {:telemetry, "~> 1.0", optional: true},
          {:decimal, "~> 2.0", optional: true},
          {:jason, "~> 1.4", optional: true},
          {:postgrex, "~> 0.17", optional: true, only: [:dev, :test]},
          {:ecto_sql, "~> 3.10", optional: true, only: [:dev, :test]},
          {:ex_doc, "~> 0.31", only: :dev, runtime: false}
        ]

      true ->
        []
    end
  end

  defp package do
    [
      licenses: ["Apache-2.0"],
      links: %{"PGlite" => "https://pglite.dev"},
      files: ~w(lib checksums.txt mix.exs .formatter.exs README.md CHANGELOG.md LICENSE)
    ]
  end

  defp docs do
    [
      main: "readme",
      extras: ["README.md", "CHANGELOG.md"],
      groups_for_modules: [
        "For tests": [PgliteEx.Template],
        Inside: [PgliteEx.Bridge.PortBridge, PgliteEx.Server, PgliteEx.Program]
      ]
    ]
  end
end
