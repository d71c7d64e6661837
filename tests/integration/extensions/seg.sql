create table t as select (g || ' .. ' || g + g % 5)::seg as s from generate_series(1, 2000) g;
create index t_s on t using gist (s);
select indexed($$select s from t where s && '100 .. 110'$$, 't_s');
--> 13
select indexed($$select s from t where s <@ '50 .. 90'::seg$$, 't_s');
--> 39
select '6.25 .. 6.50'::seg, '5(+-)0.3'::seg, '<7.1'::seg, seg_size('1 .. 3'), '1 .. 3'::seg @> '2'::seg;
--> 6.25 .. 6.50 | 4.7 .. 5.3 | <7.1 | 2 | t
select 'nothing'::seg;
--! 42601
-- after a restart
select indexed($$select s from t where s = '40 .. 40'$$, 't_s');
--> 1
