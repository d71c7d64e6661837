create table t as select g as id, hstore(array['a', (g % 50)::text, 'k' || g % 7, 'x']) as h from generate_series(1, 2000) g;
create index t_h on t using gin (h);
create index t_g on t using gist (h);
select indexed($$select id from t where h @> 'a=>7'$$, 't_');
--> 40
select indexed($$select id from t where h ? 'k3' and h @> 'a=>3'$$, 't_');
--> 6
select 'a=>1,b=>NULL'::hstore || '"c d"=>"\"x"', ('a=>1'::hstore)['a'], akeys('b=>2,a=>1'), hstore_to_json('a=>1,b=>NULL');
--> "a"=>"1", "b"=>NULL, "c d"=>"\"x" | 1 | {a,b} | {"a": "1", "b": null}
select (each('x=>1,y=>2'::hstore)).*;
--> x | 1
--> y | 2
update t set h['new'] = 'value' where id = 1;
select 'a=>'::hstore;
--! 42601
-- after a restart
select h -> 'new', h - 'new'::text from t where id = 1;
--> value | "a"=>"1", "k1"=>"x"
select indexed($$select id from t where h ?& array['k1', 'a'] and h @> 'a=>1'$$, 't_');
--> 6
