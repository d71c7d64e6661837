create table t as select ('Top.' || (array['Science', 'Hobbies', 'Collections'])[1 + g % 3] || '.n' || g % 40 || '.m' || g)::ltree as path from generate_series(1, 1500) g;
create index t_path on t using gist (path);
create index t_btree on t (path);
select indexed($$select path from t where path <@ 'Top.Science.n7'$$, 't_');
--> 12
select indexed($$select path from t where path ~ '*.Hobbies.n1*.*'$$, 't_path');
--> 140
select indexed($$select path from t where path @ 'Collections & n12'$$, 't_path');
--> 12
select subpath('Top.Child1.Child2', 0, 2), nlevel('a.b.c'), lca('1.2.3', '1.2.3.4.5'), 'a.b'::ltree || 'c', index('0.1.2.3.5.4.5', '5.4'), 'a.b.c'::ltree @> 'a.b.c.d';
--> Top.Child1 | 3 | 1.2 | a.b.c | 4 | t
select 'a..b'::ltree;
--! 42601
-- after a restart
select indexed($$select path from t where path ~ 'Top.*.m77'$$, 't_path');
--> 1
