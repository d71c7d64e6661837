// A mixed load whose outcome is known: what must be in the database follows from which of its steps
// took place.
//
// A step is one transaction, or a command that changes nothing (CHECKPOINT, VACUUM). A transaction
// writes its number into the table `journal`. Steps do not depend on each other's success, so that
// a failed one is simply not there.
#ifndef PGLITE_TESTS_DURABILITY_WORKLOAD_H_
#define PGLITE_TESTS_DURABILITY_WORKLOAD_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "postgres/guest/backend.h"

namespace pglite::durability {

struct Step {
  enum class Kind {
    kNone,             // changes nothing
    kInsert,           // ten items
    kInsertSavepoint,  // five items, after others were taken back to a savepoint
    kTransfer,
    kAmounts,  // of a third of the items
    kNotes,    // indexed, of a quarter of the items
    kDelete,   // a seventh of the items
    kBig,      // a TOASTed value
    kMakeTable,
    kDropTable,
    kScratch,       // truncated and filled anew
    kRewrite,       // a column's type changes
    kMakeDatabase,  // not in the journal: it cannot be in a transaction
    kDropDatabase,
  };
  Kind kind;
  int number;      // of the step
  int target = 0;  // number of the step whose table or database is dropped; size of the new type
  std::string sql = {};
  std::string answer = {};  // of a query that has only one right answer: its first row

  [[nodiscard]] bool in_journal() const {
    return kind != Kind::kNone && kind != Kind::kMakeDatabase && kind != Kind::kDropDatabase;
  }
};

// What is known of a step.
enum class Outcome { kAbsent, kInDoubt, kCommitted };

// SQL that makes the tables.
std::vector<std::string> setup_statements();
// `length` steps, the same every time; with databases made and dropped on demand.
std::vector<Step> make_steps(int length, bool databases);

// Runs a step. OK: it was acknowledged. An ERROR (kInvalidArgument): it was refused. A wrong answer
// is in `*wrong`, an error's SQLSTATE in `*sqlstate`.
Status run_step(postgres::Backend& backend, const Step& step, std::string* wrong,
                std::string* sqlstate = nullptr);

// Compares the database with what `outcomes` (as many as steps) allow, by tables and by indexes;
// empty when it is right. `databases`: those that can be connected to.
std::string check(postgres::Backend& backend, const std::vector<Step>& steps,
                  const std::vector<Outcome>& outcomes, std::set<std::string>* databases = nullptr);
// Writes to the database: it must be able to go on. Empty when it is.
std::string check_writable(postgres::Backend& backend);

}  // namespace pglite::durability

#endif  // PGLITE_TESTS_DURABILITY_WORKLOAD_H_
