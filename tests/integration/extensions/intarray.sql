create table t as select g as id, array[g % 20, g % 30, g % 50] as a from generate_series(1, 2000) g;
create index t_gist on t using gist (a gist__intbig_ops);
create index t_gin on t using gin (a gin__int_ops);
select indexed($$select id from t where a @@ '3&13'$$, 't_g');
--> 92
select indexed($$select id from t where a @> '{7,17}'$$, 't_g');
--> 92
select sort('{3,1,2}'::int[]), uniq('{1,1,2}'::int[]), '{1,2,3}'::int[] - 2, '{1,2}'::int[] | '{2,3}'::int[], '{1,2,3}'::int[] & '{2,3,4}'::int[], idx('{10,20,30}'::int[], 20), icount('{1,2}'::int[]);
--> {1,2,3} | {1,2} | {1,3} | {1,2,3} | {2,3} | 2 | 2
select '1&(2|!3)'::query_int, '{1,4}'::int[] @@ '1&(2|!3)'::query_int;
--> 1 & ( 2 | !3 ) | t
select '{1,null}'::int[] + 1;
--! 22004
-- after a restart
select indexed($$select id from t where a && '{49}'$$, 't_g');
--> 40
