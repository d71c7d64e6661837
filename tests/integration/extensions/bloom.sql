create table t as select g % 100 as a, g / 100 % 50 as b, g % 20 as c from generate_series(1, 5000) g;
create index t_bloom on t using bloom (a, b, c) with (length = 80, col1 = 2, col2 = 2, col3 = 4);
select indexed('select * from t where a = 19 and b = 29', 't_bloom');
--> 1
select indexed('select * from t where c = 19 and a = 19', 't_bloom');
--> 50
insert into t values (1000, 1000, 1000);
select indexed('select * from t where b = 1000', 't_bloom');
--> 1
-- after a restart
select indexed('select * from t where a = 1000 and c = 1000', 't_bloom');
--> 1
