// A backend for tests of what works on one directly.
#ifndef PGLITE_TESTS_UNIT_POSTGRES_GUEST_RUNNING_BACKEND_H_
#define PGLITE_TESTS_UNIT_POSTGRES_GUEST_RUNNING_BACKEND_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "postgres/build/images.h"
#include "postgres/guest/backend.h"
#include "postgres/guest/guest_tree.h"
#include "postgres/guest/session_sql.h"
#include "vfs/image.h"

namespace pglite::postgres {

// PostgreSQL on a fresh cluster in memory. Null, and the test fails, where it does not start.
inline std::unique_ptr<Backend> running_backend() {
  auto tree = make_guest_tree(bundle_image(), [](std::string_view) {});
  if (!tree || !vfs::load_image(data_directory_image(), *tree->memory, kDataDirectory)) {
    ADD_FAILURE() << "the images cannot be unpacked";
    return nullptr;
  }
  BackendConfig config;
  config.tree = *tree;
  std::unique_ptr<Backend> backend;
  const Status status = Backend::start(config, &backend);
  EXPECT_TRUE(status.ok()) << status.message();
  return backend;
}

// The first column of the first row, or the error.
inline std::string value(Backend& backend, const std::string& sql) {
  SqlResult result;
  const Status status = run_sql(backend, sql, &result);
  if (!status.ok()) return status.message();
  return result.rows.empty() ? "" : result.rows[0].at(0);
}

}  // namespace pglite::postgres

#endif  // PGLITE_TESTS_UNIT_POSTGRES_GUEST_RUNNING_BACKEND_H_
