create table t (id int, changed timestamptz not null default '2000-01-01 00:00:00+00');
create trigger t_changed before update on t for each row execute function moddatetime(changed);
insert into t values (1), (2);
update t set id = id where id = 1;
select id, changed > now() - interval '1 hour', changed = '2000-01-01 00:00:00+00' from t order by id;
--> 1 | t | f
--> 2 | f | t
-- after a restart
update t set id = 3 where id = 2;
select count(*) from t where changed > now() - interval '1 day';
--> 2
