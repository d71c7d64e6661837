-- not in a dump: its graphid_in reads 32 bits, which no identifier of a graph fits in
load 'age';
set search_path = ag_catalog, public;
select create_graph('friends');
-->
select * from cypher('friends', $$ create (:person {name: 'Ada', born: 1815})-[:knows {since: 1833}]->(:person {name: 'Charles', born: 1791}) $$) as (a agtype);
select * from cypher('friends', $$ match (p:person) where p.born < 1800 return p.name $$) as (name agtype);
--> "Charles"
select * from cypher('friends', $$ unwind [1, 2, 3] as x return sum(x) / 2.0, collect(x * x) $$) as (half agtype, squares agtype);
--> 3.0 | [1, 4, 9]
select '{"a": [1, 2.5, "three", null]}'::agtype;
--> {"a": [1, 2.5, "three", null]}
select '{"a": 1}'::agtype @> '{"a": 1}'::agtype;
--> t
select * from cypher('friends', $$ match (p:person) return p.nothing $$) as (name agtype, other agtype);
--! 42804
select * from cypher('friends', $$ match (p:person) return p.nothing, p.name order by p.name $$) as (none agtype, name agtype);
--> null | "Ada"
--> null | "Charles"
-- after a restart
load 'age';
set search_path = ag_catalog, public;
select * from cypher('friends', $$ match (a)-[k:knows]->(b) return a.name, k.since, b.name $$) as (a agtype, since agtype, b agtype);
--> "Ada" | 1833 | "Charles"
select name, kind from ag_label where graph = (select graphid from ag_graph where name = 'friends') order by id;
--> _ag_label_vertex | v
--> _ag_label_edge | e
--> person | v
--> knows | e
