create table t (name citext primary key);
insert into t values ('Ada'), ('Charles'), ('ÉMILE');
insert into t values ('ADA');
--! 23505
select name from t where name = 'émile';
--> ÉMILE
select 'Straße'::citext = 'STRASSE', 'a'::citext < 'B', replace('Hello'::citext, 'L', 'x'), 'Cat'::citext ~ 'cAT';
--> f | t | Hexxo | t
select indexed($$select * from t where name = 'charles'::citext$$, 't_pkey');
--> 1
-- after a restart
select min(name), max(name), count(*) from t;
--> Ada | ÉMILE | 3
insert into t values ('charles');
--! 23505
