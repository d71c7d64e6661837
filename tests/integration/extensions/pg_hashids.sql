select id_encode(1001), id_encode(1234567, 'This is my salt'), id_encode(1234567, 'This is my salt', 10), id_encode(1234567, 'This is my salt', 10, 'abcdefghijABCDxFGHIJ1234567890');
--> jNl | Pdzxp | PlRPdzxpR7 | 3GJ956J9B9
select id_decode('PlRPdzxpR7', 'This is my salt', 10), id_decode_once('jNl');
--> {1234567} | 1001
select id_decode(id_encode(array[1, 2, 3]::bigint[], 'salt'), 'salt');
--> {1,2,3}
select bool_and(id_decode_once(id_encode(g, 'salt', 6), 'salt', 6) = g) from generate_series(0, 1000) g;
--> t
create table t (id bigint generated always as identity, code text generated always as (id_encode(42, 'salt')) stored);
insert into t default values;
-- after a restart
select id, code, id_decode_once(code, 'salt') from t;
--> 1 | We | 42
