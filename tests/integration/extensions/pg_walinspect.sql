create table t (v text);
create table position as select pg_current_wal_lsn() as before;
insert into t values ('in the log');
create table later as select pg_current_wal_lsn() as after;
select count(*) > 0 from position, later, pg_get_wal_records_info(before, after) where resource_manager = 'Heap' and record_type like 'INSERT%';
--> t
select count(*) > 3 from position, later, pg_get_wal_stats(before, after);
--> t
select * from pg_get_wal_record_info('0/0');
--! 22023
-- after a restart
create temporary table start as select pg_current_wal_lsn() as before;
select pg_logical_emit_message(true, 'test', 'in the log') is not null;
--> t
select count(*) from start, pg_get_wal_records_info(before, pg_current_wal_lsn()) where resource_manager = 'LogicalMessage';
--> 1
