create table t as select g as id from generate_series(1, 10) g;
vacuum t;
select heap_force_freeze('t', array['(0,1)', '(0,2)']::tid[]);
-->
select heap_force_kill('t', array['(0,3)']::tid[]);
-->
select array_agg(id order by id) from t;
--> {1,2,4,5,6,7,8,9,10}
select heap_force_kill('t', array['(0,0)']::tid[]);
-->
select heap_force_kill('pg_class_oid_index', array['(0,1)']::tid[]);
--! 42809
-- after a restart
select count(*) from t;
--> 9
