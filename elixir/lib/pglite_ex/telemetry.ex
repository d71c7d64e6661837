defmodule PgliteEx.Telemetry do
  @moduledoc """
  Events for `:telemetry`, where that library is loaded.

  | event | measurements | metadata |
  |---|---|---|
  | `[:pglite_ex, :instance, :start]` | `duration` | `name`, `mode`, `data_dir`, `pid` |
  | `[:pglite_ex, :instance, :stop]` | `duration` (how long it ran) | the same, and `reason` |
  | `[:pglite_ex, :query, :stop]` | `duration` | `instance`, `query`, `result`: `:ok` or the `PgliteEx.Error` |

  Durations are in native units. Queries that go through Postgrex have its events and Ecto's.
  """

  @doc false
  @spec execute([atom()], map(), map()) :: :ok
  def execute(event, measurements, metadata) do
    if function_exported?(:telemetry, :execute, 3),
      do: apply(:telemetry, :execute, [[:pglite_ex | event], measurements, metadata])

    :ok
  end
end
