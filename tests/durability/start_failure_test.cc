// Messages of starts over files that the host does not give.
#include "postgres/cluster/start_failure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "forwarding_filesystem.h"
#include "server.h"

namespace pglite::durability {
namespace {

using postgres::StartFailure;
using testing::HasSubstr;
using testing::Not;
using Kind = StartFailure::Kind;

class UnreadableFile : public ForwardingFile {
 public:
  using ForwardingFile::ForwardingFile;
  Result<size_t> read(std::span<std::byte>, uint64_t) override {
    return error(std::errc::io_error);
  }
};

// One file cannot be read (EIO), or not even be opened (EACCES).
class UnreadableFileSystem : public ForwardingFileSystem {
 public:
  UnreadableFileSystem(std::shared_ptr<vfs::FileSystem> inner, std::string path, std::errc how)
      : ForwardingFileSystem(std::move(inner)), path_(std::move(path)), how_(how) {}

  Result<std::unique_ptr<vfs::File>> open(std::string_view path, vfs::OpenFlags flags,
                                          uint32_t permissions) override {
    if (path == path_ && how_ == std::errc::permission_denied) return error(how_);
    auto file = ForwardingFileSystem::open(path, flags, permissions);
    if (path != path_ || !file) return file;
    return std::make_unique<UnreadableFile>(std::move(*file));
  }

 private:
  std::string path_;
  std::errc how_;
};

// The kind and the message, of a start in a process of its own.
std::string start(const std::string& path, std::errc how) {
  return in_child(60, [&]() -> std::string {
    Server server;
    const Status status =
        server.start(std::make_shared<UnreadableFileSystem>(make_data_directory(), path, how));
    if (status.ok()) return "it started";
    std::vector<std::string> lines;
    std::istringstream log(server.log());
    for (std::string line; std::getline(log, line);) lines.push_back(line);
    const StartFailure failure = postgres::explain_start_failure("/srv/db", lines, status);
    return std::to_string(failure.status.exit_code()) + " " + failure.status.message();
  });
}

TEST(StartFailure, FilesThatCannotBeRead) {
  for (const char* path :
       {"/postgresql.conf", "/postgresql.auto.conf", "/pg_hba.conf", "/global/pg_control",
        "/global/pg_filenode.map", "/global/1262", "/base/5/1259", "/base/5/pg_filenode.map",
        "/pg_wal/000000010000000000000001", "/pg_xact/0000"}) {
    for (const std::errc how : {std::errc::io_error, std::errc::permission_denied}) {
      // PostgreSQL goes on without this one where it cannot be opened.
      if (path == std::string_view("/postgresql.auto.conf") && how != std::errc::io_error) continue;
      const std::string said = start(path, how);
      const std::string what =
          std::string(path) + ": " + std::make_error_code(how).message() + ": " + said;
      EXPECT_THAT(said, testing::StartsWith("74 data directory \"/srv/db\": PostgreSQL did not "
                                            "start: "))
          << what;
      EXPECT_THAT(said, Not(HasSubstr("trap"))) << what;
      EXPECT_THAT(said, Not(HasSubstr("/pglite/data"))) << what;
      // The file's own name.
      EXPECT_THAT(said, HasSubstr(std::string(path).substr(std::string(path).rfind('/') + 1)))
          << what;
    }
  }
}

StartFailure explain(const std::vector<std::string>& log) {
  return postgres::explain_start_failure("./db", log, Status::engine_gone("it trapped"));
}

TEST(StartFailure, SaysWhatTheLogSays) {
  const StartFailure failure = explain(
      {"2026-11-23 17:12:43.286 UTC [42] LOG:  database system was interrupted; last known "
       "up at 2026-11-23 17:12:40 UTC",
       "2026-11-23 17:12:35.935 UTC [42] LOG:  invalid magic number 0000 in WAL segment "
       "000000010000000000000001, LSN 0/1000000, offset 0",
       "2026-11-23 17:12:35.935 UTC [42] LOG:  invalid checkpoint record",
       "2026-11-23 17:12:35.935 UTC [42] PANIC:  could not locate a valid checkpoint record "
       "at 0/1839380"});
  EXPECT_EQ(failure.kind, Kind::kWal);
  EXPECT_EQ(failure.reason,
            "PANIC:  could not locate a valid checkpoint record at 0/1839380 (invalid magic number "
            "0000 in WAL segment 000000010000000000000001, LSN 0/1000000, offset 0)");
  EXPECT_EQ(failure.status.code(), StatusCode::kIncompatible);
  EXPECT_THAT(failure.status.message(), HasSubstr("pglite-port repair --reset-wal -D ./db"));
}

TEST(StartFailure, WhatItDoesNotKnowStaysAsItIs) {
  for (const std::vector<std::string>& log :
       {std::vector<std::string>(),
        {"2026-11-23 17:12:35.935 UTC [42] FATAL:  database \"shop\" does not exist"}}) {
    const StartFailure failure = explain(log);
    EXPECT_EQ(failure.kind, Kind::kOther);
    EXPECT_EQ(failure.status.message(), "it trapped");
    EXPECT_EQ(failure.status.code(), StatusCode::kEngineGone);
  }
}

}  // namespace
}  // namespace pglite::durability
