create sequence next_id start 10 increment 5 minvalue -100;
create table t (id int, v text);
create trigger t_id before insert or update on t for each row execute function autoinc(id, next_id);
insert into t (v) values ('one'), ('two');
insert into t values (7, 'seven');
select * from t order by id;
--> 7 | seven
--> 10 | one
--> 15 | two
update t set id = null where v = 'seven';
-- after a restart
insert into t (v) values ('later');
select count(*) = count(distinct id), min(id) from t;
--> t | 10
