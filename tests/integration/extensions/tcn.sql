create table t (id int primary key, v text);
create trigger t_changes after insert or update or delete on t for each row execute function triggered_change_notification('changes');
listen changes;
insert into t values (1, 'one');
--@ changes "t",I,"id"='1'
update t set v = 'two' where id = 1;
--@ changes "t",U,"id"='1'
-- after a restart
listen changes;
update t set v = v || '.';
--@ changes "t",U,"id"='1'
