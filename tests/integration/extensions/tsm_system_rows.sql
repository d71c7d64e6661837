create table t as select g from generate_series(1, 5000) g;
analyze t;
select count(*), count(distinct g) from t tablesample system_rows(100);
--> 100 | 100
select count(*) from t tablesample system_rows(100000);
--> 5000
select explained('select * from t tablesample system_rows(10)');
--> Sample Scan on t Sampling: system_rows ('10'::bigint)
select count(*) from t tablesample system_rows(-1);
--! 2202H
-- after a restart
select count(*) from t tablesample system_rows(7);
--> 7
