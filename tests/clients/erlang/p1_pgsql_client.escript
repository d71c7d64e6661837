#!/usr/bin/env escript
%% Checks with p1_pgsql, which ejabberd uses. It knows passwords in clear and MD5 only: it comes by a role without one.

main(_) ->
    check("prepared", fun() ->
        C = connect(),
        {ok, idle, _, _} = pgsql:prepare(C, "plus", "select $1::int + 1 as n"),
        [begin
             {ok, {_, [[{int4, Got}]]}} = pgsql:execute(C, "plus", [integer_to_list(N)]),
             true = to_binary(Got) =:= integer_to_binary(N + 1)
         end || N <- lists:seq(1, 100)],
        pgsql:terminate(C)
    end),
    check("binary", fun() ->
        C = connect(),
        {ok, [{_, _, [[Text]]}]} = pgsql:squery(C, "select encode('\\x00ff'::bytea, 'hex')"),
        true = to_binary(Text) =:= <<"00ff">>,
        pgsql:terminate(C)
    end),
    check("errors", fun() ->
        C = connect(),
        {ok, [{error, Fields}]} = pgsql:squery(C, "select 1/0"),
        true = lists:any(fun({code, Code}) -> to_binary(Code) =:= <<"22012">>; (_) -> false end, Fields),
        {ok, [{_, _, [_]}]} = pgsql:squery(C, "select 1"),
        pgsql:terminate(C)
    end),
    check("transactions", fun() ->
        C = connect(),
        [{ok, _} = pgsql:squery(C, S) || S <- ["create temp table t (n int)", "begin", "insert into t values (1)", "rollback"]],
        {ok, [{_, _, [[Count]]}]} = pgsql:squery(C, "select count(*) from t"),
        true = to_binary(Count) =:= <<"0">>,
        pgsql:terminate(C)
    end),
    check("pool", fun() ->
        C = connect(),
        {ok, _} = pgsql:squery(C, "create table counter_e (n int); insert into counter_e values (0)"),
        Self = self(),
        Workers = [spawn_link(fun() ->
            W = connect(),
            [{ok, _} = pgsql:squery(W, "update counter_e set n = n + 1") || _ <- lists:seq(1, 50)],
            pgsql:terminate(W),
            Self ! {done, self()}
        end) || _ <- lists:seq(1, 10)],
        [receive {done, W} -> ok after 60000 -> exit(late) end || W <- Workers],
        {ok, [{_, _, [[Count]]}]} = pgsql:squery(C, "select n from counter_e"),
        true = to_binary(Count) =:= <<"500">>,
        {ok, _} = pgsql:squery(C, "drop table counter_e"),
        pgsql:terminate(C)
    end).

connect() ->
    {ok, C} = pgsql:connect([
        {host, os:getenv("PGHOST")}, {port, list_to_integer(os:getenv("PGPORT"))}, {database, os:getenv("PGDATABASE")},
        {user, os:getenv("TRUSTED_USER")}, {password, ""}]),
    C.

to_binary(X) when is_binary(X) -> X;
to_binary(X) when is_integer(X) -> integer_to_binary(X);
to_binary(X) -> iolist_to_binary(X).

check(Name, Run) ->
    try Run() of
        _ -> io:format("pass ~s~n", [Name])
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "~p~n", [Stack]),
            io:format("fail ~s ~0p~n", [Name, {Class, Reason}])
    end.
