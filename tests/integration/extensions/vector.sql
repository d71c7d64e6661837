create table item (id int primary key, embedding vector(3), half halfvec(3), bits bit(8), sparse sparsevec(5));
insert into item select g, array[sin(g * 12.9898), sin(g * 78.233), sin(g * 37.719)]::vector, array[sin(g * 12.9898), sin(g * 78.233), 0]::halfvec, (g % 256)::bit(8), format('{1:%s,%s:2}/5', g, 2 + g % 4)::sparsevec from generate_series(1, 1000) g;
select '[1,2,3]'::vector <-> '[3,2,1]', '[1,2,3]'::vector <#> '[3,2,1]', '[1,2,3]'::vector <=> '[3,2,1]', '[1,2,3]'::vector <+> '[3,2,1]', l2_normalize('[3,4]'::vector), '[1,2]'::vector * '[3,4]'::vector, '10101010'::bit(8) <~> '11101000', '{1:1,3:2}/5'::sparsevec <-> '{1:3}/5';
--> 2.8284271247461903 | -10 | 0.2857142857142857 | 4 | [0.6,0.8] | [3,8] | 2 | 2.8284271247461903
create index item_hnsw on item using hnsw (embedding vector_l2_ops);
create index item_ivfflat on item using ivfflat (half halfvec_l2_ops) with (lists = 10);
create index item_bits on item using hnsw (bits bit_hamming_ops);
create index item_sparse on item using hnsw (sparse sparsevec_l2_ops);
set ivfflat.probes = 10;
select indexed($$select id from item order by embedding <-> '[0.5,0.5,0.5]' limit 5$$, 'item_hnsw');
--> 5
select indexed($$select id from item order by half <-> '[0.5,0.5,0]' limit 5$$, 'item_ivfflat');
--> 5
select indexed($$select bits <~> '11110000' as d from item order by 1 limit 4$$, 'item_bits');
--> 4
select indexed($$select id from item order by sparse <-> '{1:500.3}/5' limit 2$$, 'item_sparse');
--> 2
select avg(embedding), sum(subvector(embedding, 1, 2)) from item where id <= 2;
--> [0.5800465,-0.136908,0.029826336] | [1.160093,-0.273816]
select '[1,2]'::vector(3);
--! 22000
select '[1,2]'::vector <-> '[1,2,3]';
--! 22000
select '[1,nan]'::vector;
--! 22000
-- after a restart
set ivfflat.probes = 10;
insert into item values (1001 + (select count(*) from item), '[0.5,0.5,0.5]', '[0.5,0.5,0]', '11110000', '{1:500}/5');
select indexed($$select id from item order by embedding <-> '[0.5,0.5,0.5]' limit 5$$, 'item_hnsw');
--> 5
select indexed($$select id from item order by half <-> '[0.5,0.5,0]' limit 5$$, 'item_ivfflat');
--> 5
