-- What the other files use. `explained` is what EXPLAIN says, in one line.
create function explained(query text) returns text language plpgsql as $$
declare line text; lines text[] := '{}'; begin
  for line in execute 'explain (costs off) ' || query loop lines := lines || trim(line); end loop;
  return array_to_string(lines, ' '); end $$;
-- The number of rows of a query that must use an index, and must give what a sequential scan gives.
create function indexed(query text, index text) returns bigint language plpgsql as $$
declare found text[]; scanned text[]; collect text := format('select coalesce(array_agg(q::text order by q::text), ''{}'') from (%s) q', query); begin
  perform set_config('enable_seqscan', 'off', true);
  if position(index in explained(query)) = 0 then raise '% is not used: %', index, explained(query); end if;
  execute collect into found;
  perform set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'off', true),
    set_config('enable_indexonlyscan', 'off', true), set_config('enable_bitmapscan', 'off', true);
  if position(index in explained(query)) > 0 then raise '% is used all the same: %', index, explained(query); end if;
  execute collect into scanned;
  perform set_config('enable_indexscan', 'on', true), set_config('enable_indexonlyscan', 'on', true),
    set_config('enable_bitmapscan', 'on', true);
  if found <> scanned then raise '% gives %, a scan %', index, found, scanned; end if;
  return cardinality(found); end $$;
