defmodule PgliteEx.Client do
  @moduledoc false
  # The least that a connection to a server of ours has to do: one simple query after the other. It gives no password.
  # For everything else there is Postgrex.

  alias PgliteEx.{Error, Protocol, Result, Server}

  @timeout 60_000

  @doc "Connects, runs `sql`, and disconnects."
  @spec run(Server.place(), String.t(), String.t()) :: {:ok, [Result.t()]} | {:error, Error.t()}
  def run(place, database, sql) do
    with {:ok, socket} <- connect(place) do
      try do
        startup = Protocol.startup([{"user", place.username}, {"database", database}])

        with {:ok, _} <- request(socket, startup), do: request(socket, Protocol.query(sql))
      after
        :gen_tcp.close(socket)
      end
    end
  end

  defp connect(place) do
    {address, port} =
      if place.socket_dir,
        do: {{:local, Path.join(place.socket_dir, ".s.PGSQL.#{place.socket_port}")}, 0},
        else: {String.to_charlist(place.host), place.port}

    family = if is_list(address) and ?: in address, do: [:inet6], else: []

    case :gen_tcp.connect(address, port, [:binary, active: false] ++ family, @timeout) do
      {:ok, socket} -> {:ok, socket}
      {:error, reason} -> {:error, lost(reason)}
    end
  end

  defp request(socket, message) do
    with :ok <- :gen_tcp.send(socket, message),
         {:ok, answer} <- answer(socket, []),
         {:ok, results, _} <- Protocol.decode_results(answer, nil, false) do
      {:ok, results}
    else
      {:error, %Error{} = error} -> {:error, error}
      {:error, reason} -> {:error, lost(reason)}
    end
  end

  # All messages up to ReadyForQuery, or to the error that ends the session.
  defp answer(socket, messages) do
    with {:ok, <<type, length::32>> = head} <- :gen_tcp.recv(socket, 5, @timeout),
         {:ok, body} <- body(socket, length - 4) do
      messages = [messages, head, body]

      cond do
        type == ?Z -> {:ok, IO.iodata_to_binary(messages)}
        type == ?R and body != <<0::32>> -> {:error, password()}
        type == ?E and fatal?(body) -> {:ok, IO.iodata_to_binary(messages)}
        true -> answer(socket, messages)
      end
    end
  end

  defp body(_socket, 0), do: {:ok, ""}
  defp body(socket, size), do: :gen_tcp.recv(socket, size, @timeout)

  defp fatal?(body), do: Protocol.fields(body)[:severity] in ["FATAL", "PANIC"]

  defp password,
    do: Error.new(:unsupported, "the server asks for a password; use Postgrex for this")

  defp lost(reason),
    do: Error.new({:exit, reason}, "the connection to the server: #{:inet.format_error(reason)}")
end
