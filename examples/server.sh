#!/bin/sh
# A server for as long as one command runs. It finds the server in DATABASE_URL, PGHOST, PGPORT and so on.
set -eu
pglite_port=${PGLITE_PORT:-pglite-port}
export pglite_port

"$pglite_port" serve --listen 127.0.0.1:0 --run '
  "$pglite_port" sql "$DATABASE_URL" -q -c "create table t as select generate_series(1, 10) as n"
  "$pglite_port" sql "$DATABASE_URL" -At -c "select sum(n) from t"
'
