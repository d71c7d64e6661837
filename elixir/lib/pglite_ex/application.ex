defmodule PgliteEx.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _args) do
    # So that function_exported?/3 sees it.
    _ = Code.ensure_loaded(:telemetry)

    children = [
      {Registry, keys: :unique, name: PgliteEx.Registry},
      {Task.Supervisor, name: PgliteEx.TaskSupervisor},
      {DynamicSupervisor, name: PgliteEx.InstanceSupervisor, strategy: :one_for_one}
    ]

    Supervisor.start_link(children, strategy: :rest_for_one, name: PgliteEx.Supervisor)
  end
end
