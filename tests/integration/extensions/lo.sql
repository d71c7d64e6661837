create table t (id int, content lo);
create trigger t_content before update or delete on t for each row execute function lo_manage(content);
insert into t values (1, lo_from_bytea(0, 'first')), (2, lo_from_bytea(0, 'second'));
select id, convert_from(lo_get(content), 'UTF8') from t order by id;
--> 1 | first
--> 2 | second
update t set content = lo_from_bytea(0, 'replaced') where id = 1;
delete from t where id = 2;
select count(*) from pg_largeobject_metadata m where m.oid not in (select content from t);
--> 0
-- after a restart
select id, convert_from(lo_get(content), 'UTF8') from t;
--> 1 | replaced
