// As power_cut_test.cc, with eight sessions that write at once: their commits share flushes, files
// are synced in threads while others write, and a checkpointer runs beside them.
//
// The environment variables are those of power_cut_test.cc.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "recording_filesystem.h"
#include "server.h"
#include "sessions.h"

namespace pglite::durability {
namespace {

constexpr int kWriters = 8;
constexpr int kTransactions = 40;  // of each
constexpr int kAccounts = 5;       // few, so that writers wait for each other
constexpr std::chrono::microseconds kSlowestSync{800};

const std::vector<std::string> kSettings = {"max_prepared_transactions=20", "wal_buffers=64kB"};

// What one transaction does, besides its row in the journal.
struct Transaction {
  enum class Kind { kTransfer, kItems, kEdits, kBig, kTable, kTwoPhase, kCheckpoint, kVacuum };
  Kind kind = Kind::kTransfer;
  int writer = 0;
  int number = 0;
  // Sent one after the other; the last one commits.
  std::vector<std::string> queries = {};

  [[nodiscard]] bool in_journal() const {
    return kind != Kind::kCheckpoint && kind != Kind::kVacuum;
  }
};

const char* const kSetup[] = {
    "CREATE TABLE journal (writer int, number int, kind int, source int, target int, amount int, "
    "PRIMARY KEY (writer, number))",
    "CREATE TABLE account (id int PRIMARY KEY, balance int) WITH (fillfactor = 50)",
    "INSERT INTO account SELECT g, 1000 FROM generate_series(0, 4) AS g",
    "CREATE TABLE item (writer int, number int, g int, edits int, note text, "
    "PRIMARY KEY (writer, number, g))",
    "CREATE INDEX ON item (note)",
    "CREATE TABLE big (writer int, number int, body text STORAGE EXTERNAL)",
    "CHECKPOINT",
};

Transaction make_transaction(int writer, int number) {
  using Kind = Transaction::Kind;
  const uint64_t random = mix(static_cast<uint64_t>(writer) * 1000 + static_cast<uint64_t>(number));
  constexpr std::array kKinds = {Kind::kTransfer, Kind::kTransfer, Kind::kTransfer, Kind::kItems,
                                 Kind::kItems,    Kind::kEdits,    Kind::kBig,      Kind::kTable,
                                 Kind::kTwoPhase, Kind::kTwoPhase};
  Transaction it{.kind = kKinds[random % kKinds.size()], .writer = writer, .number = number};
  if (writer == 0 && number % 6 == 5) it.kind = Kind::kCheckpoint;
  if (writer == 1 && number % 8 == 7) it.kind = Kind::kVacuum;
  const std::string w = std::to_string(writer);
  const std::string n = std::to_string(number);
  const std::string key = w + ", " + n;
  const auto source = static_cast<int>(random / 16 % kAccounts);
  const auto target = (source + 1 + static_cast<int>(random / 256 % (kAccounts - 1))) % kAccounts;
  const int amount = number + 1;
  const bool moves = it.kind == Kind::kTransfer || it.kind == Kind::kTwoPhase;
  const std::string journal = "INSERT INTO journal VALUES (" + key + ", " +
                              std::to_string(static_cast<int>(it.kind)) + ", " +
                              (moves ? std::to_string(source) + ", " + std::to_string(target) +
                                           ", " + std::to_string(amount)
                                     : "NULL, NULL, NULL") +
                              "); ";
  // In the order of their numbers, so that nobody waits in a circle.
  const auto update = [&](int account) {
    return "UPDATE account SET balance = balance " + std::string(account == source ? "- " : "+ ") +
           std::to_string(amount) + " WHERE id = " + std::to_string(account);
  };
  const std::string first = update(std::min(source, target));
  const std::string second = update(std::max(source, target));
  switch (it.kind) {
    case Kind::kTransfer:
      it.queries = {"BEGIN", first, second, journal + "COMMIT"};
      break;
    case Kind::kItems:
      it.queries = {"BEGIN; " + journal + "INSERT INTO item SELECT " + key +
                    ", g, 0, 'note of ' || g FROM generate_series(1, 20) AS g; COMMIT"};
      break;
    case Kind::kEdits:
      it.queries = {
          "BEGIN; " + journal + "SAVEPOINT s; DELETE FROM item WHERE writer = " + w +
              "; ROLLBACK TO s",
          "UPDATE item SET edits = edits + 1, note = 'edit ' || (edits + 1) || ' of ' || g WHERE "
          "writer = " +
              w + "; COMMIT"};
      break;
    case Kind::kBig:
      it.queries = {"BEGIN; " + journal + "INSERT INTO big SELECT " + key +
                    ", string_agg(md5(g::text), '' ORDER BY g) FROM generate_series(1, 500) AS g; "
                    "COMMIT"};
      break;
    case Kind::kTable: {
      const std::string name = "made_" + w + "_" + n;
      it.queries = {"BEGIN; " + journal + "CREATE TABLE " + name +
                    " AS SELECT g FROM generate_series(1, 100) AS g; CREATE INDEX ON " + name +
                    " (g); COMMIT"};
      break;
    }
    case Kind::kTwoPhase: {
      const std::string name = "'" + w + "/" + n + "'";
      it.queries = {
          "BEGIN; " + first + "; " + second + "; " + journal + "PREPARE TRANSACTION " + name,
          "COMMIT PREPARED " + name};
      break;
    }
    case Kind::kCheckpoint:
      it.queries = {"CHECKPOINT"};
      break;
    case Kind::kVacuum:
      it.queries = {"VACUUM"};
      break;
  }
  return it;
}

struct Recording {
  struct Entry {
    Transaction transaction;
    size_t begun = 0;         // the moment its commit was asked for
    size_t prepared = 0;      // of kTwoPhase: the moment PREPARE TRANSACTION was acknowledged
    size_t acknowledged = 0;  // the moment its commit was
  };
  std::vector<Entry> entries;
  Log log;
  size_t ready = 0;  // the tables are there
};

// Empty on success.
std::string record(Recording* recording, bool fsync = true) {
  const auto files = std::make_shared<RecordingFileSystem>(make_data_directory(), kSlowestSync);
  Sessions sessions;
  Status status = sessions.start(files, fsync, kSettings);
  if (!status.ok()) return status.message() + "\n" + sessions.log();
  struct Writer {
    Sessions::Session* session = nullptr;
    int number = -1;
    size_t query = 0;
    size_t entry = 0;  // in the recording
  };
  std::vector<Writer> writers(kWriters);
  for (Writer& writer : writers) {
    status = sessions.connect(&writer.session);
    if (!status.ok()) return status.message();
  }
  for (const char* sql : kSetup) {
    status = sessions.query(*writers[0].session, sql);
    if (!status.ok()) return std::string(sql) + ": " + status.message();
  }
  recording->ready = files->moment();

  std::string wrong;
  const auto advance = [&](int index) {
    Writer& writer = writers[static_cast<size_t>(index)];
    if (!writer.session->answered || writer.number == kTransactions) return;
    if (writer.number >= 0) {
      Recording::Entry& entry = recording->entries[writer.entry];
      const Transaction& it = entry.transaction;
      if (const Status& error = writer.session->error; !error.ok() && wrong.empty()) {
        wrong = it.queries[writer.query] + ": " + error.message();
      }
      if (writer.query == 0 && it.kind == Transaction::Kind::kTwoPhase) {
        entry.prepared = files->moment();
      }
      if (++writer.query == it.queries.size()) entry.acknowledged = files->moment();
    }
    if (writer.number < 0 ||
        writer.query == recording->entries[writer.entry].transaction.queries.size()) {
      if (++writer.number == kTransactions) return;
      writer.query = 0;
      writer.entry = recording->entries.size();
      recording->entries.push_back({.transaction = make_transaction(index, writer.number)});
    }
    Recording::Entry& entry = recording->entries[writer.entry];
    entry.begun = files->moment();
    Sessions::send(*writer.session, entry.transaction.queries[writer.query]);
  };
  const auto advance_all = [&] {
    for (int i = 0; i < kWriters; ++i) advance(i);
  };
  advance_all();
  status = sessions.run(
      [&] {
        return !wrong.empty() || std::ranges::all_of(writers, [](const Writer& writer) {
          return writer.number == kTransactions;
        });
      },
      advance_all);
  if (!status.ok()) return status.message() + "\n" + sessions.log();
  if (!wrong.empty()) return wrong;
  // The end is cut, too.
  status = sessions.shut_down();
  if (!status.ok()) return status.message();
  recording->log = files->log();
  return "";
}

struct Cut {
  size_t at = 0;
  Choice choice;
  bool again = false;  // the recovery is cut as well

  Cut(const Recording& recording, uint64_t seed) {
    const auto random = [&](uint64_t salt) { return mix(seed ^ mix(salt)); };
    choice = Choice::from_seed(seed, EntryModel::kWithFile);
    again = random(1) % 4 == 0;
    // Half of them right after an acknowledgement, when there is the most to lose.
    if (random(2) % 2 == 0) {
      at = recording.entries[random(3) % recording.entries.size()].acknowledged;
    } else {
      at = recording.ready + random(4) % (recording.log.size() - recording.ready + 1);
    }
  }
};

// Whether the database is one that the writers may have left. Empty: it is.
std::string check(Sessions& sessions, Sessions::Session& session, const Recording& recording,
                  size_t cut) {
  std::string failure;
  const auto rows = [&](const std::string& sql) {
    postgres::SqlResult result;
    const Status status = sessions.query(session, sql, &result);
    if (!status.ok() && failure.empty()) failure = sql + ": " + status.message();
    return result.rows;
  };
  // Rows that a query gives are wrong.
  const auto none = [&](const std::string& sql) {
    if (!failure.empty()) return;
    const auto found = rows(sql);
    if (failure.empty() && !found.empty()) {
      failure = sql + " found " + std::to_string(found.size()) + ": ";
      for (const std::string& value : found[0]) failure += value + " ";
    }
  };
  // Transactions that were prepared and not committed come first: their client decides.
  std::vector<std::string> prepared;
  for (const auto& row : rows("SELECT gid FROM pg_prepared_xacts")) prepared.push_back(row[0]);
  for (const Recording::Entry& entry : recording.entries) {
    const Transaction& it = entry.transaction;
    if (it.kind != Transaction::Kind::kTwoPhase || entry.prepared == 0) continue;
    const std::string name = std::to_string(it.writer) + "/" + std::to_string(it.number);
    const bool is_there = std::ranges::find(prepared, name) != prepared.end();
    if (entry.acknowledged <= cut && is_there) {
      return "the transaction " + name + " was committed, and is still prepared";
    }
    if (entry.prepared <= cut && entry.begun >= cut && !is_there) {
      return "the transaction " + name + " was prepared and is lost";
    }
  }
  for (const std::string& name : prepared) rows("COMMIT PREPARED '" + name + "'");

  std::vector<std::string> journal;
  for (const auto& row : rows("SELECT writer || '/' || number FROM journal WHERE writer >= 0")) {
    journal.push_back(row[0]);
  }
  if (!failure.empty()) return failure;
  std::ranges::sort(journal);
  for (const Recording::Entry& entry : recording.entries) {
    const Transaction& it = entry.transaction;
    if (!it.in_journal()) continue;
    const std::string name = std::to_string(it.writer) + "/" + std::to_string(it.number);
    const bool is_there = std::ranges::binary_search(journal, name);
    if (entry.acknowledged <= cut && !is_there) {
      return "the transaction " + name + " was acknowledged and is lost: " + it.queries.back();
    }
    // What was prepared in time is committed above.
    const bool was_asked_for = it.kind == Transaction::Kind::kTwoPhase || entry.begun < cut;
    if (!was_asked_for && is_there) {
      return "the transaction " + name + " is there before it was committed: " + it.queries.back();
    }
  }

  using Kind = Transaction::Kind;
  const auto of_kind = [](Kind kind) { return "kind = " + std::to_string(static_cast<int>(kind)); };
  for (const bool by_index : {false, true}) {
    const std::string seq = by_index ? "off" : "on";
    const std::string index = by_index ? "on" : "off";
    rows("SET enable_bitmapscan = off; SET enable_seqscan = " + seq +
         "; SET enable_indexscan = " + index + "; SET enable_indexonlyscan = " + index);
    none(
        "SELECT id, balance FROM account WHERE id >= 0 AND balance <> 1000 "
        "+ (SELECT coalesce(sum(amount), 0) FROM journal WHERE target = id) "
        "- (SELECT coalesce(sum(amount), 0) FROM journal WHERE source = id)");
    none("SELECT sum(balance) FROM account WHERE id >= 0 HAVING sum(balance) <> 5000");
    none("SELECT writer, number FROM journal AS j WHERE " + of_kind(Kind::kItems) +
         " AND 20 <> (SELECT count(*) FROM item AS i WHERE i.writer = j.writer AND i.number = "
         "j.number)");
    none(
        "SELECT writer, number, g FROM item AS i WHERE writer >= 0 AND (NOT EXISTS (SELECT FROM "
        "journal AS j WHERE (i.writer, i.number) = (j.writer, j.number) AND " +
        of_kind(Kind::kItems) +
        ") OR edits <> (SELECT count(*) FROM journal AS j WHERE j.writer = i.writer AND j.number "
        "> i.number AND " +
        of_kind(Kind::kEdits) +
        ") OR note <> CASE edits WHEN 0 THEN 'note of ' ELSE 'edit ' || edits || ' of ' END || g)");
    none(
        "SELECT FROM (SELECT count(*) AS c FROM item WHERE note >= '') AS a, "
        "(SELECT count(*) AS c FROM item WHERE writer >= 0) AS b WHERE a.c <> b.c");
  }
  rows("RESET ALL");
  none("SELECT writer, number FROM journal WHERE " + of_kind(Kind::kBig) +
       " EXCEPT SELECT writer, number FROM big WHERE body = (SELECT string_agg(md5(g::text), '' "
       "ORDER BY g) FROM generate_series(1, 500) AS g)");
  none("SELECT writer, number FROM big EXCEPT SELECT writer, number FROM journal");
  none("SELECT 'made_' || writer || '_' || number FROM journal WHERE " + of_kind(Kind::kTable) +
       " EXCEPT SELECT relname FROM pg_class WHERE relkind = 'r'");
  none(
      "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'made%' EXCEPT SELECT "
      "'made_' || writer || '_' || number FROM journal");
  for (const auto& row :
       rows("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'made%'")) {
    none("SELECT FROM " + row[0] + " WHERE g > 0 HAVING (count(*), sum(g)) <> (100, 5050)");
  }
  return failure;
}

std::string check_cut(const Recording& recording, const Cut& cut) {
  const auto after_cut = [&] {
    auto files = make_data_directory();
    replay(recording.log, cut.at, cut.choice, *files);
    remove_lock_file(*files);
    return files;
  };
  auto files = after_cut();
  std::string text;
  if (cut.again) {
    const auto recorder = std::make_shared<RecordingFileSystem>(files);
    {
      Sessions sessions;
      const Status status = sessions.start(recorder, true, kSettings);
      if (!status.ok()) return "recovery: " + status.message() + "\n" + sessions.log();
    }
    const Log& log = recorder->log();
    const uint64_t random = mix(cut.choice.seed ^ 5);
    const Choice choice = Choice::from_seed(random, cut.choice.entries);
    const size_t at = random % (log.size() + 1);
    files = after_cut();
    replay(log, at, choice, *files);
    remove_lock_file(*files);
    text = "the recovery was cut at " + std::to_string(at) + " of " + std::to_string(log.size()) +
           " (" + choice.describe() + "): ";
  }
  Sessions sessions;
  Sessions::Session* session = nullptr;
  Status status = sessions.start(files, true, kSettings);
  if (status.ok()) status = sessions.connect(&session);
  if (!status.ok()) return text + status.message() + "\n" + sessions.log();
  std::string failure = check(sessions, *session, recording, cut.at);
  for (const char* sql :
       {"CREATE TABLE afterwards (n int PRIMARY KEY)",
        "INSERT INTO afterwards SELECT generate_series(1, 1000)",
        "INSERT INTO item SELECT -1, 0, g, 0, '' FROM generate_series(1, 500) AS g",
        "DELETE FROM item WHERE writer < 0", "VACUUM", "CHECKPOINT"}) {
    if (!failure.empty()) break;
    status = sessions.query(*session, sql);
    if (!status.ok()) failure = std::string(sql) + ": " + status.message();
  }
  if (failure.empty()) {
    status = sessions.shut_down();
    if (!status.ok()) failure = "shutdown: " + status.message();
  }
  return failure.empty() ? "" : text + failure + "\n" + sessions.log();
}

TEST(PowerCutSessions, LosesNothingAcknowledged) {
  Recording recording;
  ASSERT_EQ(record(&recording), "");
  const size_t count = setting("PGLITE_POWER_CUTS", 40);
  const size_t seed = setting("PGLITE_POWER_CUT_SEED", 1);
  const size_t only = setting("PGLITE_POWER_CUT_ONLY", count);
  std::vector<Cut> cuts;
  for (size_t i = 0; i < count; ++i) {
    if (only == count || only == i) cuts.emplace_back(recording, mix(seed * 1'000'003 + i));
  }
  size_t syncs = 0;
  size_t overlapped = 0;
  for (size_t i = 0; i < recording.log.size(); ++i) {
    if (recording.log[i].kind != Operation::Kind::kSync) continue;
    ++syncs;
    overlapped += recording.log[i].begun < i ? 1 : 0;
  }
  std::printf(
      "%zu transactions, %zu operations recorded, %zu of them syncs; others wrote during %zu of "
      "them; %zu cuts\n",
      recording.entries.size(), recording.log.size(), syncs, overlapped, cuts.size());
  // Otherwise it is power_cut_test.
  EXPECT_GT(overlapped, 0u);
  in_children(
      cuts.size(), static_cast<int>(setting("PGLITE_TEST_JOBS", 2)), 120,
      [&](size_t i) { return check_cut(recording, cuts[i]); },
      [&](size_t i, const std::string& failure) {
        if (failure.empty()) return;
        ADD_FAILURE() << "cut " << (only == count ? i : only) << " of seed " << seed << ", "
                      << describe_cut(recording.log, cuts[i].at, cuts[i].choice) << failure;
      });
}

// That the test would notice: with fsync off most cuts do harm.
TEST(PowerCutSessions, WithoutSyncsMuchIsLost) {
  Recording recording;
  ASSERT_EQ(record(&recording, false), "");
  size_t harmed = 0;
  in_children(
      8, static_cast<int>(setting("PGLITE_TEST_JOBS", 2)), 120,
      [&](size_t i) { return check_cut(recording, Cut(recording, mix(i))); },
      [&](size_t, const std::string& failure) { harmed += failure.empty() ? 0 : 1; });
  EXPECT_GE(harmed, 4u);
}

}  // namespace
}  // namespace pglite::durability
