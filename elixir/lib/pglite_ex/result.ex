defmodule PgliteEx.Result do
  @moduledoc """
  What a statement was answered with.

    * `:command` - the first words of its command tag, such as `"SELECT"` or `"CREATE TABLE"`
    * `:columns` - the names of its columns; `nil` where it has none
    * `:rows` - its rows, each a list; `nil` where it has none. For `COPY ... TO STDOUT`, its lines
    * `:num_rows` - how many rows it returned or changed
    * `:notices` - what PostgreSQL said besides, as maps of fields
  """

  @type t :: %__MODULE__{
          command: String.t() | nil,
          columns: [String.t()] | nil,
          rows: [[term()]] | [binary()] | nil,
          num_rows: non_neg_integer(),
          notices: [%{optional(atom()) => String.t()}]
        }

  defstruct [:command, :columns, :rows, num_rows: 0, notices: []]
end
