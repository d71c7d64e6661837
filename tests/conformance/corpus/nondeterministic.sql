-- Statements whose answers cannot be equal: each is in differences.toml with its reason.
select now(), 'compared' as other;
select clock_timestamp();
select timeofday();
select random(), random(1, 1000000000);
select gen_random_uuid(), uuidv7();
select pg_postmaster_start_time();
select pg_conf_load_time();
select system_identifier from pg_control_system();
select stats_reset from pg_stat_archiver;
do $$ begin raise notice 'the time is %', clock_timestamp(); end $$;
explain (analyze, buffers off) select 1;
