create table t as select g as i, (g % 97)::numeric / 2 as n, array['tag' || g % 10] as tags, 'name' || g % 50 as name from generate_series(1, 3000) g;
create index t_gin on t using gin (n, tags, name);
select indexed($$select i from t where n = 10.5 and tags @> '{tag1}'$$, 't_gin');
--> 4
select indexed($$select i from t where name < 'name10' and tags @> '{tag3}'$$, 't_gin');
--> 0
select indexed('select i from t where n between 3 and 4', 't_gin');
--> 93
-- after a restart
select indexed($$select i from t where n = 10.5 and name = 'name21'$$, 't_gin');
--> 1
