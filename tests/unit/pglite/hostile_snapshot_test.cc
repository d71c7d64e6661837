// Snapshots that somebody made to do harm, through the public API.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "pglite/snapshot.h"
#include "postgres/snapshot/snapshot_format.h"
#include "postgres/version.h"
#include "session_client.h"

namespace pglite::postgres {
namespace {

class HostileSnapshotTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "snapshot-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory = pattern;
    const auto instance = open_instance();
    ASSERT_NE(instance, nullptr);
    InstanceClient(*instance).query("CREATE TABLE t AS SELECT generate_series(1, 100) AS a");
    std::shared_ptr<const Snapshot> snapshot;
    ASSERT_TRUE(instance->snapshot(&snapshot).ok());
    ASSERT_TRUE(snapshot->save(path()).ok());
    std::ifstream file(path(), std::ios::binary);
    good.assign(std::istreambuf_iterator<char>(file), {});
    const Status status =
        read_snapshot(std::as_bytes(std::span(good)), "good", SnapshotOrigin::kFile, &contents);
    ASSERT_TRUE(status.ok()) << status.message();
  }
  void TearDown() override { std::filesystem::remove_all(directory); }

  [[nodiscard]] std::string path() const { return directory / "test.snapshot"; }
  void write(const std::string& bytes) const {
    // Not in place: the good one may be mapped.
    std::filesystem::remove(path());
    std::ofstream(path(), std::ios::binary) << bytes;
  }
  // The snapshot with another state, its pages where they were in memory and its checksum right.
  [[nodiscard]] std::string with_state(const std::string& state) const {
    SnapshotTables tables = contents.tables;
    uint64_t at = pages_offset(state.size(), encode_tables(tables).size());
    std::string pages;
    for (PageRun& run : tables.runs) {
      pages.append(good, run.file_offset, run.size);
      run.file_offset = at;
      at += run.size;
    }
    const std::string encoded = encode_tables(tables);
    const SnapshotHeader sealed =
        make_header(SnapshotKind::kProcess, state, encoded, at, contents.tree.size());
    std::string bytes(reinterpret_cast<const char*>(&sealed), sizeof sealed);
    bytes += state;
    bytes += encoded;
    bytes.resize(pages_offset(state.size(), encoded.size()));
    bytes += pages;
    bytes.resize(sealed.tree_offset);
    bytes.append(reinterpret_cast<const char*>(contents.tree.data()), contents.tree.size());
    return bytes;
  }
  // What comes of opening the snapshot in `path()`.
  [[nodiscard]] std::string opened() const {
    Options options;
    Status status = Snapshot::load(path(), &options.snapshot);
    if (!status.ok()) return "not loaded: " + status.message();
    std::unique_ptr<Instance> instance;
    status = Instance::open(options, &instance);
    if (!status.ok()) return "not opened: " + status.message();
    InstanceClient client(*instance);
    client.query("DO $$ BEGIN PERFORM 1; END $$");
    return client.value("SELECT count(*) FROM t");
  }
  // The signal that ended a process which opened the snapshot; 0: it ended by itself. A guest may
  // run for ever, and is stopped then.
  [[nodiscard]] int fate() const {
    return fate_of([this] { (void)opened(); });
  }
  [[nodiscard]] int fate_of_cluster() const {
    return fate_of([this] {
      Options options;
      std::unique_ptr<Cluster> cluster;
      std::unique_ptr<Session> session;
      if (!Snapshot::load(path(), &options.snapshot).ok() ||
          !Cluster::open(options, &cluster).ok() || !cluster->connect({}, &session).ok()) {
        return;
      }
      SessionClient client(std::move(session));
      client.query("SELECT count(*) FROM t");
      client.query("CHECKPOINT");
    });
  }
  static int fate_of(const std::function<void()>& act) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(3);
      act();
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) != SIGALRM ? WTERMSIG(status) : 0;
  }

  std::filesystem::path directory;
  std::string good;
  SnapshotContents contents;  // refers to `good`
};

// Where the count of what the function table grew by stands in a state: in front of its first
// callback, kind and name.
size_t growth_of(std::string_view state) {
  return state.find("pgl_set_system_fn") - 12;
}

TEST_F(HostileSnapshotTest, TheTestsOwnSnapshotsOpen) {
  write(with_state(std::string(contents.state)));
  EXPECT_EQ(opened(), "100");
}

// More callbacks than the table has room for: this ended the process (SIGABRT).
TEST_F(HostileSnapshotTest, MoreCallbacksThanTheTableHolds) {
  std::string state(contents.state);
  const size_t at = growth_of(state);
  uint32_t count = 0;
  std::memcpy(&count, state.data() + at, sizeof count);
  std::string record(8, '\0');
  record[4] = 10;
  record += "read_input";
  record += std::string("\xff\xff\xff\xff\0\0\0\0\1\0\0\0", 12);
  constexpr uint32_t kMany = 262144;
  std::string records;
  for (uint32_t i = 0; i < kMany; ++i) records += record;
  count += kMany;
  std::memcpy(state.data() + at, &count, sizeof count);
  state.insert(at + sizeof count, records);
  write(with_state(state));
  EXPECT_EQ(fate(), 0);
  EXPECT_NE(opened().find("is damaged: a callback is there twice"), std::string::npos) << opened();
}

// A library that is never instantiated, whose function is in the table: calling it ended the
// process (SIGSEGV).
TEST_F(HostileSnapshotTest, AFunctionOfALibraryThatIsNotInstantiated) {
  std::string state(contents.state);
  // The first step that grows the table by a library's elements: kind 2, no name, library 0.
  const std::string elements("\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
  const size_t at = state.find(elements, growth_of(state));
  ASSERT_NE(at, std::string::npos);
  // Made one by a function of that library.
  state.replace(at, elements.size() + 4,
                std::string("\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0", 20));
  write(with_state(state));
  EXPECT_EQ(fate(), 0);
  EXPECT_NE(opened().find("is damaged: a function in the table is of no library"),
            std::string::npos)
      << opened();
}

// Memory is the guest's. Whatever is in it, the host answers with an error, or the guest goes on.
TEST_F(HostileSnapshotTest, MemoryThatIsSomethingElse) {
  std::minstd_rand random(1);  // NOLINT(bugprone-random-generator-seed): a failure can be repeated
  const auto overwrite = [&](std::string& bytes, const PageRun& run, size_t count, auto value) {
    for (size_t i = 0; i < count; ++i) {
      const uint32_t word = value();
      std::memcpy(bytes.data() + run.file_offset + random() % (run.size / 4) * 4, &word, 4);
    }
  };
  const auto& runs = contents.tables.runs;
  for (int round = 0; round < 24; ++round) {
    std::string bytes = good;
    const PageRun& run = runs[random() % runs.size()];
    switch (round % 4) {
      case 0:  // zeros, ones, noise
        bytes.replace(run.file_offset, run.size, std::string(run.size, '\0'));
        break;
      case 1:
        bytes.replace(run.file_offset, run.size, std::string(run.size, '\xff'));
        break;
      case 2:
        overwrite(bytes, run, run.size / 4, [&] { return static_cast<uint32_t>(random()); });
        break;
      default:  // addresses at the end of what there is, here and there
        overwrite(bytes, run, run.size / 64, [] { return 0xfffffff0U; });
        break;
    }
    write(bytes);
    EXPECT_EQ(fate(), 0) << "round " << round << ", pages at " << run.guest_offset;
    // A cluster ends the session first.
    if (round % 3 == 0) EXPECT_EQ(fate_of_cluster(), 0) << "round " << round;
  }
}

// So are files, and PostgreSQL boots on them.
TEST_F(HostileSnapshotTest, FilesThatAreSomethingElse) {
  auto cluster = open_cluster();
  ASSERT_NE(cluster, nullptr);
  connect(*cluster).run("CREATE TABLE t AS SELECT generate_series(1, 100) AS a");
  std::shared_ptr<const Snapshot> snapshot;
  ASSERT_TRUE(cluster->close_and_keep(&snapshot).ok());
  ASSERT_TRUE(snapshot->save(path()).ok());
  std::ifstream file(path(), std::ios::binary);
  const std::string files(std::istreambuf_iterator<char>(file), {});
  SnapshotContents parts;
  ASSERT_TRUE(
      read_snapshot(std::as_bytes(std::span(files)), "files", SnapshotOrigin::kFile, &parts).ok());
  constexpr uint64_t kPagesOffset = 40;  // in the header of a tree's image
  uint64_t first = 0;
  std::memcpy(&first, parts.tree.data() + kPagesOffset, sizeof first);
  first += files.size() - parts.tree.size();
  const size_t pages = (files.size() - first) / kBlockSize;
  ASSERT_GT(pages, 1000);
  std::minstd_rand random(1);  // NOLINT(bugprone-random-generator-seed): a failure can be repeated
  for (int round = 0; round < 12; ++round) {
    std::string bytes = files;
    // Of few pages and of all.
    for (size_t i = 0; i < (round < 6 ? 20 : pages); ++i) {
      const size_t at = first + (random() % pages) * kBlockSize;
      for (size_t word = 0; word < kBlockSize; word += 4 + 256 * (round % 3)) {
        const auto value = static_cast<uint32_t>(random());
        std::memcpy(bytes.data() + at + word, &value, sizeof value);
      }
    }
    write(bytes);
    EXPECT_EQ(fate_of_cluster(), 0) << "round " << round;
    EXPECT_EQ(fate(), 0) << "round " << round;
  }
}

TEST_F(HostileSnapshotTest, WhatIsNoFileIsRefusedAtOnce) {
  std::filesystem::remove(path());
  ASSERT_EQ(mkfifo(path().c_str(), 0600), 0);
  for (const std::string& name : {path(), directory.string(), std::string("/dev/zero")}) {
    alarm(10);  // it would wait for ever
    std::shared_ptr<const Snapshot> snapshot;
    const Status status = Snapshot::load(name, &snapshot);
    alarm(0);
    EXPECT_EQ(status.code(), StatusCode::kIncompatible) << name;
    EXPECT_NE(status.message().find("not a regular file"), std::string::npos) << status.message();
  }
}

}  // namespace
}  // namespace pglite::postgres
