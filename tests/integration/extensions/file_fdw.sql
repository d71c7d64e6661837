-- not in a dump: the file is no part of it
create server files foreign data wrapper file_fdw;
do $$ begin
  execute format('copy (select g, md5(g::text) from generate_series(1, 100) g) to %L with (format csv, header)', current_setting('data_directory') || '/extension.csv');
  execute format('create foreign table lines (id int, v text) server files options (filename %L, format ''csv'', header ''true'')', current_setting('data_directory') || '/extension.csv'); end $$;
select count(*), sum(id), max(v) from lines;
--> 100 | 5050 | fe9fc289c3ff0af142b6d3bead98a923
select explained('select * from lines where id = 7') like '%Foreign Scan on lines%';
--> t
create foreign table missing (v text) server files options (filename '/nowhere');
select * from missing;
--! 58P01
-- after a restart
select v from lines where id = 42;
--> a1d0c6e83f027327d8461063f4ac58a6
