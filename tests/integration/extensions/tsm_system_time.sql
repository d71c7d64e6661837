create table t as select g from generate_series(1, 100) g;
select count(*) from t tablesample system_time(100000);
--> 100
select explained('select * from t tablesample system_time(10)');
--> Sample Scan on t Sampling: system_time ('10'::double precision)
select count(*) from t tablesample system_time(-1);
--! 2202H
-- after a restart
select count(*) from t tablesample system_time(100000);
--> 100
