defmodule Clients.MixProject do
  use Mix.Project

  # ELIXIR_DEPS: a directory with all of them, where the package registry cannot be reached; their own mix.exs name no others.
  @deps [
    telemetry: "1.3.0", decimal: "2.3.0", jason: "1.4.4", db_connection: "2.7.0", postgrex: "0.20.0", ecto: "3.12.5",
    ecto_sql: "3.12.1"
  ]

  def project do
    [app: :clients, version: "0.1.0", elixir: "~> 1.14", deps: deps(System.get_env("ELIXIR_DEPS"))]
  end

  def application, do: [extra_applications: [:logger, :ssl]]

  defp deps(nil), do: for({name, version} <- @deps, do: {name, version})

  defp deps(directory) do
    for {name, _} <- @deps, do: {name, path: Path.join(directory, "#{name}"), override: true}
  end
end
