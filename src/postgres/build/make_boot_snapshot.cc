// Build-time program: boots PostgreSQL on the template data directory, warms it up, and keeps it as
// the snapshot that memory:// instances start from.
//
//   make_boot_snapshot OUTPUT
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <iostream>
#include <string>

#include "postgres/build/images.h"
#include "postgres/guest/backend.h"
#include "postgres/guest/guest_tree.h"
#include "postgres/guest/layout.h"
#include "postgres/guest/session_begin.h"
#include "postgres/guest/session_sql.h"
#include "postgres/sessions/verify.h"
#include "postgres/snapshot/snapshot_file.h"
#include "vfs/image.h"

namespace {

using namespace pglite;            // NOLINT
using namespace pglite::postgres;  // NOLINT

// A server of many processes, in a tree of its own.
Status verify_server(const std::function<void(std::string_view)>& log) {
  auto tree = make_guest_tree(bundle_image(), log);
  if (!tree || !vfs::load_image(data_directory_image(), *tree->memory, kDataDirectory)) {
    return Status::incompatible("the images cannot be unpacked");
  }
  PostmasterConfig config;
  config.tree = std::move(*tree);
  config.log = log;
  return verify_sessions(std::move(config));
}

// What sessions do first: these fill the catalogue caches and load PL/pgSQL. They must leave no
// trace in the cluster: no object, no object identifier, no transaction identifier used up.
constexpr std::array kWarmUp = {
    "SELECT 1",
    "SELECT version(), current_user, current_database(), now()",
    "SELECT n.nspname, c.relname, a.attname, t.typname, pg_catalog.format_type(t.oid, a.atttypmod) "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid JOIN pg_catalog.pg_type t ON "
    "t.oid = a.atttypid LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND "
    "d.adnum = a.attnum WHERE n.nspname = 'public' OR c.relname = 'pg_class' ORDER BY 1, 2, "
    "a.attnum",
    "SELECT t.oid, t.typname, t.typsend, t.typreceive, t.typoutput, t.typinput, t.typelem, "
    "coalesce(r.rngsubtype, 0) FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_range r ON "
    "r.rngtypid = t.oid ORDER BY t.oid",
    "SELECT i, i::text AS c, i::numeric / 3, i * 1.5::float8, 'x' || i, md5(i::text), i % 2 = 0 "
    "FROM generate_series(1, 10) AS g(i) WHERE i > 2 ORDER BY g.i DESC LIMIT 5",
    "SELECT count(*), sum(i), avg(i), min(i), max(i), string_agg(i::text, ',' ORDER BY i), "
    "array_agg(i) FROM generate_series(1::int8, 10) AS g(i) GROUP BY i % 2",
    "SELECT '{\"a\": [1, 2]}'::jsonb -> 'a', '{1,2}'::int[], '2024-01-01'::date + 1, "
    "'2024-01-01 00:00:00+00'::timestamptz + '1 day'::interval, 'abc' ~ 'b', 'abc' LIKE 'a%', "
    "upper('a'), length('abc'), coalesce(NULL, 1), 'a'::varchar(10), 1::int2, true, "
    "'6f1e4b0c-0d1a-4b5e-9a43-6f6f6a9d3a11'::uuid, '\\x00'::bytea, 1 IN (1, 2), "
    "row_number() OVER ()",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) "
    "SELECT * FROM t JOIN t AS u USING (n) WHERE EXISTS (SELECT 1)",
    "SELECT c.conname, pg_catalog.pg_get_constraintdef(c.oid) FROM pg_catalog.pg_constraint c "
    "WHERE c.conrelid = 'pg_catalog.pg_class'::pg_catalog.regclass",
    "SELECT pg_catalog.pg_get_indexdef(indexrelid), amname, opcname FROM pg_catalog.pg_index "
    "JOIN pg_catalog.pg_class c ON c.oid = indexrelid JOIN pg_catalog.pg_am am ON am.oid = c.relam "
    "JOIN pg_catalog.pg_opclass ON pg_opclass.oid = indclass[0] LIMIT 3",
    "DO $$ DECLARE i int; BEGIN FOR i IN 1..2 LOOP PERFORM i; END LOOP; BEGIN RAISE EXCEPTION 'x'; "
    "EXCEPTION WHEN OTHERS THEN NULL; END; END $$",
    "PREPARE warm_up(int) AS SELECT $1 + 1",
    "EXECUTE warm_up(1)",
    "DEALLOCATE warm_up",
    "BEGIN",
    "ROLLBACK",
};

Status make(const char* output) {
  std::string transcript;
  const auto log = [&](std::string_view line) { transcript.append(line).append("\n"); };
  auto tree = make_guest_tree(bundle_image(), log);
  vfs::MemoryFileSystem base;
  if (!tree || !vfs::load_image(data_directory_image(), *tree->memory, kDataDirectory) ||
      !vfs::load_image(data_directory_image(), base, kDataDirectory)) {
    return Status::incompatible("the images cannot be unpacked");
  }
  BackendConfig config;
  config.tree = *tree;
  config.log = log;
  std::unique_ptr<Backend> backend;
  Status status = Backend::start(config, &backend);
  if (status.ok()) status = begin_session(*backend, std::string(kInitialName));
  if (!status.ok()) return Status::engine_gone(status.message() + "\n" + transcript);
  // Twice: what the first round only marks as wanted, such as plans, the second finds.
  for (int round = 0; round < 2; ++round) {
    for (const char* sql : kWarmUp) {
      status = run_sql(*backend, sql);
      if (!status.ok()) return Status::engine_gone(std::string(sql) + ": " + status.message());
    }
  }
  CaptureOptions options;
  options.base = &base;
  status = start_times(*backend, &options.start_times);
  if (!status.ok()) return status;
  const os::UniqueFd fd(::open(output, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) return Status::io_error(std::string("cannot write ") + output);
  status = SnapshotFile::capture(*backend, *tree->memory, options, fd.get());
  // Afterwards, so that it leaves no trace in the snapshot. A build with another layout than this
  // server's must have none.
  if (status.ok()) status = verify_layout(*backend);
  backend.reset();
  if (status.ok()) {
    transcript.clear();
    status = verify_server(log);
    if (!status.ok()) status = Status(status.code(), status.message() + "\n" + transcript);
  }
  if (!status.ok()) (void)::unlink(output);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_boot_snapshot OUTPUT\n";
    return 64;
  }
  const Status status = make(argv[1]);
  if (!status.ok()) std::cerr << "make_boot_snapshot: " << status.message() << '\n';
  return status.exit_code();
}
