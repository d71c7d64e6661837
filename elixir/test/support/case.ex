defmodule PgliteEx.Case do
  @moduledoc "What the tests share. They run the real program."

  use ExUnit.CaseTemplate

  using do
    quote do
      import PgliteEx.Case
      alias PgliteEx.{Error, Result}
    end
  end

  @doc "An instance that ends with the test."
  def start_pg(options \\ []) do
    id = Keyword.get_lazy(options, :name, &make_ref/0)
    ExUnit.Callbacks.start_supervised!(Supervisor.child_spec({PgliteEx, options}, id: id))
  end

  def tmp_dir do
    path =
      Path.join(
        System.tmp_dir!(),
        "pglite_ex_test-#{System.unique_integer([:positive])}-#{System.pid()}"
      )

    File.mkdir_p!(path)
    ExUnit.Callbacks.on_exit(fn -> File.rm_rf!(path) end)
    path
  end

  def value(db, sql, parameters \\ [], options \\ []) do
    %PgliteEx.Result{rows: [[value]]} = PgliteEx.query!(db, sql, parameters, options)
    value
  end

  def os_pid(instance) do
    {:ok, %{os_pid: os_pid}} = PgliteEx.instance_info(instance)
    os_pid
  end

  @doc "Whether a process is there, and no zombie."
  def alive?(os_pid) do
    case File.read("/proc/#{os_pid}/stat") do
      {:ok, stat} -> not (stat =~ ~r/\) Z /)
      {:error, _} -> false
    end
  end

  def eventually(condition, attempts \\ 500) do
    cond do
      result = condition.() ->
        result

      attempts == 0 ->
        ExUnit.Assertions.flunk("it has not come about in ten seconds")

      true ->
        Process.sleep(20)
        eventually(condition, attempts - 1)
    end
  end

  @doc "Until the instance runs something."
  def until_busy(instance) do
    eventually(fn -> match?({:ok, %{status: :busy}}, PgliteEx.instance_info(instance)) end)
  end

  def kill(os_pid, signal \\ "KILL") do
    {_, 0} = System.cmd("/bin/sh", ["-c", "kill -s #{signal} #{os_pid}"])
    :ok
  end

  @doc "A query that runs until it is cancelled."
  def endless, do: "select count(*) from (select generate_series(1, 1000000000000)) as rows"
end
