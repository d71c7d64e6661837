-- not in a dump: pg_dump takes the view for a table
create table sale (shop int, amount int);
insert into sale select g % 3, g from generate_series(1, 99) g;
select pgivm.create_immv('totals', 'select shop, count(*) as n, sum(amount) as total, min(amount) as least from sale group by shop');
--> 3
insert into sale values (0, 1000), (7, 5);
delete from sale where amount = 1;
update sale set amount = amount + 1 where shop = 2;
select shop, n, total, least from totals order by shop;
--> 0 | 34 | 2683 | 3
--> 1 | 32 | 1616 | 4
--> 2 | 33 | 1683 | 3
--> 7 | 1 | 5 | 5
select pgivm.create_immv('wrong', 'select random() as r from sale');
--! 0A000
-- after a restart
insert into sale values (8, 8);
delete from sale where shop = 8;
select count(*), (select count(*) from (select shop, n, total, least from totals except select shop, count(*), sum(amount), min(amount) from sale group by shop) d) from totals;
--> 4 | 0
select pgivm.refresh_immv('totals', true);
--> 4
