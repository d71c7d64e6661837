create table ct (rowid text, attribute text, value text);
insert into ct values ('test1', 'att1', 'val1'), ('test1', 'att2', 'val2'), ('test1', 'att3', 'val3'), ('test2', 'att1', 'val5'), ('test2', 'att3', 'val7');
select * from crosstab('select rowid, attribute, value from ct order by 1, 2', $$values ('att1'), ('att2'), ('att3')$$) as c (row_name text, a text, b text, c text);
--> test1 | val1 | val2 | val3
--> test2 | val5 | null | val7
create table tree (keyid text, parent text);
insert into tree values ('row1', null), ('row2', 'row1'), ('row3', 'row1'), ('row4', 'row2'), ('row5', 'row4');
select * from connectby('tree', 'keyid', 'parent', 'row1', 0, '~') as t (keyid text, parent text, level int, branch text);
--> row1 | null | 0 | row1
--> row2 | row1 | 1 | row1~row2
--> row4 | row2 | 2 | row1~row2~row4
--> row5 | row4 | 3 | row1~row2~row4~row5
--> row3 | row1 | 1 | row1~row3
select count(*), abs(avg(n) - 100) < 5 from normal_rand(2000, 100, 15) n;
--> 2000 | t
select * from crosstab('select 1') as c (a text);
--! 22023
-- after a restart
select * from connectby('tree', 'keyid', 'parent', 'row2', 0) as t (keyid text, parent text, level int);
--> row2 | null | 0
--> row4 | row2 | 1
--> row5 | row4 | 2
