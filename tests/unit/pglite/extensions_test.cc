// The same side modules in many instances of one process: each has its own copy of a module's data,
// at its own place, in its own order of loading.
#include <array>
#include <thread>

#include "client.h"

namespace pglite::postgres {
namespace {

constexpr std::array kExtensions = {"vector", "pg_trgm", "hstore", "citext", "pgcrypto", "ltree"};

// Creates all of them, beginning with the given one.
void create_all(InstanceClient& client, size_t first) {
  for (size_t i = 0; i < kExtensions.size(); ++i) {
    const std::string name = kExtensions[(first + i) % kExtensions.size()];
    const Answer answer = client.query("CREATE EXTENSION " + name);
    ASSERT_EQ(answer.types, "CZ") << name << ": " << answer.text();
  }
}

void expect_answers(InstanceClient& client) {
  EXPECT_EQ(client.value("SELECT '[3,4]'::vector <-> '[0,0]'"), "5");
  EXPECT_EQ(client.value("SELECT similarity('word', 'two words')::numeric(3,2)"), "0.36");
  EXPECT_EQ(client.value("SELECT 'a=>1'::hstore -> 'a'"), "1");
  EXPECT_EQ(client.value("SELECT 'A'::citext = 'a'"), "t");
  EXPECT_EQ(client.value("SELECT encode(digest('abc', 'md5'), 'hex')"),
            "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(client.value("SELECT 'a.b'::ltree @> 'a.b.c'"), "t");
  // Thrown in a module, out of it.
  EXPECT_EQ(client.value("SELECT '[1,2]'::vector <-> '[1]'"),
            "22000 different vector dimensions 2 and 1");
}

TEST(Extensions, InManyInstancesInDifferentOrders) {
  std::vector<std::unique_ptr<Instance>> instances;
  for (size_t i = 0; i < 2 * kExtensions.size(); ++i) {
    instances.push_back(open_instance());
    ASSERT_NE(instances.back(), nullptr);
    InstanceClient client(*instances.back());
    create_all(client, i);
  }
  for (int round = 0; round < 3; ++round) {
    for (const auto& instance : instances) {
      InstanceClient client(*instance);
      expect_answers(client);
    }
  }
  // A module's settings are data of its own.
  InstanceClient first(*instances.front());
  InstanceClient last(*instances.back());
  first.query("SET pg_trgm.similarity_threshold = 0.9; SET hnsw.ef_search = 7");
  EXPECT_EQ(first.value("SELECT 'word' % 'two words'"), "f");
  EXPECT_EQ(last.value("SELECT 'word' % 'two words'"), "t");
  EXPECT_EQ(last.value("SHOW hnsw.ef_search"), "40");
  instances.front().reset();
  expect_answers(last);
}

TEST(Extensions, InThreads) {
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 3; ++t) {
    threads.emplace_back([t] {
      const auto instance = open_instance();
      ASSERT_NE(instance, nullptr);
      InstanceClient client(*instance);
      create_all(client, 2 * t);
      const Answer made = client.query(
          "CREATE TABLE item AS SELECT g AS id, array[g, g % 7]::vector(2) AS v "
          "FROM generate_series(1, 500) g; CREATE INDEX ON item USING hnsw (v vector_l2_ops); "
          "SET enable_seqscan = off");
      ASSERT_EQ(made.types, "CCCZ") << made.text();
      for (int i = 1; i < 50; ++i) {
        const std::string vector = "[" + std::to_string(i) + "," + std::to_string(i % 7) + "]";
        ASSERT_EQ(client.value("SELECT id FROM item ORDER BY v <-> '" + vector + "' LIMIT 1"),
                  std::to_string(i));
        expect_answers(client);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Extensions, InClones) {
  const auto original = open_instance();
  ASSERT_NE(original, nullptr);
  InstanceClient client(*original);
  create_all(client, 3);
  expect_answers(client);
  client.query("SET pg_trgm.similarity_threshold = 0.9");
  std::vector<std::unique_ptr<Instance>> copies(4);
  for (auto& copy : copies) {
    const Status status = original->clone(&copy);
    ASSERT_TRUE(status.ok()) << status.message();
    InstanceClient copied(*copy);
    expect_answers(copied);
    EXPECT_EQ(copied.value("SELECT 'word' % 'two words'"), "f");
    // One that was not loaded before.
    EXPECT_EQ(copied.query("CREATE EXTENSION fuzzystrmatch").types, "CZ");
    EXPECT_EQ(copied.value("SELECT soundex('Anne')"), "A500");
  }
  EXPECT_TRUE(original->close().ok());
  for (const auto& copy : copies) {
    InstanceClient copied(*copy);
    expect_answers(copied);
  }
}

TEST(Extensions, ErrorsOfAModuleAreCaughtAThousandTimes) {
  const auto instance = open_instance();
  ASSERT_NE(instance, nullptr);
  InstanceClient client(*instance);
  client.query("CREATE EXTENSION vector");
  EXPECT_EQ(client
                .query("DO $$ DECLARE caught int := 0; BEGIN FOR i IN 1..1000 LOOP "
                       "BEGIN PERFORM '[1,2]'::vector <-> '[1]'; "
                       "EXCEPTION WHEN data_exception THEN caught := caught + 1; END; END LOOP; "
                       "ASSERT caught = 1000; END $$")
                .types,
            "CZ");
  EXPECT_EQ(client.value("SELECT '[3,4]'::vector <-> '[0,0]'"), "5");
}

}  // namespace
}  // namespace pglite::postgres
