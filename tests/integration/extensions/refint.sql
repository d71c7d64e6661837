create table country (code text primary key);
create table city (name text, code text);
create trigger city_code after insert or update on city for each row execute function check_primary_key('code', 'country', 'code');
create trigger country_code after delete or update on country for each row execute function check_foreign_key(1, 'cascade', 'code', 'city', 'code');
insert into country values ('de'), ('fr');
insert into city values ('Berlin', 'de'), ('Paris', 'fr');
insert into city values ('Rome', 'it');
--! 09000
delete from country where code = 'de';
select * from city;
--> Paris | fr
-- after a restart
insert into city values ('Oslo', 'no');
--! 09000
select count(*) from city;
--> 1
