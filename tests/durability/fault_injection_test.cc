// PostgreSQL on files that fail: each operation of a workload fails once, with each fault that it
// can have; or all of them fail from one on, until they are mended.
//
// After the fault PostgreSQL must have refused honestly (an ERROR, or its end with a PANIC or FATAL
// message) or gone on; what it acknowledged is there, what it refused is not, and no query is
// answered wrongly. A restart over the same files, without faults, recovers.
//
//   PGLITE_FAULTS       how many cases of each test (80; `make fault-test` 0: all there are)
//   PGLITE_FAULT_ONLY   the number of one case, to look at a failure
//   PGLITE_TEST_JOBS    processes at a time (2)
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <sstream>

#include "faulty_filesystem.h"
#include "postgres/guest/session_sql.h"
#include "recording_filesystem.h"
#include "server.h"
#include "workload.h"

namespace pglite::durability {
namespace {

constexpr int kSteps = 20;  // every kind of step but databases

struct Case {
  Fault fault;
  size_t n;
};

// All faults for all of `calls` that they apply to.
std::vector<Case> all_cases(const std::vector<Call>& calls) {
  std::vector<Case> cases;
  for (const Fault fault : kFaults) {
    size_t n = 0;
    for (const Call call : calls) {
      if (applies(fault, call)) cases.push_back({fault, n++});
    }
  }
  return cases;
}

// What a child reports: a count by this name, or a failure.
constexpr std::string_view kCounted = "counted: ";
std::string counted(const std::string& what) {
  return std::string(kCounted) + what;
}

void run_cases(const std::vector<Case>& all, const std::function<std::string(const Case&)>& body) {
  const size_t wanted = setting("PGLITE_FAULTS", 80);
  const size_t only = setting("PGLITE_FAULT_ONLY", all.size());
  std::vector<size_t> chosen;
  if (only < all.size()) {
    chosen.push_back(only);
  } else if (wanted == 0 || wanted >= all.size()) {
    for (size_t i = 0; i < all.size(); ++i) chosen.push_back(i);
  } else {
    for (size_t i = 0; i < wanted; ++i) chosen.push_back(mix(i) % all.size());
  }
  std::map<std::string, size_t> counts;
  in_children(
      chosen.size(), static_cast<int>(setting("PGLITE_TEST_JOBS", 2)), 300,
      [&](size_t i) { return body(all[chosen[i]]); },
      [&](size_t i, const std::string& text) {
        if (text.starts_with(kCounted)) {
          ++counts[text.substr(kCounted.size())];
          return;
        }
        ADD_FAILURE() << "case " << chosen[i] << ": " << name(all[chosen[i]].fault)
                      << " for the call number " << all[chosen[i]].n
                      << " that can have it: " << text;
      });
  std::printf("%zu of %zu cases:", chosen.size(), all.size());
  for (const auto& [what, count] : counts) std::printf(" %s %zu;", what.c_str(), count);
  std::printf("\n");
}

// A crash and a start without faults.
std::string check_restart(const std::shared_ptr<FaultyFileSystem>& files,
                          const std::vector<Step>& steps, const std::vector<Outcome>& outcomes) {
  files->disarm();
  remove_lock_file(*files);
  Server server;
  const Status status = server.start(files);
  if (!status.ok()) return "restart: " + status.message() + "\n" + server.log();
  std::string failure = check(server.backend(), steps, outcomes);
  if (failure.empty()) failure = check_writable(server.backend());
  return failure.empty() ? "" : "after a restart: " + failure + "\n" + server.log();
}

bool ended_honestly(const Status& status) {
  return status.message().find("PANIC:") != std::string::npos ||
         status.message().find("FATAL:") != std::string::npos ||
         status.message().find("postgres: could not") != std::string::npos;
}

// PostgreSQL's ParseConfigFp (guc-file.l) uses a variable after a longjmp that it may not use then:
// when a configuration file cannot be read, it logs that and frees at random. The sandbox stops it.
bool trapped_in_configuration(const Status& status, const std::string& log) {
  return status.message().find("it trapped: out of bounds") != std::string::npos &&
         log.find("input in flex scanner failed at file") != std::string::npos;
}

// What the errors of a fault must say: the SQLSTATE that errcode_for_file_access (elog.c) gives it,
// and the C library's words.
struct Wording {
  std::string_view sqlstate;
  std::string_view text;
};
Wording wording(Fault fault) {
  switch (fault) {
    case Fault::kNoSpace:
    case Fault::kFullDisk:
      return {"53100", "No space left on device"};
    case Fault::kQuota:
      return {"XX000", "Quota exceeded"};
    case Fault::kReadOnly:
      return {"42501", "Read-only file system"};
    case Fault::kTooManyFiles:
      return {"53000", "No file descriptors available"};
    case Fault::kTooManyFilesInSystem:
      return {"53000", "Too many open files in system"};
    default:
      return {"58030", "I/O error"};
  }
}

bool is_right(Fault fault, const Status& status, const std::string& sqlstate) {
  const Wording expected = wording(fault);
  const std::string& message = status.message();
  // Its cause is in the detail (slru.c).
  if (message.starts_with("could not access status of transaction")) {
    return sqlstate == expected.sqlstate;
  }
  // elog(), which has no SQLSTATE (fd.c).
  const bool without_sqlstate = message.starts_with("could not create temporary file");
  return message.find(expected.text) != std::string::npos &&
         sqlstate == (without_sqlstate ? "XX000" : expected.sqlstate);
}

struct Prepared {
  std::shared_ptr<FaultyFileSystem> files =
      std::make_shared<FaultyFileSystem>(make_data_directory());
  Server server;
  std::vector<Step> steps = make_steps(kSteps, false);
};

void prepare(Prepared* prepared) {
  Status status = prepared->server.start(prepared->files);
  ASSERT_TRUE(status.ok()) << status.message();
  for (const std::string& sql : setup_statements()) {
    status = postgres::run_sql(prepared->server.backend(), sql);
    ASSERT_TRUE(status.ok()) << sql << ": " << status.message();
  }
}

std::string run_workload(Prepared& prepared, const Case& fault) {
  postgres::Backend& backend = prepared.server.backend();
  FaultyFileSystem& files = *prepared.files;
  std::vector<Outcome> outcomes(prepared.steps.size(), Outcome::kAbsent);
  const auto failed = [&](const std::string& text) {
    return files.failed() + ": " + text + "\n" + prepared.server.log();
  };
  files.arm(fault.fault, fault.n);
  std::string result = "unnoticed";
  bool gone = false;
  for (size_t i = 0; i < prepared.steps.size() && !gone; ++i) {
    std::string wrong;
    const Status status = run_step(backend, prepared.steps[i], &wrong);
    if (!wrong.empty()) return failed(wrong);
    if (status.ok()) {
      outcomes[i] = Outcome::kCommitted;
    } else if (status.code() == StatusCode::kEngineGone) {
      if (!ended_honestly(status)) return failed("ended without a word: " + status.message());
      outcomes[i] = Outcome::kInDoubt;
      gone = true;
      result = "ended";
    } else {
      if (result != "unnoticed") return failed("a second error: " + status.message());
      if (files.failed().empty()) return failed("an error without a fault: " + status.message());
      result = "error";
    }
  }
  if (files.failed().empty()) return failed("no call failed");
  if (!gone) {
    // The same backend goes on.
    std::string failure = check(backend, prepared.steps, outcomes);
    if (failure.empty()) failure = check_writable(backend);
    if (!failure.empty()) return failed("afterwards: " + failure);
  }
  const std::string failure = check_restart(prepared.files, prepared.steps, outcomes);
  return failure.empty() ? counted(result) : failed(failure);
}

// The calls of the whole workload.
void list_calls(Prepared& prepared, std::vector<Call>* calls) {
  const size_t before = prepared.files->calls().size();
  const std::string list = in_child(60, [&] {
    std::string kinds;
    for (const Step& step : prepared.steps) {
      std::string wrong;
      const Status status = run_step(prepared.server.backend(), step, &wrong);
      if (!status.ok() || !wrong.empty()) return "?" + status.message() + wrong;
    }
    for (size_t i = before; i < prepared.files->calls().size(); ++i) {
      kinds += static_cast<char>('a' + static_cast<int>(prepared.files->calls()[i]));
    }
    return kinds;
  });
  ASSERT_FALSE(list.starts_with('?')) << list;
  for (const char kind : list) calls->push_back(static_cast<Call>(kind - 'a'));
  ASSERT_GT(calls->size(), 100u);
}

TEST(FaultInjection, InTheWorkload) {
  Prepared prepared;
  prepare(&prepared);
  std::vector<Call> calls;
  list_calls(prepared, &calls);
  run_cases(all_cases(calls), [&](const Case& fault) { return run_workload(prepared, fault); });
}

// The files break down in the workload. Half of the cases are mended while PostgreSQL runs, in the
// other half it is shut down, and started again, on broken files.
std::string run_broken(Prepared& prepared, const Case& fault) {
  constexpr size_t kStepsBroken = 5;
  const bool mended_in_time = fault.n % 2 == 0;
  postgres::Backend& backend = prepared.server.backend();
  FaultyFileSystem& files = *prepared.files;
  std::vector<Outcome> outcomes(prepared.steps.size(), Outcome::kAbsent);
  const auto failed = [&](const std::string& text) {
    return files.failed() + ": " + text + "\n" + prepared.server.log();
  };
  files.break_down(fault.fault, fault.n);
  std::string result = "unnoticed";
  bool gone = false;
  size_t broken = 0;
  for (size_t i = 0; i < prepared.steps.size() && !gone; ++i) {
    if (mended_in_time && broken == kStepsBroken) files.disarm();
    std::string wrong, sqlstate;
    const Status status = run_step(backend, prepared.steps[i], &wrong, &sqlstate);
    if (!wrong.empty()) return failed(wrong);
    if (!files.failed().empty()) ++broken;
    if (status.ok()) {
      outcomes[i] = Outcome::kCommitted;
    } else if (status.code() == StatusCode::kEngineGone) {
      if (!ended_honestly(status)) return failed("ended without a word: " + status.message());
      outcomes[i] = Outcome::kInDoubt;
      gone = true;
      result = "ended";
    } else if (broken == 0 || (mended_in_time && broken > kStepsBroken)) {
      return failed("an error without a fault: " + status.message());
    } else if (!is_right(fault.fault, status, sqlstate)) {
      return failed("step " + std::to_string(i + 1) + ": " + sqlstate + " " + status.message());
    } else {
      result = "errors";
    }
  }
  if (files.failed().empty()) return failed("no call failed");
  if (!gone && mended_in_time) {
    files.disarm();
    std::string failure = check(backend, prepared.steps, outcomes);
    if (failure.empty()) failure = check_writable(backend);
    if (!failure.empty()) return failed("mended: " + failure);
  } else if (!mended_in_time) {
    if (!gone) {
      // What was read before is answered from memory.
      postgres::SqlResult read;
      Status status =
          postgres::run_sql(backend, "SELECT sum(balance) FROM account WHERE id >= 0", &read);
      if (status.ok() ? read.rows.at(0).at(0) != "10000"
                      : !is_right(fault.fault, status, read.sqlstate)) {
        return failed("reading: " + read.sqlstate + " " + status.message());
      }
      status = backend.stop();
      if (!status.ok() && !ended_honestly(status)) {
        return failed("shut down without a word: " + status.message());
      }
      result += status.ok() ? ", shut down" : ", not shut down";
    }
    remove_lock_file(files);
    Server server;
    const Status status = server.start(prepared.files);
    if (!status.ok() && !ended_honestly(status) &&
        !trapped_in_configuration(status, server.log())) {
      return failed("started without a word: " + status.message() + "\n" + server.log());
    }
    result += status.ok() ? ", started" : ", not started";
  }
  const std::string failure = check_restart(prepared.files, prepared.steps, outcomes);
  return failure.empty() ? counted(std::string(name(fault.fault)) + " " + result) : failed(failure);
}

TEST(FaultInjection, BrokenForAWhile) {
  Prepared prepared;
  prepare(&prepared);
  std::vector<Call> calls;
  list_calls(prepared, &calls);
  std::vector<Case> cases;
  for (const Fault fault : kLastingFaults) {
    const auto count = static_cast<size_t>(
        std::ranges::count_if(calls, [&](Call call) { return applies(fault, call); }));
    // Neighbours have much in common.
    for (size_t n = 0; n < count; n += 7) cases.push_back({fault, n});
  }
  run_cases(cases, [&](const Case& fault) { return run_broken(prepared, fault); });
}

// A checkpoint that cannot look at a file's name for once: it may not take the name of the WAL it
// writes for a free one.
TEST(FaultInjection, LookingAtNamesInACheckpoint) {
  Prepared prepared;
  prepare(&prepared);
  postgres::Backend& backend = prepared.server.backend();
  FaultyFileSystem& files = *prepared.files;
  std::vector<Outcome> outcomes;
  for (const Step& step : prepared.steps) {
    // The last one is the checkpoint.
    std::string wrong;
    outcomes.push_back(Outcome::kCommitted);
    if (outcomes.size() == prepared.steps.size()) break;
    const Status status = run_step(backend, step, &wrong);
    ASSERT_TRUE(status.ok()) << status.message();
  }
  const size_t before = files.calls().size();
  const std::string list = in_child(60, [&] {
    (void)postgres::run_sql(backend, "CHECKPOINT");
    std::string numbers;
    size_t n = 0;
    for (size_t i = before; i < files.calls().size(); ++i, ++n) {
      if (files.calls()[i] == Call::kMetadata) numbers += std::to_string(n) + " ";
    }
    return numbers;
  });
  std::vector<size_t> numbers;
  std::istringstream text(list);
  for (size_t n = 0; text >> n;) numbers.push_back(n);
  ASSERT_GT(numbers.size(), 0u) << list;
  in_children(
      numbers.size(), 2, 300,
      [&](size_t i) -> std::string {
        files.arm(Fault::kIoError, numbers[i]);
        const Status status = postgres::run_sql(backend, "CHECKPOINT");
        if (!status.ok() && status.code() == StatusCode::kEngineGone && !ended_honestly(status)) {
          return "ended without a word: " + status.message();
        }
        return check_restart(prepared.files, prepared.steps, outcomes);
      },
      [&](size_t i, const std::string& failure) {
        EXPECT_EQ(failure, "") << "call " << numbers[i];
      });
}

// PostgreSQL is started over the files that a crash left, and shut down: both meet faults.
TEST(FaultInjection, InRecoveryAndShutdown) {
  Prepared prepared;
  prepare(&prepared);
  std::vector<Outcome> outcomes;
  for (const Step& step : prepared.steps) {
    std::string wrong;
    const Status status = run_step(prepared.server.backend(), step, &wrong);
    ASSERT_TRUE(status.ok()) << status.message();
    outcomes.push_back(Outcome::kCommitted);
  }
  // The process dies.
  prepared.server = Server();
  remove_lock_file(*prepared.files);
  const size_t before = prepared.files->calls().size();
  const auto run = [&](std::string* what) {
    Server server;
    Status status = server.start(prepared.files);
    *what = "did not start";
    if (!status.ok()) return std::pair(status, server.log());
    status = postgres::run_sql(server.backend(), "INSERT INTO scratch VALUES (0, 0)");
    if (status.ok()) {
      status = postgres::run_sql(server.backend(), "DELETE FROM scratch WHERE step = 0");
    }
    *what = "error";
    if (!status.ok()) return std::pair(status, server.log());
    *what = "did not stop";
    status = server.backend().stop();
    if (status.ok()) *what = "unnoticed";
    return std::pair(status, server.log());
  };
  std::vector<Call> calls;
  const std::string list = in_child(60, [&] {
    std::string kinds, what;
    const auto [status, log] = run(&what);
    if (!status.ok()) return "?" + status.message() + log;
    for (size_t i = before; i < prepared.files->calls().size(); ++i) {
      kinds += static_cast<char>('a' + static_cast<int>(prepared.files->calls()[i]));
    }
    return kinds;
  });
  ASSERT_FALSE(list.starts_with('?')) << list;
  for (const char kind : list) calls.push_back(static_cast<Call>(kind - 'a'));
  run_cases(all_cases(calls), [&](const Case& fault) {
    prepared.files->arm(fault.fault, fault.n);
    std::string what;
    const auto [status, log] = run(&what);
    const std::string failed = prepared.files->failed();
    if (!status.ok() && status.code() == StatusCode::kEngineGone && !ended_honestly(status) &&
        !trapped_in_configuration(status, log)) {
      return failed + ": " + what + " without a word: " + status.message() + "\n" + log;
    }
    // The row that is put in and taken out again may have stayed.
    prepared.files->disarm();
    remove_lock_file(*prepared.files);
    {
      Server server;
      Status again = server.start(prepared.files);
      if (again.ok()) {
        again = postgres::run_sql(server.backend(), "DELETE FROM scratch WHERE step = 0");
      }
      if (!again.ok()) return failed + ": restart: " + again.message() + "\n" + server.log();
    }
    const std::string failure = check_restart(prepared.files, prepared.steps, outcomes);
    return failure.empty() ? counted(what) : failed + ": " + failure + "\nbefore: " + log;
  });
}

}  // namespace
}  // namespace pglite::durability
