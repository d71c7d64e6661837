create table booking (room int, during int4range, exclude using gist (room with =, during with &&));
insert into booking values (1, '[10,20)'), (1, '[20,30)'), (2, '[15,25)');
insert into booking values (1, '[19,21)');
--! 23P01
create table t as select g as i, timestamp '2026-01-01' + g * interval '1 hour' as at, md5(g::text)::uuid as u from generate_series(1, 3000) g;
create index t_i on t using gist (i, at);
create index t_u on t using gist (u);
select indexed('select i from t order by i <-> 1500 limit 5', 't_i');
--> 5
select indexed($$select i from t where at < '2026-01-03' and i > 10$$, 't_i');
--> 37
select indexed($$select i from t where u = md5('77')::uuid$$, 't_u');
--> 1
-- after a restart
insert into booking values (2, '[24,26)');
--! 23P01
select indexed('select i from t where i between 20 and 40', 't_i');
--> 21
