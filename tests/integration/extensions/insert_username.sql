create table t (v int, changed_by text);
create trigger t_changed before insert or update on t for each row execute function insert_username(changed_by);
insert into t values (1), (2);
select * from t order by v;
--> 1 | postgres
--> 2 | postgres
update t set changed_by = 'nobody' where v = 2;
select changed_by from t where v = 2;
--> postgres
create table wrong (changed_by int);
create trigger wrong_changed before insert on wrong for each row execute function insert_username(changed_by);
insert into wrong values (1);
--! 09000
-- after a restart
insert into t values (3);
select count(*) > 2, count(distinct changed_by) from t where changed_by = current_user;
--> t | 1
