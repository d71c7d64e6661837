# pglite-port as a port of the Erlang VM: elixir erlang_port.exs PROGRAM [ARGUMENT...]
# Exits non-zero at the first thing that is wrong.

[program | arguments] = System.argv()

defmodule Check do
  @timeout 60_000

  def query(sql), do: message(?Q, sql <> <<0>>)
  def message(type, body), do: <<type, byte_size(body) + 4::32, body::binary>>

  def open(program, arguments, env) do
    Port.open(
      {:spawn_executable, program},
      [:binary, :exit_status, {:packet, 4}, {:args, arguments}, {:env, env}]
    )
  end

  def send_request(port, bytes), do: true = Port.command(port, bytes)

  def answer(port) do
    receive do
      {^port, {:data, bytes}} -> bytes
      {^port, {:exit_status, status}} -> fail("the program ended with #{status}")
    after
      @timeout -> fail("no answer within #{@timeout} ms")
    end
  end

  def request(port, bytes) do
    send_request(port, bytes)
    answer(port)
  end

  # Backend messages of an answer as {type, body}.
  def split(<<>>), do: []

  def split(<<type, length::32, rest::binary>>) do
    size = length - 4
    <<body::binary-size(size), rest::binary>> = rest
    [{<<type>>, body} | split(rest)]
  end

  def kinds(answer), do: answer |> split() |> Enum.map_join(&elem(&1, 0))

  # The first value of the first row.
  def value(answer) do
    {"D", <<_count::16, size::signed-32, rest::binary>>} = List.keyfind(split(answer), "D", 0)
    <<value::binary-size(size), _::binary>> = rest
    value
  end

  def assert(true, _what), do: :ok
  def assert(false, what), do: fail(what)

  def equal(found, expected, what) do
    if found != expected,
      do: fail("#{what}: #{inspect(found, limit: 20)} instead of #{inspect(expected, limit: 20)}")
  end

  def nothing_more(port) do
    receive do
      {^port, message} -> fail("something unasked for: #{inspect(message, limit: 20)}")
    after
      200 -> :ok
    end
  end

  def fail(what) do
    IO.puts(:stderr, "erlang_port.exs: " <> what)
    System.halt(1)
  end
end

env = [{'PGLITE_DATA_DIR', 'memory://'}, {'PGLITE_DEBUG', '0'}]
port = Check.open(String.to_charlist(program), arguments, env)
{:os_pid, os_pid} = Port.info(port, :os_pid)

# One request, one answer.
answer = Check.request(port, Check.query("select 'from the beam'"))
Check.equal(Check.kinds(answer), "TDCZ", "a query")
Check.equal(Check.value(answer), "from the beam", "its value")

# An answer that is empty is a message as well.
Check.equal(Check.request(port, Check.message(?H, "")), "", "Flush")
Check.equal(Check.request(port, Check.message(?X, "")), "", "Terminate")

# Errors are answers, and the session goes on.
answer = Check.request(port, Check.query("select 1/0"))
Check.equal(Check.kinds(answer), "EZ", "an error")
Check.assert(answer =~ "22012", "the error's SQLSTATE")
Check.equal(Check.value(Check.request(port, Check.query("select 2"))), "2", "after an error")

# 200 requests before any answer is read: in order, one each.
for i <- 1..200, do: Check.send_request(port, Check.query("select #{i} * 10"))

for i <- 1..200 do
  Check.equal(Check.value(Check.answer(port)), Integer.to_string(i * 10), "request #{i} of 200")
end

Check.nothing_more(port)

# A transaction over several requests; an error in it.
for {sql, kinds, status} <- [
      {"create table t (id int primary key)", "CZ", "I"},
      {"begin", "CZ", "T"},
      {"insert into t values (1)", "CZ", "T"},
      {"insert into t values (1)", "EZ", "E"},
      {"commit", "CZ", "I"},
      {"select count(*) from t", "TDCZ", "I"}
    ] do
  answer = Check.request(port, Check.query(sql))
  Check.equal(Check.kinds(answer), kinds, sql)
  Check.equal(List.last(Check.split(answer)), {"Z", status}, sql)
end

# A large answer and a large request.
answer = Check.request(port, Check.query("select repeat('x', 20000000)"))
Check.assert(byte_size(answer) > 20_000_000, "a 20 MB answer")
Check.equal(Check.kinds(answer), "TDCZ", "its messages")
long = String.duplicate("y", 10_000_000)
Check.equal(Check.value(Check.request(port, Check.query("select length('#{long}')"))), "10000000", "a 10 MB request")

# Several processes may share the port through its owner; here: a startup packet, as clients send.
startup = <<196_608::32, "user", 0, "postgres", 0, "database", 0, "postgres", 0, 0>>
answer = Check.request(port, <<byte_size(startup) + 4::32, startup::binary>>)
Check.assert(String.starts_with?(Check.kinds(answer), "R"), "AuthenticationOk")
Check.assert(String.ends_with?(Check.kinds(answer), "Z"), "ReadyForQuery after a startup packet")

# Closing the port closes the program's stdin; it goes away by itself.
Check.assert(File.exists?("/proc/#{os_pid}"), "the program lives")
true = Port.close(port)

gone =
  Enum.any?(1..300, fn _ ->
    Process.sleep(100)
    # An ended child the VM has not collected yet is a zombie.
    case File.read("/proc/#{os_pid}/stat") do
      {:ok, stat} -> stat =~ ~r/\) Z /
      {:error, _} -> true
    end
  end)

Check.assert(gone, "the program must end when its port is closed")

# A failing start: an ERROR frame, then the exit status.
bad = Check.open(String.to_charlist(program), arguments, [{'PGLITE_DATA_DIR', '/proc/nope/data'}])

receive do
  {^bad, {:data, bytes}} -> Check.assert(String.starts_with?(bytes, "ERROR: "), "an ERROR frame")
after
  60_000 -> Check.fail("no ERROR frame for a bad directory")
end

receive do
  {^bad, {:exit_status, status}} -> Check.assert(status != 0, "a non-zero exit status")
after
  60_000 -> Check.fail("no exit status for a bad directory")
end

IO.puts("erlang_port.exs: all is well")
