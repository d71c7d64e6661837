#!/bin/sh
# A database of a shell script: in a directory, dumped, and copied from a snapshot.
set -eu
pglite_port=${PGLITE_PORT:-pglite-port}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/schema.sql" <<'SQL'
create table fruit (name text primary key, price numeric not null);
copy fruit from stdin with (format csv);
apple,0.5
quince,2.25
\.
SQL

# A cluster in a directory; -q: only results and errors are printed.
"$pglite_port" sql -q -D "$work/data" -f "$work/schema.sql"

# -A -t: the bare values, for variables.
dearest=$("$pglite_port" sql -At -D "$work/data" -c "select name from fruit order by price desc limit 1")
echo "the dearest fruit is: $dearest"

# A dump as SQL, which native PostgreSQL reads, too.
"$pglite_port" dump --sql -D "$work/data" -o "$work/data.sql"
grep -c '^COPY public.fruit' "$work/data.sql"

# A snapshot: any number of copies, each in milliseconds.
"$pglite_port" sql -q -f "$work/schema.sql" --save-snapshot "$work/fruit.snapshot"
for name in plum pear; do
  "$pglite_port" sql -At --snapshot "$work/fruit.snapshot" \
    -c "with new as (insert into fruit values ('$name', 1) returning name) select 'a copy with ' || name from new"
done
