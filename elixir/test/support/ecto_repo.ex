if Code.ensure_loaded?(Ecto.Adapters.Postgres) do
  defmodule PgliteEx.TestRepo do
    @moduledoc false
    use Ecto.Repo, otp_app: :pglite_ex, adapter: Ecto.Adapters.Postgres
  end

  defmodule PgliteEx.TestItem do
    @moduledoc false
    use Ecto.Schema

    schema "items" do
      field(:name, :string)
      field(:tags, {:array, :string}, default: [])
      field(:data, :map, default: %{})
      field(:price, :decimal)
      timestamps()
    end
  end

  defmodule PgliteEx.TestMigration do
    @moduledoc false
    use Ecto.Migration

    def change do
      create table(:items) do
        add(:name, :string, null: false)
        add(:tags, {:array, :string})
        add(:data, :map)
        add(:price, :decimal)
        timestamps()
      end

      create(unique_index(:items, [:name]))
    end
  end
end
