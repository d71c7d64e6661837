// Archives of clusters that are open.
#include <cstdlib>
#include <fstream>

#include "client.h"
#include "pglite/archive.h"

namespace pglite::postgres {
namespace {

namespace fs = std::filesystem;

std::string dump(Instance& instance, Compression compression) {
  std::string archive;
  const Status status = instance.dump(compression, [&](std::string_view bytes) {
    archive += bytes;
    return Status();
  });
  EXPECT_TRUE(status.ok()) << status.message();
  return archive;
}

void restore(const std::string& archive, const fs::path& path) {
  size_t at = 0;
  const Status status =
      restore_data_directory(in_directory(path), [&](char* buffer, size_t size, size_t* count) {
        *count = archive.copy(buffer, size, at);
        at += *count;
        return Status();
      });
  ASSERT_TRUE(status.ok()) << status.message();
}

constexpr const char* kMake =
    "CREATE TABLE t AS SELECT g, md5(g::text) FROM generate_series(1, 5000) g";
constexpr const char* kLook = "SELECT count(*), md5(string_agg(t::text, ',' ORDER BY g)) FROM t";

class DumpTest : public testing::TestWithParam<Compression> {};

// test_interchange.py has PGlite on Node open the archive: PGLITE_TEST_ARCHIVE is where to.
TEST_P(DumpTest, AMemoryInstanceBecomesADirectory) {
  const TemporaryDirectory temporary;
  auto memory = open_instance();
  InstanceClient client(*memory);
  client.query(kMake);
  const std::string archive = dump(*memory, GetParam());
  const std::string look = client.value(kLook);
  // It goes on, and the archive does not change with it.
  EXPECT_EQ(client.query("DELETE FROM t").tags[0], "DELETE 5000");
  restore(archive, temporary.path() / "db");
  auto directory = open_instance(in_directory(temporary.path() / "db"));
  ASSERT_NE(directory, nullptr);
  EXPECT_EQ(InstanceClient(*directory).value(kLook), look);
  if (const char* file = std::getenv("PGLITE_TEST_ARCHIVE")) {
    std::ofstream(file, std::ios::binary) << archive;
  }
}

INSTANTIATE_TEST_SUITE_P(Both, DumpTest, testing::Values(Compression::kNone, Compression::kGzip),
                         [](const auto& parameter) {
                           return parameter.param == Compression::kNone ? "Plain" : "Gzip";
                         });

TEST(Dump, OfADirectoryThatIsOpen) {
  const TemporaryDirectory temporary;
  auto original = open_instance(in_directory(temporary.path() / "a"));
  InstanceClient client(*original);
  client.query(kMake);
  restore(dump(*original, Compression::kNone), temporary.path() / "b");
  auto copy = open_instance(in_directory(temporary.path() / "b"));
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(InstanceClient(*copy).value(kLook), client.value(kLook));
}

TEST(Dump, NotInATransaction) {
  auto memory = open_instance();
  InstanceClient client(*memory);
  const auto refused = [&] {
    bool called = false;
    const Status status = memory->dump(Compression::kNone, [&](std::string_view) {
      called = true;
      return Status();
    });
    EXPECT_FALSE(called);
    return status.code() == StatusCode::kInvalidArgument;
  };
  for (const char* begin : {"BEGIN", "BEGIN; SELECT 1/0"}) {
    client.query("BEGIN");
    client.query(begin);
    EXPECT_TRUE(refused()) << begin;
    client.query("ROLLBACK");
  }
  client.query("CREATE TABLE c (a int)");
  client.query("COPY c FROM STDIN");
  EXPECT_TRUE(refused());
}

TEST(Dump, WhatTheSinkSaysIsReturned) {
  auto memory = open_instance();
  const Status status = memory->dump(Compression::kGzip, [&](std::string_view) {
    EXPECT_EQ(InstanceClient(*memory).send(wire::query("SELECT 1")).status.code(),
              StatusCode::kInvalidArgument);
    return Status::io_error("full");
  });
  EXPECT_EQ(status.message(), "full");
  EXPECT_EQ(InstanceClient(*memory).value("SELECT 1"), "1");
}

}  // namespace
}  // namespace pglite::postgres
