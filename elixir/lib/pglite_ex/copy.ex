defmodule PgliteEx.Copy do
  @moduledoc """
  `COPY ... FROM STDIN` that `Enum.into/2` and `Stream.into/2` write to: `PgliteEx.copy_in/3`.
  """

  alias PgliteEx.Bridge.PortBridge
  alias PgliteEx.{Error, Protocol, Result}

  @enforce_keys [:pid, :sql, :timeout]
  defstruct [:pid, :sql, :timeout]

  @type t :: %__MODULE__{pid: pid(), sql: String.t(), timeout: timeout()}

  # So much is sent at once. Each is answered before the next is sent, so a slow server slows its writer.
  @chunk 65_536

  @doc false
  @spec begin(t()) :: :ok
  def begin(%__MODULE__{} = copy) do
    frame = request!(copy, Protocol.query(copy.sql))

    case Protocol.scan(frame) do
      %{copy_in: true} ->
        :ok

      _ ->
        _ = results!(frame)
        raise Error.new(:unsupported, "this is no COPY FROM STDIN: #{copy.sql}")
    end
  end

  @doc false
  @spec send_data(t(), iodata()) :: :ok
  def send_data(copy, data) do
    # An error ends the COPY. It is there before CopyDone.
    case request!(copy, Protocol.copy_data(data)) do
      "" ->
        :ok

      frame ->
        _ = results!(frame)
        :ok
    end
  end

  @doc false
  @spec finish(t()) :: Result.t()
  def finish(copy), do: copy |> request!(Protocol.copy_done()) |> results!() |> List.last()

  @doc false
  @spec fail(t()) :: :ok
  def fail(copy) do
    _ = PortBridge.copy_in(copy.pid, Protocol.copy_fail("the writer has stopped"), copy.timeout)
    :ok
  end

  defp request!(copy, frame) do
    case PortBridge.copy_in(copy.pid, frame, copy.timeout) do
      {:ok, frame} -> frame
      {:error, error} -> raise %{error | query: copy.sql}
    end
  end

  defp results!(frame) do
    case Protocol.decode_results(frame) do
      {:ok, results, _} -> results
      {:error, error} -> raise error
    end
  end

  @doc false
  @spec chunk() :: pos_integer()
  def chunk, do: @chunk

  defimpl Collectable do
    alias PgliteEx.Copy

    def into(copy) do
      Copy.begin(copy)

      collector = fn
        {data, size}, {:cont, part} ->
          data = [data | part]
          size = size + IO.iodata_length(part)

          if size >= Copy.chunk() do
            Copy.send_data(copy, data)
            {[], 0}
          else
            {data, size}
          end

        {data, size}, :done ->
          if size > 0, do: Copy.send_data(copy, data)
          Copy.finish(copy)

        _, :halt ->
          Copy.fail(copy)
      end

      {{[], 0}, collector}
    end
  end
end
