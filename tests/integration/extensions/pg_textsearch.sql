-- preload
create table doc (id int primary key, body text);
insert into doc values (1, 'PostgreSQL is a relational database'), (2, 'BM25 ranks documents of a database by words'), (3, 'A database, a database, a database'), (4, 'Nothing of the kind');
create index doc_bm25 on doc using bm25 (body) with (text_config = 'english');
select id from doc order by body <@> to_bm25query('database', 'doc_bm25') limit 3;
--> 3
--> 1
--> 2
select id, round((body <@> to_bm25query('relational', 'doc_bm25'))::numeric, 3) from doc order by body <@> to_bm25query('relational', 'doc_bm25') limit 1;
--> 1 | -1.243
insert into doc values (5, 'relational relational algebra');
select id from doc order by body <@> to_bm25query('relational', 'doc_bm25') limit 2;
--> 5
--> 1
set enable_seqscan = off;
select explained($$select id from doc order by body <@> to_bm25query('relational', 'doc_bm25') limit 2$$) like '%Index Scan using doc_bm25%';
--> t
reset enable_seqscan;
select bm25_spill_index('doc_bm25') is not null;
--> t
-- after a restart
select id from doc order by body <@> to_bm25query('words', 'doc_bm25') limit 1;
--> 2
