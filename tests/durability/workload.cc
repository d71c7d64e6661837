#include "workload.h"

#include <algorithm>
#include <iterator>

#include "postgres/guest/session_sql.h"

namespace pglite::durability {

namespace {

using postgres::run_sql;
using postgres::SqlResult;
using Kind = Step::Kind;

constexpr int kAccounts = 10;

std::string insert_items(int step, int first, int count) {
  const std::string id = std::to_string(step * 100) + " + g";
  return "INSERT INTO item SELECT " + id + ", " + std::to_string(step) +
         ", g, 0, 'note 0 of ' || (" + id + ") FROM generate_series(" + std::to_string(first) +
         ", " + std::to_string(first + count - 1) + ") AS g; ";
}

// What the database must hold.
struct Model {
  struct Item {
    int step;
    int amount;
    int edits;
  };
  std::map<int, Item> items;
  std::map<int, int> accounts;
  std::set<int> big;
  std::set<int> made;
  int scratch = 0;
  bool wide = false;

  Model() {
    for (int i = 0; i < kAccounts; ++i) accounts[i] = 1000;
  }
  void apply(const Step& step);
};

void Model::apply(const Step& step) {
  const int n = step.number;
  const auto insert = [&](int first, int count) {
    for (int g = first; g < first + count; ++g) items[n * 100 + g] = {n, g, 0};
  };
  switch (step.kind) {
    case Kind::kInsert:
      return insert(0, 10);
    case Kind::kInsertSavepoint:
      return insert(50, 5);
    case Kind::kTransfer:
      accounts[n % kAccounts] -= n;
      accounts[(n + 3) % kAccounts] += n;
      return;
    case Kind::kAmounts:
      for (auto& [id, item] : items) item.amount += id % 3 == n % 3 ? 1 : 0;
      return;
    case Kind::kNotes:
      for (auto& [id, item] : items) item.edits += id % 4 == n % 4 ? 1 : 0;
      return;
    case Kind::kDelete:
      std::erase_if(items, [&](const auto& entry) { return entry.first % 7 == n % 7; });
      return;
    case Kind::kBig:
      big.insert(n);
      return;
    case Kind::kMakeTable:
      made.insert(n);
      return;
    case Kind::kDropTable:
      made.erase(step.target);
      return;
    case Kind::kScratch:
      scratch = n;
      return;
    case Kind::kRewrite:
      wide = step.target == 8;
      return;
    default:
      return;
  }
}

}  // namespace

std::vector<std::string> setup_statements() {
  return {
      "CREATE TABLE journal (step int PRIMARY KEY)",
      "CREATE TABLE item (id int PRIMARY KEY, step int, amount int, edits int, note text)",
      "CREATE INDEX ON item (step)",
      "CREATE INDEX ON item (note)",
      "CREATE TABLE account (id int PRIMARY KEY, balance int)",
      "INSERT INTO account SELECT g, 1000 FROM generate_series(0, " +
          std::to_string(kAccounts - 1) + ") AS g",
      "CREATE TABLE big (step int PRIMARY KEY, body text STORAGE EXTERNAL)",
      "CREATE TABLE scratch (step int, g int)",
      "CREATE TABLE rewritten (n int)",
      "INSERT INTO rewritten SELECT generate_series(1, 200)",
      "CHECKPOINT",
  };
}

std::vector<Step> make_steps(int length, bool databases) {
  std::vector<Step> steps;
  std::vector<int> made;
  std::vector<int> made_databases;
  for (int n = 1; n <= length; ++n) {
    const std::string number = std::to_string(n);
    const std::string journal = "INSERT INTO journal VALUES (" + number + "); ";
    Step step{.kind = Kind::kNone, .number = n};
    const auto is = [&](Kind kind, const std::string& sql) {
      step.kind = kind;
      step.sql = sql;
    };
    switch (n % 20) {
      case 1:
      case 10:
        is(Kind::kInsert, journal + insert_items(n, 0, 10));
        break;
      case 2:
      case 14:
        is(Kind::kTransfer, "BEGIN; UPDATE account SET balance = balance - " + number +
                                " WHERE id = " + std::to_string(n % kAccounts) +
                                "; UPDATE account SET balance = balance + " + number +
                                " WHERE id = " + std::to_string((n + 3) % kAccounts) + "; " +
                                journal + "COMMIT");
        break;
      case 3:
        is(Kind::kBig, journal + "INSERT INTO big SELECT " + number + ", string_agg(md5((" +
                           number +
                           " * 1000 + g)::text), '' ORDER BY g) FROM generate_series(1, 1000) g");
        break;
      case 4:
        is(Kind::kMakeTable, journal + "CREATE TABLE made_" + number +
                                 " AS SELECT g AS n, md5(g::text) AS t FROM "
                                 "generate_series(1, 300) AS g; CREATE INDEX ON made_" +
                                 number + " (n)");
        made.push_back(n);
        break;
      case 5:
        is(Kind::kAmounts,
           journal + "UPDATE item SET amount = amount + 1 WHERE id % 3 = " + std::to_string(n % 3));
        break;
      case 6:
        step.sql = "CHECKPOINT";
        break;
      case 7:
        is(Kind::kNotes, journal +
                             "UPDATE item SET edits = edits + 1, note = 'note ' || (edits + 1) || "
                             "' of ' || id WHERE id % 4 = " +
                             std::to_string(n % 4));
        break;
      case 8:
        is(Kind::kScratch, journal + "TRUNCATE scratch; INSERT INTO scratch SELECT " + number +
                               ", g FROM generate_series(1, 50) AS g");
        break;
      case 9:
        step.sql = "BEGIN; DELETE FROM item; UPDATE account SET balance = 0; ROLLBACK";
        break;
      case 11:
        is(Kind::kInsertSavepoint, "BEGIN; " + journal + "SAVEPOINT s; " + insert_items(n, 20, 10) +
                                       "ROLLBACK TO s; " + insert_items(n, 50, 5) + "COMMIT");
        break;
      case 12:
        step.sql = n % 40 == 12 ? "VACUUM item" : "VACUUM FULL account";
        break;
      case 13:
        is(Kind::kDelete, journal + "DELETE FROM item WHERE id % 7 = " + std::to_string(n % 7));
        break;
      case 15:
        is(Kind::kRewrite,
           journal + "ALTER TABLE rewritten ALTER n TYPE " + (n % 40 == 15 ? "int8" : "int4"));
        break;
      case 16:
        if (n % 40 == 16) {
          step.sql = "SELECT pg_switch_wal()";
        } else if (!made.empty()) {
          step.target = made.front();
          made.erase(made.begin());
          is(Kind::kDropTable,
             journal + "DROP TABLE IF EXISTS made_" + std::to_string(step.target));
        }
        break;
      case 17:
        // Sorts on disk.
        step.sql =
            "SET work_mem = '64kB'; SELECT count(*), sum(r * (g % 7)) FROM (SELECT g, row_number() "
            "OVER (ORDER BY md5(g::text)) AS r FROM generate_series(1, 3000) AS g) AS s";
        step.answer = "3000|13430651";
        break;
      case 18:
        step.sql = "SELECT sum(balance) FROM account";
        step.answer = "10000";
        break;
      case 19:
        step.sql = "REINDEX TABLE item";
        break;
      case 0:
        if (!databases) {
          step.sql = "CHECKPOINT";
        } else if (n % 60 == 0 && !made_databases.empty()) {
          step.target = made_databases.front();
          made_databases.erase(made_databases.begin());
          is(Kind::kDropDatabase, "DROP DATABASE IF EXISTS base_" + std::to_string(step.target));
        } else {
          is(Kind::kMakeDatabase, "CREATE DATABASE base_" + number + " STRATEGY " +
                                      (n % 40 == 0 ? "file_copy" : "wal_log"));
          made_databases.push_back(n);
        }
        break;
      default:
        break;
    }
    if (step.kind == Kind::kRewrite) step.target = n % 40 == 15 ? 8 : 4;
    steps.push_back(std::move(step));
  }
  return steps;
}

namespace {

std::string join(const std::vector<std::string>& row) {
  std::string text;
  for (const std::string& value : row) {
    if (&value != &row.front()) text += '|';
    text += value;
  }
  return text;
}

}  // namespace

Status run_step(postgres::Backend& backend, const Step& step, std::string* wrong,
                std::string* sqlstate) {
  SqlResult result;
  Status status = run_sql(backend, step.sql, &result);
  if (sqlstate != nullptr) *sqlstate = result.sqlstate;
  if (status.ok() && !step.answer.empty() &&
      (result.rows.size() != 1 || join(result.rows[0]) != step.answer)) {
    *wrong = "step " + std::to_string(step.number) + " answered " +
             (result.rows.empty() ? "nothing" : join(result.rows[0])) + " for " + step.answer;
  }
  if (status.code() == StatusCode::kEngineGone) return status;
  if (result.transaction_status != 'I') {
    if (status.ok()) *wrong = "step " + std::to_string(step.number) + " left a transaction open";
    const Status rollback = run_sql(backend, "ROLLBACK");
    if (rollback.code() == StatusCode::kEngineGone) return rollback;
  }
  return status;
}

namespace {

class Checker {
 public:
  explicit Checker(postgres::Backend& backend) : backend_(backend) {}

  std::string failure;

  void run(const std::string& sql) { (void)rows(sql); }
  std::vector<std::vector<std::string>> rows(const std::string& sql) {
    SqlResult result;
    const Status status = run_sql(backend_, sql, &result);
    if (!status.ok()) fail(sql + ": " + status.message());
    return std::move(result.rows);
  }
  void expect(const std::string& sql, const std::string& expected) {
    if (!failure.empty()) return;
    const auto got = rows(sql);
    const std::string text = got.size() == 1 ? join(got[0]) : std::to_string(got.size()) + " rows";
    if (text == expected) return;
    const size_t at = static_cast<size_t>(std::ranges::mismatch(text, expected).in1 - text.begin());
    const size_t from = at < 60 ? 0 : at - 60;
    fail(sql + " gave \"" + text.substr(std::min(from, text.size()), 160) + "\" for \"" +
         expected.substr(std::min(from, expected.size()), 160) + "\"");
  }
  void fail(std::string text) {
    if (failure.empty()) failure = std::move(text);
  }

 private:
  postgres::Backend& backend_;
};

template <class Set>
std::string list(const Set& numbers) {
  std::string text;
  for (const int number : numbers) {
    if (!text.empty()) text += ',';
    text += std::to_string(number);
  }
  return text;
}

// By tables or by indexes, as the planner is told.
void compare(Checker& checker, const Model& model) {
  std::string items;
  std::string ids;
  std::map<int, int> per_step;
  for (const auto& [id, item] : model.items) {
    if (!items.empty()) items += ';';
    const std::string name = std::to_string(id);
    items += name + "," + std::to_string(item.step) + "," + std::to_string(item.amount) + ",note " +
             std::to_string(item.edits) + " of " + name;
    ids += (ids.empty() ? "" : ",") + name;
  }
  checker.expect(
      "SELECT string_agg(id || ',' || step || ',' || amount || ',' || note, ';' ORDER BY id) FROM "
      "item WHERE id >= 0",
      items);
  checker.expect("SELECT string_agg(id::text, ',' ORDER BY id) FROM item WHERE step >= 0", ids);
  checker.expect("SELECT string_agg(id::text, ',' ORDER BY id) FROM item WHERE note >= ''", ids);
  std::string accounts;
  for (const auto& [id, balance] : model.accounts) {
    accounts += (accounts.empty() ? "" : ",") + std::to_string(balance);
  }
  checker.expect("SELECT string_agg(balance::text, ',' ORDER BY id) FROM account WHERE id >= 0",
                 accounts);
  checker.expect("SELECT string_agg(step::text, ',' ORDER BY step) FROM big WHERE step >= 0",
                 list(model.big));
  checker.expect(
      "SELECT count(*) FROM big WHERE body <> (SELECT string_agg(md5((big.step * 1000 + g)::text), "
      "'' ORDER BY g) FROM generate_series(1, 1000) AS g)",
      "0");
  const std::string scratch = std::to_string(model.scratch);
  checker.expect("SELECT count(*), coalesce(min(step), 0), coalesce(max(step), 0) FROM scratch",
                 model.scratch == 0 ? "0|0|0" : "50|" + scratch + "|" + scratch);
  checker.expect("SELECT sum(n), pg_typeof(min(n)) FROM rewritten",
                 std::string("20100|") + (model.wide ? "bigint" : "integer"));
  checker.expect(
      "SELECT string_agg(substr(relname, 6), ',' ORDER BY substr(relname, 6)::int) FROM pg_class "
      "WHERE relname >= 'made_' AND relname < 'made_a' AND relkind = 'r'",
      list(model.made));
  for (const int made : model.made) {
    checker.expect("SELECT count(*), sum(n) FROM made_" + std::to_string(made) + " WHERE n >= 0",
                   "300|45150");
  }
}

}  // namespace

std::string check(postgres::Backend& backend, const std::vector<Step>& steps,
                  const std::vector<Outcome>& outcomes, std::set<std::string>* databases) {
  Checker checker(backend);
  std::set<std::string> journal;
  for (const auto& row : checker.rows("SELECT step FROM journal ORDER BY step")) {
    journal.insert(row.at(0));
  }
  std::set<std::string> found_databases;
  std::set<std::string> half_dropped;
  for (const auto& row : checker.rows("SELECT datname, datconnlimit = -2 FROM pg_database")) {
    found_databases.insert(row.at(0));
    if (row.at(1) == "t") half_dropped.insert(row.at(0));
  }
  Model model;
  // Of each database the last word, and whether there is one.
  std::map<std::string, std::set<bool>> may_exist;
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    const std::string number = std::to_string(step.number);
    const bool makes = step.kind == Kind::kMakeDatabase;
    if (makes || step.kind == Kind::kDropDatabase) {
      auto& may = may_exist["base_" + (makes ? number : std::to_string(step.target))];
      if (may.empty()) may = {false};
      if (outcomes[i] == Outcome::kCommitted) may = {makes};
      if (outcomes[i] == Outcome::kInDoubt) may.insert(makes);
    }
    if (!step.in_journal()) continue;
    const bool present = journal.contains(number);
    if (outcomes[i] == Outcome::kCommitted && !present) {
      checker.fail("step " + number + " was acknowledged and is lost: " + step.sql);
    } else if (outcomes[i] == Outcome::kAbsent && present) {
      checker.fail("step " + number + " is there and should not: " + step.sql);
    }
    if (present) model.apply(step);
  }
  for (const auto& [name, may] : may_exist) {
    if (!may.contains(found_databases.contains(name))) {
      checker.fail("database " + name +
                   (found_databases.contains(name) ? " is there and should not" : " is lost"));
    }
    // What an interrupted DROP DATABASE leaves, by PostgreSQL's manual: it can only be dropped.
    if (half_dropped.contains(name) && !may.contains(false)) {
      checker.fail("database " + name + " is half dropped");
    }
  }
  for (const char* other : {"on", "off"}) {
    const std::string index = std::string(other) == "on" ? "off" : "on";
    std::string settings = "SET enable_bitmapscan = off; SET enable_seqscan = ";
    settings.append(other).append("; SET enable_indexscan = ").append(index);
    settings.append("; SET enable_indexonlyscan = ").append(index);
    checker.run(settings);
    if (checker.failure.empty()) compare(checker, model);
    if (!checker.failure.empty()) {
      checker.failure += std::string(" (seqscan ") + other + ")";
      break;
    }
  }
  checker.run("RESET ALL");
  if (databases != nullptr) {
    std::ranges::set_difference(found_databases, half_dropped,
                                std::inserter(*databases, databases->end()));
  }
  return checker.failure;
}

std::string check_writable(postgres::Backend& backend) {
  Checker checker(backend);
  checker.run("CREATE TABLE afterwards (n int PRIMARY KEY)");
  checker.run("INSERT INTO afterwards SELECT generate_series(1, 1000)");
  checker.run("INSERT INTO item SELECT -g, 0, 0, 0, '' FROM generate_series(1, 500) AS g");
  checker.run("DELETE FROM item WHERE id < 0");
  checker.expect("SELECT sum(n) FROM afterwards", "500500");
  checker.run("DROP TABLE afterwards");
  checker.run("VACUUM");
  checker.run("CHECKPOINT");
  return checker.failure;
}

}  // namespace pglite::durability
