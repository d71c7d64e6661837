select * from pg_get_logical_snapshot_info('0-40796E18.foo');
--! XX000
select * from pg_get_logical_snapshot_meta('0-40796E18.snap');
--! 58P01
select count(*) from pg_ls_logicalsnapdir();
--> 0
-- after a restart
select count(*) from pg_proc where proname like 'pg_get_logical_snapshot%';
--> 2
