// The names that a session's database has, as they are asked for.
#ifndef PGLITE_CLI_PROMPT_SESSION_CATALOGUE_H_
#define PGLITE_CLI_PROMPT_SESSION_CATALOGUE_H_

#include <map>
#include <string>

#include "cli/prompt/completion.h"
#include "cli/query_runner.h"

namespace pglite::cli {

// In a transaction that has failed there are none but those that are known by then.
class SessionCatalogue : public Catalogue {
 public:
  explicit SessionCatalogue(QueryRunner& runner) : runner_(runner) {}
  // What was learnt may not be so any more.
  void forget() { known_.clear(); }

  Names keywords() override;
  Names relations(const std::string& schema) override;
  Names columns(const Relation& relation) override;
  Names functions(const std::string& schema) override;
  Names schemas() override;
  Names databases() override;
  Names roles() override;
  Names settings() override;

 private:
  // A query of one column must not fail: that would end the user's transaction.
  const Names& ask(const std::string& sql);

  QueryRunner& runner_;
  std::map<std::string, Names> known_;  // by query
  Names keywords_;
};

}  // namespace pglite::cli

#endif  // PGLITE_CLI_PROMPT_SESSION_CATALOGUE_H_
