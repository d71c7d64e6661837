// The C API. What it stands on has tests of its own; here is what is the C API's: handles, options,
// callbacks, threads. Suites whose names begin with Cancel or Instances run under ThreadSanitizer,
// too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "pglite/pglite.h"
#include "wire/frontend_message.h"

namespace pglite {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// An error as a place to give to functions.
class Error {
 public:
  Error() = default;
  ~Error() { pglite_error_free(error_); }
  Error(const Error&) = delete;
  Error& operator=(const Error&) = delete;

  pglite_error** place() {
    pglite_error_free(error_);
    return &error_;
  }
  [[nodiscard]] const pglite_error* get() const { return error_; }
  [[nodiscard]] std::string message() const { return pglite_error_message(error_); }

 private:
  pglite_error* error_ = nullptr;
};

// A database in memory, and its last answer.
class CDatabase {
 public:
  explicit CDatabase(const pglite_options* options = nullptr) {
    EXPECT_EQ(pglite_open(options, &db, error.place()), PGLITE_OK) << error.message();
  }
  explicit CDatabase(pglite_db* opened) : db(opened) {}
  ~CDatabase() {
    if (db != nullptr) EXPECT_EQ(pglite_close(db, error.place()), PGLITE_OK) << error.message();
  }
  CDatabase(const CDatabase&) = delete;
  CDatabase& operator=(const CDatabase&) = delete;

  pglite_status query(const char* sql, const std::vector<const char*>& parameters = {}) {
    rows.clear();
    names.clear();
    return pglite_query(db, sql, parameters.size(), parameters.data(), add, this, error.place());
  }
  // The first row of a query that must go well.
  std::string ask(const char* sql) {
    EXPECT_EQ(query(sql), PGLITE_OK) << error.message();
    return rows.empty() ? "" : rows[0];
  }

  pglite_db* db = nullptr;
  Error error;
  std::vector<std::string> rows;  // values joined by '|', NULL as "null"
  std::string names;
  std::function<int32_t()> at_row;

 private:
  static int32_t add(void* user_data, size_t count, const char* const* names,
                     const char* const* values) {
    auto& self = *static_cast<CDatabase*>(user_data);
    std::string row;
    self.names.clear();
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) row += '|';
      row += values[i] == nullptr ? "null" : values[i];
      self.names += std::string(names[i]) + ' ';
    }
    self.rows.push_back(std::move(row));
    return self.at_row ? self.at_row() : 0;
  }
};

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "c_api_test.XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] std::string operator/(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

int32_t append(void* user_data, const char* bytes, size_t size) {
  static_cast<std::string*>(user_data)->append(bytes, size);
  return 0;
}

void append_response(void* user_data, const char* bytes, size_t size) {
  append(user_data, bytes, size);
}

TEST(CApi, RunsSql) {
  CDatabase db;
  EXPECT_EQ(db.query("select 1 as one, null as nothing, '' as empty union all select 2, 'x', 'ä'"),
            PGLITE_OK);
  EXPECT_THAT(db.rows, ElementsAre("1|null|", "2|x|ä"));
  EXPECT_EQ(db.names, "one nothing empty ");
  EXPECT_EQ(pglite_row_count(db.db), 2);
  EXPECT_EQ(db.query("create table t (a int); insert into t values (1), (2), (3)"), PGLITE_OK);
  EXPECT_EQ(pglite_row_count(db.db), 3);
  EXPECT_EQ(db.query("select from t"), PGLITE_OK);
  EXPECT_THAT(db.rows, ElementsAre("", "", ""));
  EXPECT_EQ(db.query("create table u ()"), PGLITE_OK);
  EXPECT_EQ(pglite_row_count(db.db), -1);
  EXPECT_EQ(db.query(""), PGLITE_OK);
  EXPECT_EQ(pglite_query(db.db, "select 1", 0, nullptr, nullptr, nullptr, nullptr), PGLITE_OK);
}

TEST(CApi, HasParameters) {
  CDatabase db;
  EXPECT_EQ(db.query("select $1::int + 1, $2::text, $3::text", {"41", "it's", nullptr}), PGLITE_OK);
  EXPECT_THAT(db.rows, ElementsAre("42|it's|null"));
  EXPECT_EQ(db.query("select $1::int", {"x"}), PGLITE_SQL_ERROR);
  EXPECT_STREQ(pglite_error_sqlstate(db.error.get()), "22P02");
  EXPECT_EQ(db.query("select 1; select $1", {"x"}), PGLITE_SQL_ERROR);
  EXPECT_EQ(db.ask("select 5"), "5");
}

TEST(CApi, AnErrorHasItsParts) {
  CDatabase db;
  EXPECT_EQ(db.query("do $$begin raise exception 'm' using detail = 'd', hint = 'h', errcode = "
                     "'12345'; end$$"),
            PGLITE_SQL_ERROR);
  EXPECT_EQ(pglite_error_status(db.error.get()), PGLITE_SQL_ERROR);
  EXPECT_STREQ(pglite_error_message(db.error.get()), "m");
  EXPECT_STREQ(pglite_error_sqlstate(db.error.get()), "12345");
  EXPECT_STREQ(pglite_error_detail(db.error.get()), "d");
  EXPECT_STREQ(pglite_error_hint(db.error.get()), "h");
  // The first one, and nothing after it.
  EXPECT_EQ(db.query("select 1; select 1/0; select 2"), PGLITE_SQL_ERROR);
  EXPECT_STREQ(pglite_error_sqlstate(db.error.get()), "22012");
  EXPECT_THAT(db.rows, ElementsAre("1"));
  EXPECT_EQ(db.query("select 1"), PGLITE_OK);
  EXPECT_EQ(db.error.get(), nullptr);
  EXPECT_STREQ(pglite_error_message(nullptr), "");
  EXPECT_EQ(pglite_error_status(nullptr), PGLITE_OK);
}

TEST(CApi, NullIsAnErrorOrNothing) {
  Error error;
  EXPECT_EQ(pglite_open(nullptr, nullptr, error.place()), PGLITE_INVALID_ARGUMENT);
  EXPECT_THAT(error.message(), HasSubstr("NULL"));
  EXPECT_EQ(pglite_open(nullptr, nullptr, nullptr), PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_close(nullptr, error.place()), PGLITE_OK);
  EXPECT_EQ(error.get(), nullptr);
  pglite_error_free(nullptr);
  pglite_snapshot_free(nullptr);
  pglite_cancel(nullptr);
  EXPECT_EQ(pglite_row_count(nullptr), -1);
  EXPECT_EQ(pglite_idle_wait(nullptr), -1);
  pglite_db* copy = nullptr;
  pglite_snapshot* snapshot = nullptr;
  std::string bytes;
  EXPECT_EQ(pglite_query(nullptr, "select 1", 0, nullptr, nullptr, nullptr, error.place()),
            PGLITE_INVALID_ARGUMENT);
  EXPECT_THAT(error.message(), HasSubstr("NULL"));
  EXPECT_EQ(pglite_exec(nullptr, "", 0, append_response, &bytes, nullptr), PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_idle(nullptr, nullptr, nullptr, nullptr), PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_clone(nullptr, &copy, nullptr), PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_snapshot_take(nullptr, &snapshot, nullptr), PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_snapshot_save(nullptr, "/nowhere", nullptr), PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_snapshot_load(nullptr, &snapshot, nullptr), PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_snapshot_load("/nowhere", nullptr, nullptr), PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_dump(nullptr, PGLITE_COMPRESSION_NONE, append, &bytes, nullptr),
            PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_restore(nullptr, nullptr, nullptr, nullptr), PGLITE_INVALID_ARGUMENT);

  CDatabase db;
  EXPECT_EQ(pglite_query(db.db, nullptr, 0, nullptr, nullptr, nullptr, nullptr),
            PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_query(db.db, "select $1", 1, nullptr, nullptr, nullptr, nullptr),
            PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_exec(db.db, nullptr, 1, append_response, &bytes, nullptr),
            PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_clone(db.db, nullptr, nullptr), PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_snapshot_take(db.db, nullptr, nullptr), PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_dump(db.db, PGLITE_COMPRESSION_NONE, nullptr, nullptr, nullptr),
            PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_dump(db.db, 7, append, &bytes, nullptr), PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(pglite_dump_sql(db.db, nullptr, PGLITE_COMPRESSION_NONE, nullptr, nullptr, nullptr),
            PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(db.ask("select 1"), "1");
}

TEST(CApi, AHandleOfAnotherKindIsRefused) {
  CDatabase db;
  pglite_snapshot* snapshot = nullptr;
  ASSERT_EQ(pglite_snapshot_take(db.db, &snapshot, nullptr), PGLITE_OK);
  Error error;
  auto* wrong_db = reinterpret_cast<pglite_db*>(snapshot);
  auto* wrong_snapshot = reinterpret_cast<pglite_snapshot*>(db.db);
  EXPECT_EQ(pglite_query(wrong_db, "select 1", 0, nullptr, nullptr, nullptr, error.place()),
            PGLITE_INVALID_ARGUMENT);
  EXPECT_THAT(error.message(), HasSubstr("no database's"));
  EXPECT_EQ(pglite_close(wrong_db, nullptr), PGLITE_INVALID_ARGUMENT);
  pglite_cancel(wrong_db);
  EXPECT_EQ(pglite_snapshot_save(wrong_snapshot, "/nowhere", nullptr), PGLITE_INVALID_ARGUMENT);
  pglite_snapshot_free(wrong_snapshot);
  pglite_options options = PGLITE_OPTIONS_INIT;
  options.snapshot = wrong_snapshot;
  pglite_db* opened = nullptr;
  EXPECT_EQ(pglite_open(&options, &opened, nullptr), PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(opened, nullptr);
  pglite_snapshot_free(snapshot);
}

TEST(CApi, OptionsOfAnotherVersionAreUnderstoodOrRefused) {
  struct Later {
    pglite_options known = PGLITE_OPTIONS_INIT;
    void* unknown = nullptr;
  };
  Later later;
  later.known.size = sizeof later;
  {
    const CDatabase db(&later.known);
  }
  later.unknown = &later;
  pglite_db* db = nullptr;
  Error error;
  EXPECT_EQ(pglite_open(&later.known, &db, error.place()), PGLITE_INVALID_ARGUMENT);
  EXPECT_THAT(error.message(), HasSubstr("does not know"));
  for (const size_t size : {size_t{0}, size_t{8}, SIZE_MAX}) {
    later.known.size = size;
    EXPECT_EQ(pglite_open(&later.known, &db, error.place()), PGLITE_INVALID_ARGUMENT);
    EXPECT_THAT(error.message(), HasSubstr("size"));
  }
  EXPECT_EQ(db, nullptr);
}

TEST(CApi, OptionsAreFollowed) {
  const TemporaryDirectory directory;
  const std::string path = directory / "data";
  const std::array settings = {"work_mem=3MB", "application_name=c",
                               static_cast<const char*>(nullptr)};
  std::vector<std::string> lines;
  pglite_options options = PGLITE_OPTIONS_INIT;
  options.data_dir = path.c_str();
  options.username = "alice";
  options.database = "shop";
  options.durability = PGLITE_DURABILITY_OFF;
  options.settings = settings.data();
  options.debug = 1;
  options.log = [](void* data, int32_t, const char* line) {
    static_cast<std::vector<std::string>*>(data)->emplace_back(line);
  };
  options.log_user_data = &lines;
  options.must_exist = 1;
  pglite_db* none = nullptr;
  Error error;
  EXPECT_EQ(pglite_open(&options, &none, error.place()), PGLITE_IO_ERROR) << error.message();
  options.must_exist = 0;
  {
    CDatabase db(&options);
    EXPECT_EQ(db.ask("select current_user, current_database(), current_setting('work_mem'), "
                     "current_setting('application_name'), current_setting('fsync')"),
              "alice|shop|3MB|c|off");
    EXPECT_EQ(pglite_open(&options, &none, error.place()), PGLITE_IN_USE) << error.message();
  }
  EXPECT_THAT(lines, testing::Contains(HasSubstr("ready")));
  options.durability = 9;
  EXPECT_EQ(pglite_open(&options, &none, nullptr), PGLITE_INVALID_ARGUMENT);
  options.durability = 0;
  options.debug = -1;
  EXPECT_EQ(pglite_open(&options, &none, nullptr), PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(none, nullptr);
}

TEST(CApi, RunsTheProtocol) {
  CDatabase db;
  std::string answer;
  const std::string request = wire::query("select 7");
  EXPECT_EQ(pglite_exec(db.db, request.data(), request.size(), append_response, &answer, nullptr),
            PGLITE_OK);
  EXPECT_EQ(answer[0], 'T');
  EXPECT_THAT(answer, HasSubstr("SELECT 1"));
  EXPECT_EQ(pglite_exec(db.db, nullptr, 0, append_response, &answer, nullptr), PGLITE_OK);
  EXPECT_EQ(pglite_exec(db.db, "Qx", 2, append_response, &answer, db.error.place()),
            PGLITE_INVALID_ARGUMENT);
  EXPECT_NE(db.error.message(), "");
  // A COPY goes on from call to call, and takes nothing else meanwhile.
  EXPECT_EQ(db.query("create table t (a int)"), PGLITE_OK);
  answer.clear();
  const std::string copy = wire::query("copy t from stdin");
  EXPECT_EQ(pglite_exec(db.db, copy.data(), copy.size(), append_response, &answer, nullptr),
            PGLITE_OK);
  EXPECT_EQ(answer[0], 'G');
  EXPECT_EQ(db.query("select 1"), PGLITE_INVALID_ARGUMENT);
  const std::string data = wire::copy_data("1\n2\n") + wire::copy_done();
  EXPECT_EQ(pglite_exec(db.db, data.data(), data.size(), append_response, &answer, nullptr),
            PGLITE_OK);
  EXPECT_EQ(db.ask("select sum(a) from t"), "3");
}

TEST(CApi, AQueryDoesNoCopy) {
  CDatabase db;
  EXPECT_EQ(db.query("create table t (a int)"), PGLITE_OK);
  for (const char* sql : {"copy t from stdin", "copy t to stdout", "copy t from stdin; select 1"}) {
    EXPECT_EQ(db.query(sql), PGLITE_INVALID_ARGUMENT) << sql;
    EXPECT_THAT(db.error.message(), HasSubstr("COPY")) << sql;
    EXPECT_EQ(db.ask("select 5"), "5") << sql;
  }
}

TEST(CApi, ACallbackStopsAQuery) {
  CDatabase db;
  db.at_row = [&] { return db.rows.size() == 3 ? 1 : 0; };
  EXPECT_EQ(db.query("select generate_series(1, 1000000000::bigint)"), PGLITE_STOPPED);
  EXPECT_THAT(db.rows, ElementsAre("1", "2", "3"));
  EXPECT_EQ(db.query("select * from generate_series(1, 3)"), PGLITE_STOPPED);
  db.at_row = nullptr;
  EXPECT_EQ(db.ask("select 5"), "5");
}

// Where callbacks have run, as far as an address can tell.
struct Place {
  const char* caller = nullptr;
  int calls = 0;
  int elsewhere = 0;

  void note() {
    const auto* here = static_cast<const char*>(__builtin_frame_address(0));
    ++calls;
    // The stacks of guests are far away.
    if (static_cast<size_t>(here > caller ? here - caller : caller - here) > size_t{1} << 20) {
      ++elsewhere;
    }
  }
  bool all_here() {
    const bool all = calls > 0 && elsewhere == 0;
    calls = 0;
    return all;
  }
};

// Go, the JVM and CPython die of a call on a stack that they do not know.
TEST(CApi, CallbacksRunOnTheCallersStack) {
  Place place{.caller = static_cast<const char*>(__builtin_frame_address(0))};
  pglite_options options = PGLITE_OPTIONS_INIT;
  options.debug = 1;
  options.log = [](void* data, int32_t, const char*) { static_cast<Place*>(data)->note(); };
  options.log_user_data = &place;
  CDatabase db(&options);
  EXPECT_TRUE(place.all_here());
  options.log = nullptr;
  EXPECT_EQ(db.query("do $$begin raise log 'hello'; end$$"), PGLITE_OK);
  EXPECT_TRUE(place.all_here()) << "log";
  db.at_row = [&] {
    place.note();
    return 0;
  };
  EXPECT_EQ(db.query("select * from generate_series(1, 10000)"), PGLITE_OK);
  EXPECT_EQ(place.calls, 10000);
  EXPECT_TRUE(place.all_here()) << "row";
  const std::string request = wire::query("select * from generate_series(1, 10000)");
  EXPECT_EQ(pglite_exec(
                db.db, request.data(), request.size(),
                [](void* data, const char*, size_t) { static_cast<Place*>(data)->note(); }, &place,
                nullptr),
            PGLITE_OK);
  EXPECT_TRUE(place.all_here()) << "response";
  const auto write = [](void* data, const char*, size_t) {
    static_cast<Place*>(data)->note();
    return 0;
  };
  EXPECT_EQ(pglite_dump(db.db, PGLITE_COMPRESSION_GZIP, write, &place, nullptr), PGLITE_OK);
  EXPECT_TRUE(place.all_here()) << "dump";
  EXPECT_EQ(pglite_dump_sql(db.db, nullptr, PGLITE_COMPRESSION_NONE, write, &place, nullptr),
            PGLITE_OK);
  EXPECT_TRUE(place.all_here()) << "SQL dump";
}

TEST(CApi, ACallFromACallbackIsRefused) {
  CDatabase db;
  pglite_status query = PGLITE_OK;
  pglite_status close = PGLITE_OK;
  db.at_row = [&] {
    query = pglite_query(db.db, "select 1", 0, nullptr, nullptr, nullptr, nullptr);
    close = pglite_close(db.db, nullptr);
    EXPECT_EQ(pglite_row_count(db.db), -1);
    EXPECT_EQ(pglite_idle_wait(db.db), -1);
    CDatabase other;  // of another one it may use everything
    EXPECT_EQ(other.ask("select 2"), "2");
    return 0;
  };
  EXPECT_EQ(db.query("select 1"), PGLITE_OK);
  EXPECT_EQ(query, PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(close, PGLITE_INVALID_ARGUMENT);
}

TEST(CApi, WhatACallbackThrowsStaysInside) {
  {
    CDatabase db;
    db.at_row = []() -> int32_t { throw std::runtime_error("thrown"); };
    EXPECT_EQ(db.query("select 1"), PGLITE_ENGINE_GONE);
    EXPECT_THAT(db.error.message(), HasSubstr("thrown"));
    EXPECT_EQ(db.query("select 1"), PGLITE_ENGINE_GONE);
    pglite_db* copy = nullptr;
    EXPECT_EQ(pglite_clone(db.db, &copy, nullptr), PGLITE_ENGINE_GONE);
    (void)pglite_close(std::exchange(db.db, nullptr), nullptr);
  }
  CDatabase db;
  EXPECT_EQ(pglite_dump(
                db.db, PGLITE_COMPRESSION_NONE,
                [](void*, const char*, size_t) -> int32_t { throw std::runtime_error("thrown"); },
                nullptr, db.error.place()),
            PGLITE_IO_ERROR);
  EXPECT_EQ(db.ask("select 5"), "5");
}

TEST(CApi, AChildOfAForkMayNotUseIt) {
  CDatabase db;
  EXPECT_EQ(db.ask("select 1"), "1");
  const pid_t child = fork();
  if (child == 0) {
    pglite_error* error = nullptr;
    const bool refused = pglite_query(db.db, "select 1", 0, nullptr, nullptr, nullptr, &error) ==
                             PGLITE_INVALID_ARGUMENT &&
                         std::strstr(pglite_error_message(error), "fork") != nullptr &&
                         pglite_close(db.db, nullptr) == PGLITE_INVALID_ARGUMENT;
    pglite_cancel(db.db);
    pglite_db* own = nullptr;
    const bool opens =
        pglite_open(nullptr, &own, nullptr) == PGLITE_OK &&
        pglite_query(own, "select 1", 0, nullptr, nullptr, nullptr, nullptr) == PGLITE_OK &&
        pglite_close(own, nullptr) == PGLITE_OK;
    _exit(!refused ? 1 : !opens ? 2 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(db.ask("select 2"), "2");
}

TEST(CApi, SnapshotsStartDatabases) {
  const TemporaryDirectory directory;
  CDatabase db;
  db.ask("create table t as select 1 as a");
  pglite_snapshot* snapshot = nullptr;
  EXPECT_EQ(db.query("begin"), PGLITE_OK);
  EXPECT_EQ(pglite_snapshot_take(db.db, &snapshot, db.error.place()), PGLITE_INVALID_ARGUMENT);
  EXPECT_EQ(snapshot, nullptr);
  EXPECT_EQ(db.query("rollback"), PGLITE_OK);
  ASSERT_EQ(pglite_snapshot_take(db.db, &snapshot, nullptr), PGLITE_OK);
  const std::string file = directory / "snapshot";
  EXPECT_EQ(pglite_snapshot_save(snapshot, file.c_str(), nullptr), PGLITE_OK);
  pglite_options options = PGLITE_OPTIONS_INIT;
  options.snapshot = snapshot;
  CDatabase first(&options);
  pglite_snapshot_free(snapshot);
  EXPECT_EQ(first.ask("update t set a = a + 1 returning a"), "2");
  pglite_snapshot* loaded = nullptr;
  ASSERT_EQ(pglite_snapshot_load(file.c_str(), &loaded, nullptr), PGLITE_OK);
  options.snapshot = loaded;
  CDatabase second(&options);
  pglite_snapshot_free(loaded);
  EXPECT_EQ(second.ask("select a from t"), "1");
  EXPECT_EQ(db.ask("select a from t"), "1");
  EXPECT_EQ(pglite_snapshot_load((directory / "none").c_str(), &loaded, db.error.place()),
            PGLITE_IO_ERROR);
  EXPECT_EQ(loaded, nullptr);
  EXPECT_EQ(pglite_snapshot_load("/etc/passwd", &loaded, nullptr), PGLITE_INCOMPATIBLE);
}

TEST(CApi, ClonesAreIndependent) {
  CDatabase db;
  db.ask("create table t as select 1 as a");
  pglite_db* handle = nullptr;
  ASSERT_EQ(pglite_clone(db.db, &handle, nullptr), PGLITE_OK);
  CDatabase copy(handle);
  EXPECT_EQ(copy.ask("update t set a = 2 returning a"), "2");
  EXPECT_EQ(db.ask("select a from t"), "1");
}

struct Reading {
  std::string bytes;
  size_t at = 0;
};

int64_t read_some(void* user_data, char* buffer, size_t size) {
  auto& self = *static_cast<Reading*>(user_data);
  const size_t count = std::min({size, self.bytes.size() - self.at, size_t{12345}});
  std::copy_n(self.bytes.data() + self.at, count, buffer);
  self.at += count;
  return static_cast<int64_t>(count);
}

TEST(CApi, DumpsAndRestores) {
  const TemporaryDirectory directory;
  const std::string path = directory / "restored";
  Reading archive;
  {
    CDatabase db;
    db.ask("create table t as select 41 as a");
    EXPECT_EQ(pglite_dump(db.db, PGLITE_COMPRESSION_GZIP, append, &archive.bytes, nullptr),
              PGLITE_OK);
    std::string sql;
    const std::array arguments = {"--schema-only", static_cast<const char*>(nullptr)};
    EXPECT_EQ(
        pglite_dump_sql(db.db, arguments.data(), PGLITE_COMPRESSION_NONE, append, &sql, nullptr),
        PGLITE_OK);
    EXPECT_THAT(sql, AllOf(HasSubstr("CREATE TABLE public.t"), Not(HasSubstr("COPY"))));
    const std::array wrong = {"--no-such-option", static_cast<const char*>(nullptr)};
    EXPECT_EQ(pglite_dump_sql(db.db, wrong.data(), PGLITE_COMPRESSION_NONE, append, &sql,
                              db.error.place()),
              PGLITE_TOOL_FAILED);
    EXPECT_EQ(pglite_dump(
                  db.db, PGLITE_COMPRESSION_NONE, [](void*, const char*, size_t) { return 5; },
                  nullptr, db.error.place()),
              PGLITE_IO_ERROR);
    EXPECT_THAT(db.error.message(), HasSubstr("callback"));
    EXPECT_EQ(db.ask("select a from t"), "41");
  }
  pglite_options options = PGLITE_OPTIONS_INIT;
  options.data_dir = path.c_str();
  options.durability = PGLITE_DURABILITY_OFF;
  Error error;
  EXPECT_EQ(pglite_restore(
                &options, [](void*, char*, size_t) { return int64_t{-1}; }, nullptr, error.place()),
            PGLITE_IO_ERROR);
  EXPECT_EQ(pglite_restore(
                &options, [](void*, char*, size_t size) { return static_cast<int64_t>(size) + 1; },
                nullptr, error.place()),
            PGLITE_IO_ERROR);
  ASSERT_EQ(pglite_restore(&options, read_some, &archive, error.place()), PGLITE_OK)
      << error.message();
  archive.at = 0;
  EXPECT_EQ(pglite_restore(&options, read_some, &archive, error.place()), PGLITE_INCOMPATIBLE);
  options.must_exist = 1;
  CDatabase db(&options);
  EXPECT_EQ(db.ask("select a from t"), "41");
}

TEST(CApi, ASessionThatEndsSaysWhy) {
  CDatabase db;
  EXPECT_EQ(db.query("set idle_session_timeout = 1"), PGLITE_OK);
  pglite_status status = PGLITE_OK;
  std::string answer;
  while (status == PGLITE_OK) {
    const int64_t wait = pglite_idle_wait(db.db);
    ASSERT_GE(wait, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(wait));
    status = pglite_idle(db.db, append_response, &answer, db.error.place());
  }
  EXPECT_EQ(status, PGLITE_SESSION_ENDED);
  EXPECT_THAT(answer, HasSubstr("57P05"));
  EXPECT_NE(db.query("select 1"), PGLITE_OK);
  (void)pglite_close(std::exchange(db.db, nullptr), nullptr);
}

bool is_blocked(int signal) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

// A trap of the guest's would kill a thread that blocks its signal.
TEST(CApi, AThreadThatBlocksEverythingKeepsItsMask) {
  std::thread([] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    CDatabase db;
    db.at_row = [] {
      EXPECT_FALSE(is_blocked(SIGSEGV));
      EXPECT_TRUE(is_blocked(SIGTERM));
      return 0;
    };
    EXPECT_EQ(db.ask("select 1"), "1");
    for (const int signal : {SIGSEGV, SIGBUS, SIGURG, SIGALRM, SIGTERM}) {
      EXPECT_TRUE(is_blocked(signal)) << signal;
    }
  }).join();
}

TEST(CApi, KnowsItsVersions) {
  EXPECT_THAT(pglite_version(), StartsWith("0."));
  EXPECT_THAT(pglite_pglite_version(), StartsWith("0."));
  EXPECT_THAT(pglite_postgres_version(), StartsWith("18."));
}

TEST(CancelThroughC, EndsAQueryOfAnotherThread) {
  CDatabase db;
  std::atomic<bool> done = false;
  std::thread canceller([&] {
    while (!done) {
      pglite_cancel(db.db);
      std::this_thread::yield();
    }
  });
  EXPECT_EQ(db.query("select pg_sleep(3600)"), PGLITE_SQL_ERROR);
  done = true;
  canceller.join();
  EXPECT_STREQ(pglite_error_sqlstate(db.error.get()), "57014");
  EXPECT_EQ(db.ask("select 5"), "5");
}

TEST(CancelThroughC, ReachesFromACallback) {
  CDatabase db;
  db.at_row = [&] {
    pglite_cancel(db.db);
    return 0;
  };
  EXPECT_EQ(db.query("select generate_series(1, 1000000000::bigint)"), PGLITE_SQL_ERROR);
  EXPECT_STREQ(pglite_error_sqlstate(db.error.get()), "57014");
}

TEST(InstancesThroughC, AreUsedByManyThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([i] {
      CDatabase db;
      const std::string number = std::to_string(i);
      for (int j = 0; j < 20; ++j) {
        EXPECT_EQ(db.query("select $1::int * 2", {number.c_str()}), PGLITE_OK);
        EXPECT_THAT(db.rows, ElementsAre(std::to_string(2 * i)));
      }
      EXPECT_EQ(db.query("select 1/0"), PGLITE_SQL_ERROR);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(InstancesThroughC, GoFromThreadToThread) {
  CDatabase db;
  for (int i = 0; i < 3; ++i) std::thread([&] { EXPECT_EQ(db.ask("select 5"), "5"); }).join();
}

TEST(InstancesThroughC, AreOneThreadsAtATime) {
  CDatabase db;
  pglite_status other = PGLITE_OK;
  db.at_row = [&] {
    std::thread([&] {
      other = pglite_query(db.db, "select 1", 0, nullptr, nullptr, nullptr, nullptr);
    }).join();
    return 0;
  };
  EXPECT_EQ(db.query("select 1"), PGLITE_OK);
  EXPECT_EQ(other, PGLITE_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace pglite
