create table t as select g as id, 'value ' || g as v from generate_series(1, 400) g;
create index t_id on t (id);
select lower > 0, upper > lower, special, pagesize, version from page_header(get_raw_page('t', 0));
--> t | t | 8192 | 8192 | 4
select lp, lp_flags, t_ctid, t_data from heap_page_items(get_raw_page('t', 0)) limit 2;
--> 1 | 1 | (0,1) | \x010000001176616c75652031
--> 2 | 1 | (0,2) | \x020000001176616c75652032
select magic, level, root > 0, allequalimage from bt_metap('t_id');
--> 340322 | 1 | t | t
select type, live_items, page_size from bt_page_stats('t_id', 1);
--> l | 367 | 8192
select get_raw_page('t', 100000);
--! 22023
-- after a restart
select count(*) from heap_page_items(get_raw_page('t', 0));
--> 185
select itemoffset, ctid, itemlen, data from bt_page_items('t_id', 1) limit 2;
--> 1 | (1,1) | 16 | 6f 01 00 00 00 00 00 00
--> 2 | (0,1) | 16 | 01 00 00 00 00 00 00 00
