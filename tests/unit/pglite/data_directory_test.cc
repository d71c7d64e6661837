// Directories on the host: whose they are, what is in them. A cluster is made once and copied.
#include "postgres/cluster/data_directory.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "client.h"
#include "postgres/build/images.h"
#include "postgres/version.h"

namespace pglite::postgres {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAreArray;

constexpr const char* kStaging = ".pglite-port-new";
constexpr const char* kCompleteStaging = ".pglite-port-new-complete";

void write_file(const fs::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

class DataDirectoryTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    made_ = std::make_unique<TemporaryDirectory>();
    auto instance = open_instance(in_directory(made_->path()));
    InstanceClient client(*instance);
    EXPECT_EQ(client.query("CREATE TABLE marker AS SELECT 42 AS n").tags[0], "SELECT 1");
    EXPECT_TRUE(instance->close().ok());
  }
  static void TearDownTestSuite() { made_.reset(); }

  DataDirectoryTest() : path(temporary.path() / "db") {}

  void copy_cluster(const fs::path& to) {
    fs::copy(made_->path(), to, fs::copy_options::recursive);
  }
  static Status open(const fs::path& path, std::unique_ptr<DataDirectory>* out) {
    return DataDirectory::open(path.string(), vfs::SyncPolicy::kIgnore, data_directory_image(),
                               false, out);
  }
  // The result of an open that is given up at once.
  static Status try_open(const fs::path& path) {
    std::unique_ptr<DataDirectory> directory;
    Status status = open(path, &directory);
    EXPECT_EQ(status.ok(), directory != nullptr);
    return status;
  }
  static std::string marker(const fs::path& path) {
    auto instance = open_instance(in_directory(path));
    return instance == nullptr ? "" : InstanceClient(*instance).value("SELECT n FROM marker");
  }

  static std::unique_ptr<TemporaryDirectory> made_;
  TemporaryDirectory temporary;
  fs::path path;
};

std::unique_ptr<TemporaryDirectory> DataDirectoryTest::made_;

TEST_F(DataDirectoryTest, MakesTheDirectoryAndAClusterInIt) {
  std::unique_ptr<DataDirectory> directory;
  const Status status = open(path, &directory);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(directory->is_new());
  EXPECT_TRUE(fs::exists(path / "PG_VERSION"));
  EXPECT_TRUE(fs::exists(path / "global/pg_control"));
  EXPECT_FALSE(fs::exists(path / kStaging));
  EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_all);
  EXPECT_TRUE(directory->filesystem()->metadata("/PG_VERSION", true));
}

TEST_F(DataDirectoryTest, TakesWhatIsThere) {
  copy_cluster(path);
  std::unique_ptr<DataDirectory> directory;
  ASSERT_TRUE(open(path, &directory).ok());
  EXPECT_FALSE(directory->is_new());
  directory.reset();
  EXPECT_EQ(marker(path), "42");
}

TEST_F(DataDirectoryTest, ASecondOpenerIsTold) {
  copy_cluster(path);
  std::unique_ptr<DataDirectory> directory;
  ASSERT_TRUE(open(path, &directory).ok());
  const Status second = try_open(path);
  EXPECT_EQ(second.code(), StatusCode::kInUse);
  EXPECT_THAT(second.message(), HasSubstr(path.string()));
  directory.reset();
  EXPECT_TRUE(try_open(path).ok());
}

TEST_F(DataDirectoryTest, AnotherProcessIsToldWho) {
  copy_cluster(path);
  std::unique_ptr<DataDirectory> directory;
  ASSERT_TRUE(open(path, &directory).ok());
  int channel[2];
  ASSERT_EQ(pipe(channel), 0);
  const pid_t child = fork();
  if (child == 0) {
    const Status status = try_open(path);
    const std::string text = std::to_string(static_cast<int>(status.code())) + status.message();
    (void)!::write(channel[1], text.data(), text.size());
    _exit(0);
  }
  close(channel[1]);
  std::string text(1000, '\0');
  text.resize(static_cast<size_t>(std::max<ssize_t>(0, ::read(channel[0], text.data(), 1000))));
  close(channel[0]);
  waitpid(child, nullptr, 0);
  EXPECT_THAT(text, testing::StartsWith(std::to_string(static_cast<int>(StatusCode::kInUse))));
  // Some file systems show another device number in /proc/locks than in stat.
  EXPECT_THAT(text, testing::AnyOf(HasSubstr("in use by process " + std::to_string(getpid())),
                                   HasSubstr("in use by another process")));
}

TEST_F(DataDirectoryTest, ADeadProcessHoldsNothing) {
  copy_cluster(path);
  const pid_t child = fork();
  if (child == 0) {
    std::unique_ptr<DataDirectory> directory;
    const bool ok = open(path, &directory).ok();
    kill(getpid(), ok ? SIGKILL : SIGABRT);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_TRUE(try_open(path).ok());
}

TEST_F(DataDirectoryTest, OtherVersionsAreRefusedUntouched) {
  for (const char* version : {"17\n", "19\n", "180\n", "", "18.1\n", "text"}) {
    fs::remove_all(path);
    fs::create_directory(path);
    write_file(path / "PG_VERSION", version);
    write_file(path / "something", "kept");
    const Status status = try_open(path);
    EXPECT_EQ(status.code(), StatusCode::kIncompatible) << version;
    EXPECT_THAT(names_in(path), UnorderedElementsAreArray({"PG_VERSION", "something"}));
  }
  write_file(path / "PG_VERSION", "16\n");
  EXPECT_THAT(try_open(path).message(), HasSubstr("PostgreSQL 16"));
}

TEST_F(DataDirectoryTest, ForeignDirectoriesAreRefusedUntouched) {
  fs::create_directory(path);
  write_file(path / "letter.txt", "dear");
  const Status status = try_open(path);
  EXPECT_EQ(status.code(), StatusCode::kIncompatible);
  EXPECT_THAT(status.message(), HasSubstr("neither empty nor a PostgreSQL data directory"));
  EXPECT_THAT(names_in(path), testing::ElementsAre("letter.txt"));
}

TEST_F(DataDirectoryTest, AFileIsNoDirectory) {
  write_file(path, "text");
  const Status status = try_open(path);
  EXPECT_EQ(status.code(), StatusCode::kIncompatible);
  EXPECT_THAT(status.message(), HasSubstr("is a file"));
  EXPECT_EQ(fs::file_size(path), 4U);
}

TEST_F(DataDirectoryTest, WhatCannotBeMadeSaysWhy) {
  const Status status = try_open(path / "not" / "there");
  EXPECT_EQ(status.code(), StatusCode::kIoError);
  EXPECT_THAT(status.message(), HasSubstr("No such file or directory"));
  EXPECT_FALSE(fs::exists(path));
  EXPECT_EQ(try_open("").code(), StatusCode::kIoError);
  EXPECT_EQ(try_open("/proc/pglite").code(), StatusCode::kIoError);
}

// --- A making that was interrupted ---

TEST_F(DataDirectoryTest, AnInterruptedInitdbStartsOver) {
  fs::create_directories(path / kStaging / "base");
  write_file(path / kStaging / "PG_VERSION", "18\n");
  std::unique_ptr<DataDirectory> directory;
  const Status status = open(path, &directory);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(directory->is_new());
  EXPECT_TRUE(fs::exists(path / "global/pg_control"));
  EXPECT_FALSE(fs::exists(path / kStaging));
}

TEST_F(DataDirectoryTest, AnInterruptedMoveIsFinished) {
  fs::create_directory(path);
  copy_cluster(path / kCompleteStaging);
  fs::rename(path / kCompleteStaging / "base", path / "base");
  fs::rename(path / kCompleteStaging / "global", path / "global");
  std::unique_ptr<DataDirectory> directory;
  const Status status = open(path, &directory);
  ASSERT_TRUE(status.ok()) << status.message();
  // Its role and database have still to be made.
  EXPECT_TRUE(directory->is_new());
  directory.reset();
  EXPECT_FALSE(fs::exists(path / kCompleteStaging));
  EXPECT_EQ(marker(path), "42");
}

TEST_F(DataDirectoryTest, TheLastStepIsMadeUpFor) {
  copy_cluster(path);
  fs::create_directory(path / kCompleteStaging);
  EXPECT_TRUE(try_open(path).ok());
  EXPECT_FALSE(fs::exists(path / kCompleteStaging));
}

TEST_F(DataDirectoryTest, AnInterruptedMakingBesideAForeignFileIsNoCluster) {
  fs::create_directory(path);
  copy_cluster(path / kStaging);
  fs::remove_all(path / kStaging / "base");
  write_file(path / "letter.txt", "dear");
  EXPECT_EQ(try_open(path).code(), StatusCode::kIncompatible);
  EXPECT_THAT(names_in(path), testing::ElementsAre("letter.txt"));
}

// --- The role and the database of a new cluster ---

TEST_F(DataDirectoryTest, AnUnfinishedClusterIsNewUntilItIsFinished) {
  std::unique_ptr<DataDirectory> directory;
  for (int i = 0; i < 2; ++i) {
    directory.reset();
    ASSERT_TRUE(DataDirectory::open(path.string(), vfs::SyncPolicy::kIgnore, data_directory_image(),
                                    i == 0, &directory)
                    .ok());
    EXPECT_TRUE(directory->is_new());
  }
  EXPECT_TRUE(directory->finish().ok());
  EXPECT_FALSE(directory->is_new());
  directory.reset();
  ASSERT_TRUE(open(path, &directory).ok());
  EXPECT_FALSE(directory->is_new());
  EXPECT_FALSE(fs::exists(path / names::kUnfinished));
}

TEST_F(DataDirectoryTest, NamesThatWereNotMadeAreMadeLater) {
  for (const bool role_is_there : {false, true}) {
    fs::remove_all(path);
    std::unique_ptr<DataDirectory> directory;
    ASSERT_TRUE(DataDirectory::open(path.string(), vfs::SyncPolicy::kIgnore, data_directory_image(),
                                    true, &directory)
                    .ok());
    directory.reset();
    if (role_is_there) {
      fs::remove(path / names::kUnfinished);
      InstanceClient(*open_instance(in_directory(path))).query("CREATE ROLE alice SUPERUSER LOGIN");
      write_file(path / names::kUnfinished, "");
    }
    Options options = in_directory(path);
    options.username = "alice";
    options.database = "shop";
    for (int i = 0; i < 2; ++i) {
      auto instance = open_instance(options);
      ASSERT_NE(instance, nullptr);
      EXPECT_EQ(InstanceClient(*instance).value("SELECT current_user, current_database()"),
                "alice|shop");
      EXPECT_FALSE(fs::exists(path / names::kUnfinished));
    }
    // It is a cluster like any other now.
    options.username = "bob";
    EXPECT_EQ(open_fails(options).code(), StatusCode::kInvalidArgument);
  }
}

TEST_F(DataDirectoryTest, ANameThatCannotBeMadeLeavesTheClusterNew) {
  Options options = in_directory(path);
  options.username = "pg_reserved";
  EXPECT_EQ(open_fails(options).code(), StatusCode::kInvalidArgument);
  options.username = "alice";
  EXPECT_EQ(InstanceClient(*open_instance(options)).value("SELECT current_user"), "alice");
}

TEST_F(DataDirectoryTest, AKillAtAnyMomentLeavesADirectoryThatOpens) {
  for (const int milliseconds : {1, 5, 10, 20, 40, 80, 160}) {
    fs::remove_all(path);
    const pid_t child = fork();
    if (child == 0) {
      std::unique_ptr<DataDirectory> directory;
      _exit(open(path, &directory).ok() ? 0 : 1);
    }
    usleep(static_cast<useconds_t>(milliseconds * 1000));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    EXPECT_TRUE(try_open(path).ok()) << "after " << milliseconds << " ms";
    EXPECT_TRUE(fs::exists(path / "PG_VERSION"));
    EXPECT_FALSE(fs::exists(path / kStaging));
  }
}

// --- What was locked is what is used ---

TEST_F(DataDirectoryTest, AReplacedPathIsNotTakenForTheLockedDirectory) {
  const fs::path moved = temporary.path() / "moved";
  std::unique_ptr<DataDirectory> directory;
  const Status status = DataDirectory::create(
      path.string(), vfs::SyncPolicy::kIgnore,
      [&](StagedCluster& cluster) {
        fs::rename(path, moved);
        fs::create_directory(path);
        return fill_from_template(data_directory_image(), false, cluster);
      },
      &directory);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(directory->filesystem()->metadata("/PG_VERSION", true));
  EXPECT_THAT(names_in(path), IsEmpty());
  EXPECT_TRUE(fs::exists(moved / "PG_VERSION"));
  EXPECT_EQ(try_open(moved).code(), StatusCode::kInUse);
}

TEST_F(DataDirectoryTest, AReplacedPathIsNotRemovedAfterAFailure) {
  std::unique_ptr<DataDirectory> directory;
  const Status status = DataDirectory::create(
      path.string(), vfs::SyncPolicy::kIgnore,
      [&](StagedCluster&) {
        fs::rename(path, temporary.path() / "moved");
        fs::create_directory(path);
        return Status::io_error("for once");
      },
      &directory);
  EXPECT_EQ(status.message(), "for once");
  EXPECT_TRUE(fs::exists(path));
  EXPECT_THAT(names_in(temporary.path() / "moved"), IsEmpty());
}

// --- postmaster.pid ---

TEST_F(DataDirectoryTest, AGuestsLockFileIsStale) {
  copy_cluster(path);
  write_file(path / "postmaster.pid", "-42\n/pglite/data\n1795446784\n5432\n\n\n");
  EXPECT_TRUE(try_open(path).ok());
  EXPECT_FALSE(fs::exists(path / "postmaster.pid"));
}

// A postmaster that misses its lock file shuts down at once.
TEST_F(DataDirectoryTest, ARunningServersDirectoryIsInUse) {
  copy_cluster(path);
  for (const std::string sign : {"", "-"}) {
    const std::string content =
        sign + std::to_string(getpid()) + "\n" + path.string() + "\n1795446784\n5432\n\n\n";
    write_file(path / "postmaster.pid", content);
    const Status status = try_open(path);
    EXPECT_EQ(status.code(), StatusCode::kInUse);
    EXPECT_THAT(status.message(), HasSubstr("process " + std::to_string(getpid())));
    std::ifstream file(path / "postmaster.pid");
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), content);
  }
}

TEST_F(DataDirectoryTest, ADamagedLockFileDoesNotMatter) {
  copy_cluster(path);
  // PostgreSQL itself would not start over any of these.
  for (const std::string& content :
       {std::string(), std::string("\n"), std::string("text"), std::string(60, '\0'),
        std::string("99999999999999999999\n/x\n"), std::string("0\n/x\n")}) {
    write_file(path / "postmaster.pid", content);
    EXPECT_TRUE(try_open(path).ok()) << content;
    EXPECT_FALSE(fs::exists(path / "postmaster.pid")) << content;
  }
}

}  // namespace
}  // namespace pglite::postgres
