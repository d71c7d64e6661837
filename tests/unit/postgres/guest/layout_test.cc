#include "postgres/guest/layout.h"

#include <gmock/gmock.h>

#include <functional>

#include "running_backend.h"

namespace pglite::postgres {
namespace {

TEST(Layout, IsTheOneOfThisPostgres) {
  auto backend = running_backend();
  ASSERT_NE(backend, nullptr);
  const Status status = verify_layout(*backend);
  EXPECT_TRUE(status.ok()) << status.message();
}

// Members moved by what a new PostgreSQL would move them by, one at a time.
struct WrongFact {
  const char* name;
  void (*change)(Layout&);
  const char* fact;  // in the message
};

void PrintTo(const WrongFact& wrong, std::ostream* out) {
  *out << wrong.name;
}

class WrongLayout : public testing::TestWithParam<WrongFact> {};

TEST_P(WrongLayout, IsNoticed) {
  auto backend = running_backend();
  ASSERT_NE(backend, nullptr);
  Layout layout;
  GetParam().change(layout);
  const Status status = verify_layout(*backend, layout);
  EXPECT_EQ(status.code(), StatusCode::kIncompatible) << status.message();
  EXPECT_THAT(status.message(), testing::HasSubstr(GetParam().fact));
}

#define MOVED(member, by, fact)                                  \
  WrongFact {                                                    \
    #member, [](Layout& layout) { layout.member += (by); }, fact \
  }

const WrongFact kWrongFacts[] = {
    MOVED(transam_next_xid, 8, "nextXid"),
    MOVED(transam_xid_vacuum_limit, 4, "xidVacLimit"),
    MOVED(config_generic_variable, 4, "config_generic"),
    MOVED(memory_context_allocated, 4, "mem_allocated"),
    MOVED(memory_context_first_child, 4, "firstchild"),
    MOVED(memory_context_next_child, -4, "nextchild"),
    MOVED(memory_context_name, 4, "MemoryContextData.name"),
    MOVED(memory_context_ident, -4, "MemoryContextData.ident"),
    MOVED(sinval_session_count, 4, "numProcs"),
    MOVED(sinval_session_numbers, 4, "pgprocnos"),
    MOVED(sinval_sessions, 4, "procState"),
    MOVED(sinval_session_size, 4, "sizeof(ProcState)"),
    MOVED(sinval_session_pid, 4, "procPid"),
    MOVED(sinval_session_reset, 1, "resetState"),
    MOVED(sinval_session_has_messages, 1, "hasMessages"),
    MOVED(hash_table_size, 4, "HTAB"),
    MOVED(hash_table_context, -4, "HTAB"),
    MOVED(hash_table_name, 4, "HTAB"),
    MOVED(hash_scan_size, -8, "HASH_SEQ_STATUS"),
    MOVED(hash_remove, -1, "HASH_REMOVE"),
    MOVED(foreign_key_plan, -4, "RI_QueryHashEntry.plan"),
    MOVED(foreign_key_valid, 4, "RI_ConstraintInfo.valid"),
    MOVED(latch_is_set, 4, "is_set"),
    MOVED(bootstrap_superuser, 1, "BOOTSTRAP_SUPERUSERID"),
    MOVED(autovacuum_worker, 1, "B_AUTOVAC_WORKER"),
    MOVED(error_level, 1, "ERROR"),
    MOVED(feature_not_supported, 1, "ERRCODE_FEATURE_NOT_SUPPORTED"),
    MOVED(control_version, 1, "PG_CONTROL_VERSION"),
    MOVED(catalog_version, 1, "CATALOG_VERSION_NO"),
    MOVED(block_size, 1, "BLCKSZ"),
    MOVED(wal_block_size, 1, "XLOG_BLCKSZ"),
    MOVED(wal_page_magic, 1, "XLOG_PAGE_MAGIC"),
};

INSTANTIATE_TEST_SUITE_P(EachFact, WrongLayout, testing::ValuesIn(kWrongFacts),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(FindShared, FindsWhatIsThereAndNothingElse) {
  auto backend = running_backend();
  ASSERT_NE(backend, nullptr);
  const std::string size =
      value(*backend, "SELECT size FROM pg_shmem_allocations WHERE name = 'shmInvalBuffer'");
  const auto bytes = static_cast<uint32_t>(std::stoul(size));
  EXPECT_NE(find_shared(backend->process(), "shmInvalBuffer", bytes), 0U);
  // ShmemInitStruct makes what it does not find: full of zeros, and not what was asked for.
  EXPECT_EQ(find_shared(backend->process(), "shmInvalBuffer2", 64), 0U);
  EXPECT_EQ(find_shared(backend->process(), "shmInvalBuffer", 0), 0U);
}

}  // namespace
}  // namespace pglite::postgres
