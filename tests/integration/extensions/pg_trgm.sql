create table t as select 'street ' || md5(g::text) as v from generate_series(1, 3000) g;
insert into t values ('Hauptstraße'), ('Haupstrasse'), ('Bahnhofstraße');
create index t_gin on t using gin (v gin_trgm_ops);
create index t_gist on t using gist (v gist_trgm_ops);
select similarity('word', 'two words'), word_similarity('word', 'two words'), strict_word_similarity('word', 'two words'), show_trgm('cat');
--> 0.36363637 | 0.8 | 0.5714286 | {"  c"," ca","at ",cat}
select indexed($$select v from t where v like '%ahnhof%'$$, 't_g');
--> 1
select indexed($$select v from t where v ~ 'abc[0-9]'$$, 't_g');
--> 11
select indexed($$select v from t where v % 'Hauptstrasse'$$, 't_g');
--> 2
select indexed($$select v from t order by v <-> 'Hauptstrasse' limit 2$$, 't_gist');
--> 2
set pg_trgm.similarity_threshold = 2;
--! 22023
-- after a restart
select v, similarity(v, 'Hauptstrasse') from t order by v <-> 'Hauptstrasse' limit 2;
--> Haupstrasse | 0.6666667
--> Hauptstraße | 0.5625
select indexed($$select v from t where v ilike '%BAHN%'$$, 't_g');
--> 1
