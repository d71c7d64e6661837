load 'auto_explain';
set auto_explain.log_min_duration = 0;
set auto_explain.log_level = notice;
select 41 + 1 as answer;
--> 42
--# Query Text: select 41 + 1 as answer;
reset auto_explain.log_min_duration;
select count(*) from pg_settings where name like 'auto_explain.%';
--> 13
-- after a restart
load 'auto_explain';
show auto_explain.log_min_duration;
--> -1
