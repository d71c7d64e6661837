defmodule PgliteEx.Error do
  @moduledoc """
  Everything that can go wrong, as an exception that functions without a `!` return.

  `:reason` says where it came from:

    * `:postgres` - PostgreSQL refused the query. `:code` is its SQLSTATE, `:fields` what else it said.
    * `:timeout` - the answer did not come in time. The query was cancelled.
    * `:overloaded` - more callers wait than `:max_queue` allows.
    * `:not_found` - there is no such instance.
    * `{:exit_status, status}` - the program has ended. It is restarted by whoever supervises it.
    * `{:exit, reason}` - the instance's process has ended, or the program without telling a status.
    * `:program` - the program refused the request, or a command of the program failed.
    * `:unsupported` - this kind of instance cannot do that.
  """

  @type reason ::
          :postgres
          | :timeout
          | :overloaded
          | :not_found
          | :program
          | :unsupported
          | {:exit_status, non_neg_integer()}
          | {:exit, term()}

  @type t :: %__MODULE__{
          message: String.t(),
          reason: reason(),
          code: String.t() | nil,
          fields: %{optional(atom()) => String.t()},
          query: String.t() | nil
        }

  defexception [:message, :code, :query, reason: :postgres, fields: %{}]

  @impl true
  def message(%__MODULE__{message: message, code: nil}), do: message

  def message(%__MODULE__{message: message, code: code, fields: fields}) do
    details = for key <- [:detail, :hint, :where], text = fields[key], do: "\n    #{key}: #{text}"

    "#{message} (SQLSTATE #{code})#{details}"
  end

  @doc false
  @spec from_fields(%{optional(atom()) => String.t()}) :: t()
  def from_fields(fields) do
    %__MODULE__{
      reason: :postgres,
      message: "#{fields[:severity]}: #{fields[:message]}",
      code: fields[:code],
      fields: fields
    }
  end

  @doc false
  @spec new(reason(), String.t()) :: t()
  def new(reason, message), do: %__MODULE__{reason: reason, message: message}
end
