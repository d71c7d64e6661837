create table t as select g as id, md5(g::text) as v from generate_series(1, 2000) g;
create index t_id on t (id);
create index t_words on t using gin (to_tsvector('simple', v));
select bt_index_check('t_id', heapallindexed => true);
-->
select bt_index_parent_check('t_id', true, true);
-->
select gin_index_check('t_words');
-->
select count(*) from verify_heapam('t');
--> 0
select bt_index_check('t');
--! 42809
-- after a restart
select bt_index_parent_check('t_id', true, true);
-->
select count(*) from verify_heapam('t');
--> 0
