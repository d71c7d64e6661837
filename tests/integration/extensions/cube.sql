create table t as select cube(array[g % 100, g / 100]) as c from generate_series(1, 5000) g;
create index t_c on t using gist (c);
select indexed('select c from t where c <@ cube(array[10, 10], array[12, 13])', 't_c');
--> 12
select c from t order by c <-> cube(array[50, 20]), c limit 3;
--> (50, 20)
--> (49, 20)
--> (50, 19)
select '(1,2),(3,4)'::cube && '(2,3)'::cube, cube_distance('(0,0)', '(3,4)'), cube_union('(0,0)', '(3,4)'), cube_enlarge('(1,1)', 1, 2);
--> t | 5 | (0, 0),(3, 4) | (0, 0),(2, 2)
select '(1,2),(3'::cube;
--! 22P02
-- after a restart
select indexed('select c from t where c @> cube(array[7, 7])', 't_c');
--> 1
