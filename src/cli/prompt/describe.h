// \d and its kin: what the catalogue says of a database, in psql's words. For servers of PostgreSQL
// 12 and newer.
#ifndef PGLITE_CLI_PROMPT_DESCRIBE_H_
#define PGLITE_CLI_PROMPT_DESCRIBE_H_

#include <string>
#include <string_view>

#include "cli/query_runner.h"

namespace pglite::cli {

// What stands behind \d.
struct DescribeRequest {
  std::string what;  // "", "t", "i", "tv" and other letters of relations; "n", "x", "u", "f", "T"
  std::string pattern;   // empty: all that is visible
  bool verbose = false;  // +
  bool system = false;   // S: also what belongs to PostgreSQL
};

// Takes a command's name apart, as in dtS+. False: there is no such command.
bool parse_describe(std::string_view name, DescribeRequest* request);

// Returns an exit code as QueryRunner does.
int describe(const DescribeRequest& request, QueryRunner& runner);
int list_databases(const std::string& pattern, bool verbose, QueryRunner& runner);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_PROMPT_DESCRIBE_H_
