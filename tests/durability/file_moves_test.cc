// What moves a cluster's files, on files that fail and under power cuts: a new cluster from the
// template, one from an archive, the end of an interrupted move, and the copy and the new WAL of a
// repair. PostgreSQL runs in none of them, so that every call can fail with every fault, and the
// power be cut behind every operation; a sample is booted.
//
// Whatever fails, a success is a whole cluster and comes after no failed sync; after an error the
// next open, on files that work, finds a whole cluster or nothing. Whenever the power is cut, the
// next open finds that too, and what was reported done is done.
//
//   PGLITE_FAULTS          how many cases of each test (60; `make fault-test` 0: all there are)
//   PGLITE_FAULT_ONLY      the number of one case, to look at a failure
//   PGLITE_POWER_CUTS      how many cuts of each kind (60; `make power-cut-test` 2000)
//   PGLITE_POWER_CUT_SEED  another set of cuts (1)
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <stdexcept>

#include "faulty_filesystem.h"
#include "postgres/build/images.h"
#include "postgres/cluster/cluster_archive.h"
#include "postgres/cluster/cluster_copy.h"
#include "postgres/cluster/control_file.h"
#include "postgres/cluster/identity.h"
#include "postgres/cluster/staging.h"
#include "postgres/cluster/wal_reset.h"
#include "postgres/guest/session_sql.h"
#include "recording_filesystem.h"
#include "server.h"
#include "subtree_filesystem.h"
#include "vfs/image.h"
#include "vfs/tree.h"

namespace pglite::durability {
namespace {

using postgres::ControlFile;
using postgres::StagedCluster;
using postgres::Staging;
using Content = Staging::Content;
using Files = std::shared_ptr<vfs::MemoryFileSystem>;

// Everything below a directory: paths, and for files their contents. Empty where it is missing.
using Tree = std::map<std::string, std::string>;

void read_tree(vfs::FileSystem& files, const std::string& root, const std::string& path,
               Tree* tree) {
  const auto directory = files.open(path, {.read = true, .directory = true}, 0);
  if (!directory) return;
  const auto entries = (*directory)->entries();
  for (const vfs::DirectoryEntry& entry : *entries) {
    const std::string name = vfs::child_path(path, entry.name);
    std::string& content = (*tree)[name.substr(root == "/" ? 0 : root.size())];
    if (S_ISDIR(entry.mode)) {
      content = "directory";
      read_tree(files, root, name, tree);
      continue;
    }
    const auto file = files.open(name, {.read = true}, 0);
    content.resize((*file)->metadata()->size);
    (void)(*file)->read(std::as_writable_bytes(std::span(content)), 0);
  }
}

Tree tree_of(vfs::FileSystem& files, const std::string& path = "/") {
  Tree tree;
  read_tree(files, path, path, &tree);
  return tree;
}

// Where two trees differ; empty where they do not.
std::string difference(const Tree& found, const Tree& expected) {
  for (const auto& [name, content] : expected) {
    const auto there = found.find(name);
    if (there == found.end()) return name + " is missing";
    if (there->second != content) return name + " differs";
  }
  for (const auto& [name, content] : found) {
    if (!expected.contains(name)) return name + " should not be there";
  }
  return "";
}

const postgres::ClusterIdentity kIdentity{.system_identifier = 42, .nonce = {}};

// A cluster in all that this is about, of some sixty files: without most of the relations, and with
// a WAL of one short segment.
Files make_small_cluster() {
  const Files files = make_data_directory();
  for (const auto& [name, content] : tree_of(*files)) {
    if (content == "directory") continue;
    const bool is_relation = name.starts_with("/base/") || name.starts_with("/global/1");
    const bool stays = name.starts_with("/base/5/12") && content.size() <= 1U << 14;
    if (is_relation && !stays) (void)files->remove_file(name);
  }
  ControlFile control;
  if (!postgres::read_control_file(*files, "", &control).ok()) throw std::logic_error("no control");
  control.wal_segment_size = 1U << 20;
  const auto bytes = postgres::encode(control);
  auto file = files->open("/global/pg_control", {.write = true}, 0);
  (void)(*file)->write(bytes, 0);
  (void)files->truncate("/pg_wal/000000010000000000000001", 1U << 20);
  if (!postgres::write_identity(*files, "", kIdentity).ok()) throw std::logic_error("no identity");
  return files;
}

std::string image_of(vfs::MemoryFileSystem& files) {
  auto image = vfs::write_image(files, "/");
  if (!image) throw std::logic_error("no image");
  return std::move(*image);
}

std::string archive_of(vfs::FileSystem& files) {
  std::string archive;
  const Status status =
      postgres::write_archive(files, "", Compression::kNone, [&](std::string_view bytes) {
        archive += bytes;
        return Status();
      });
  if (!status.ok()) throw std::logic_error(status.message());
  return archive;
}

// The cluster that all tests are about, in its three forms.
struct Cluster {
  Files files;
  Tree tree;
  std::string image;
  std::string archive;

  explicit Cluster(Files from)
      : files(std::move(from)),
        tree(tree_of(*files)),
        image(image_of(*files)),
        archive(archive_of(*files)) {}
};
const Cluster& small_cluster() {
  static const Cluster cluster(make_small_cluster());
  return cluster;
}

// Something that is done to files, and what must be there afterwards.
class Move {
 public:
  virtual ~Move() = default;
  // The files before it: the same ones, with the same inodes, each time.
  virtual Files begin() = 0;
  virtual Status run(const std::shared_ptr<vfs::FileSystem>& files) = 0;
  // It was cut short, and run() is about to begin again on what that left.
  virtual void begins_again(vfs::FileSystem& files) { (void)files; }
  // What is wrong after `status`, and after what the next open does about it, over files that work.
  // kNotSaid: after a power cut.
  enum class Said { kSuccess, kFailure, kNothing };
  virtual std::string check(const Files& files, Said said) = 0;
};

// What opening does: a cluster, or nothing in an empty directory.
std::string open_again(vfs::FileSystem& files, Content* content) {
  Staging staging(files, "DIR");
  bool is_new = false;
  Status status = staging.find(content);
  if (status.ok() && *content == Content::kCluster) status = staging.check_version();
  if (status.ok()) status = staging.settle(content, &is_new);
  return status.ok() ? "" : "the next open: " + status.message();
}

class Making : public Move {
 public:
  Making(const Cluster& cluster, Staging::Kind kind) : cluster_(cluster), kind_(kind) {}

  Files begin() override { return std::make_shared<vfs::MemoryFileSystem>(); }

  Status run(const std::shared_ptr<vfs::FileSystem>& files) override {
    Staging staging(*files, "DIR");
    auto content = Content::kNothing;
    bool is_new = false;
    Status status = staging.find(&content);
    if (status.ok()) status = staging.settle(&content, &is_new);
    if (!status.ok() || content == Content::kCluster) return status;
    return staging.make(kind_, [&](StagedCluster& target) {
      if (kind_ == Staging::Kind::kTemplate) {
        return postgres::fill_from_template(std::as_bytes(std::span(cluster_.image)), false,
                                            target);
      }
      size_t at = 0;
      return postgres::read_archive(
          [&](char* buffer, size_t size, size_t* count) {
            *count = cluster_.archive.copy(buffer, std::min<size_t>(size, 5000), at);
            at += *count;
            return Status();
          },
          target);
    });
  }

  std::string check(const Files& files, Said said) override {
    auto content = Content::kNothing;
    std::string failure = open_again(*files, &content);
    if (!failure.empty()) return failure;
    if (content == Content::kNothing) {
      if (said == Said::kSuccess) return "success was reported, and there is no cluster";
      const Tree left = tree_of(*files);
      if (!left.empty()) return left.begin()->first + " is left of nothing";
      const Status status = run(files);
      if (!status.ok()) return "the next attempt: " + status.message();
    }
    // Its own identity is what distinguishes it.
    const Status status = postgres::write_identity(*files, "", kIdentity);
    if (!status.ok()) return status.message();
    return difference(tree_of(*files), cluster_.tree);
  }

 private:
  const Cluster& cluster_;
  Staging::Kind kind_;
};

// The end of a move that was interrupted when `moved` entries were in their place.
class Finishing : public Making {
 public:
  Finishing(const Cluster& cluster, size_t moved)
      : Making(cluster, Staging::Kind::kRestore), cluster_(cluster), moved_(moved) {}

  Files begin() override {
    constexpr std::string_view kComplete = "/.pglite-port-restore-complete";
    auto files = std::make_shared<vfs::MemoryFileSystem>();
    if (!files->make_directory(kComplete, 0700) ||
        !vfs::load_image(std::as_bytes(std::span(cluster_.image)), *files, kComplete)) {
      throw std::logic_error("no cluster");
    }
    size_t left = moved_;
    for (const auto& [name, content] : cluster_.tree) {
      if (name.rfind('/') != 0 || name == "/PG_VERSION") continue;
      if (left-- == 0) break;
      (void)files->rename(std::string(kComplete) + name, name);
    }
    return files;
  }

  std::string check(const Files& files, Said said) override {
    // It was never away.
    auto content = Content::kNothing;
    const std::string failure = open_again(*files, &content);
    if (!failure.empty()) return failure;
    if (content == Content::kNothing) return "the cluster is gone";
    return Making::check(files, said);
  }

 private:
  const Cluster& cluster_;
  size_t moved_;
};

// A directory with a copy beside it and a new WAL.
class Repairing : public Move {
 public:
  explicit Repairing(const Cluster& cluster) : cluster_(cluster), before_(cluster.tree) {
    before_.erase(kSegment);
  }

  Files begin() override {
    left_.reset();
    auto files = std::make_shared<vfs::MemoryFileSystem>();
    // One that another repair was killed over.
    if (!files->make_directory("/db", 0700) ||
        !vfs::load_image(std::as_bytes(std::span(cluster_.image)), *files, "/db") ||
        !files->remove_file(std::string("/db") + kSegment) ||
        !files->make_directory("/db.before-repair-20200101T000000Z.partial", 0700)) {
      throw std::logic_error("no cluster");
    }
    return files;
  }

  Status run(const std::shared_ptr<vfs::FileSystem>& files) override {
    SubtreeFileSystem data(files, "/db");
    ControlFile built_in;
    Status status = postgres::read_control_file(*cluster_.files, "", &built_in);
    postgres::WalReset plan;
    if (status.ok()) status = postgres::plan_wal_reset(data, built_in, &plan);
    std::string copy;
    if (status.ok())
      status = postgres::copy_before_repair(data, *files, "db", "/srv", ++now_, &copy);
    if (status.ok()) status = postgres::apply_wal_reset(data, plan);
    return status;
  }

  void begins_again(vfs::FileSystem& files) override { left_ = tree_of(files, "/db"); }

  std::string check(const Files& files, Said said) override {
    const auto copies = [&] {
      std::vector<std::string> names;
      for (const auto& [name, content] : tree_of(*files)) {
        if (name.rfind('/') == 0 && name.starts_with("/db.")) names.push_back(name);
      }
      return names;
    };
    bool copied = false;
    for (const std::string& copy : copies()) {
      if (copy.ends_with(".partial")) continue;
      const Tree tree = tree_of(*files, copy);
      const std::string failure = difference(tree, before_);
      copied = copied || failure.empty();
      // The second repair copies what the first one has left.
      const bool is_of_second = left_ && difference(tree, *left_).empty();
      if (!failure.empty() && !is_of_second) return "the copy " + copy + ": " + failure;
    }
    const bool reset = !difference(tree_of(*files, "/db"), before_).empty();
    if (said == Said::kSuccess && !copied) return "success was reported, and there is no copy";
    if (said == Said::kSuccess && !reset) return "success was reported, and there is no new WAL";
    if (reset && !copied) return "the directory was changed before it was copied";
    if (said != Said::kSuccess) {
      for (const std::string& copy : copies()) {
        if (!copy.ends_with(".partial")) (void)vfs::remove_tree(*files, copy);
      }
      const Status status = run(files);
      if (!status.ok()) return "the next attempt: " + status.message();
    }
    // Older ones, whole or not, may be there where the one before was interrupted.
    const size_t count = copies().size();
    if (said != Said::kSuccess && count != 1) return std::to_string(count) + " copies are there";
    return check_reset(*files);
  }

 private:
  static constexpr const char* kSegment = "/pg_wal/000000010000000000000001";
  static constexpr const char* kControl = "/global/pg_control";

  std::optional<Tree> left_;  // by the first of two repairs

  std::string check_reset(vfs::MemoryFileSystem& files) {
    Tree tree = tree_of(files, "/db");
    ControlFile control;
    const Status status = postgres::read_control_file(files, "/db", &control);
    if (!status.ok()) return status.message();
    std::string segment;
    for (const auto& [name, content] : tree) {
      if (!name.starts_with("/pg_wal/0")) continue;
      if (!segment.empty()) return "there are " + segment + " and " + name;
      segment = name;
    }
    postgres::WalReset at;
    at.control = control;
    at.segment = control.checkpoint >> 20;
    if (segment != "/pg_wal/" + at.segment_name()) return "the WAL is not at " + at.segment_name();
    if (tree[segment].size() != 1U << 20) return segment + " is not whole";
    if (tree[segment].find(tree[kControl].substr(40, 88)) == std::string::npos) {
      return segment + " has no checkpoint";
    }
    tree.erase(segment);
    tree[kControl] = before_[kControl];
    return difference(tree, before_);
  }

  const Cluster& cluster_;
  Tree before_;
  std::time_t now_ = 1'700'000'000;  // no two copies are made in one second
};

struct Named {
  const char* name;
  std::function<std::unique_ptr<Move>()> make;
};
void PrintTo(const Named& named, std::ostream* out) {
  *out << named.name;
}
const Named kMoves[] = {
    {"Template",
     [] { return std::make_unique<Making>(small_cluster(), Staging::Kind::kTemplate); }},
    {"Archive", [] { return std::make_unique<Making>(small_cluster(), Staging::Kind::kRestore); }},
    {"Unmoved", [] { return std::make_unique<Finishing>(small_cluster(), 0); }},
    {"HalfMoved", [] { return std::make_unique<Finishing>(small_cluster(), 9); }},
    {"NearlyMoved", [] { return std::make_unique<Finishing>(small_cluster(), 1000); }},
    {"Repair", [] { return std::make_unique<Repairing>(small_cluster()); }},
};

// A file system of which no single call makes all durable, as NFS.
class WithoutSyncAll : public ForwardingFileSystem {
 public:
  using ForwardingFileSystem::ForwardingFileSystem;
  Result<void> sync_all() override { return error(std::errc::operation_not_supported); }
};

using Said = Move::Said;

// --- Faults ---

struct Case {
  Fault fault;
  size_t n;
  bool lasts;
};

std::string run_case(Move& move, const Case& fault, bool sync_all) {
  const Files files = move.begin();
  std::shared_ptr<vfs::FileSystem> inner = files;
  if (!sync_all) inner = std::make_shared<WithoutSyncAll>(inner);
  const auto faulty = std::make_shared<FaultyFileSystem>(inner);
  if (fault.lasts) {
    faulty->break_down(fault.fault, fault.n);
  } else {
    faulty->arm(fault.fault, fault.n);
  }
  const Status status = move.run(faulty);
  const std::string failed = faulty->failed();
  faulty->disarm();
  if (failed.empty()) return "no call failed";
  if (status.ok() && failed.starts_with("sync")) return "success after the failed " + failed;
  if (!status.ok() && status.code() != StatusCode::kIoError) {
    return failed + ": not an I/O error: " + status.message();
  }
  const std::string failure = move.check(files, status.ok() ? Said::kSuccess : Said::kFailure);
  return failure.empty() ? "" : failed + " (" + status.message() + "): " + failure;
}

std::vector<Call> calls_of(Move& move, bool sync_all) {
  const Files files = move.begin();
  std::shared_ptr<vfs::FileSystem> inner = files;
  if (!sync_all) inner = std::make_shared<WithoutSyncAll>(inner);
  const auto faulty = std::make_shared<FaultyFileSystem>(inner);
  const Status status = move.run(faulty);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(move.check(files, Said::kSuccess), "");
  return faulty->calls();
}

std::vector<Case> all_cases(const std::vector<Call>& calls) {
  std::vector<Case> cases;
  const auto add = [&](std::span<const Fault> faults, bool lasts) {
    for (const Fault fault : faults) {
      size_t n = 0;
      for (const Call call : calls) {
        if (applies(fault, call)) cases.push_back({fault, n++, lasts});
      }
    }
  };
  add(kFaults, false);
  add(kLastingFaults, true);
  return cases;
}

// Numbers below `all`: `wanted` of them, or all for 0, or the one that was asked for.
std::vector<size_t> choose(size_t all, size_t wanted, const char* only_name) {
  const size_t only = setting(only_name, all);
  std::vector<size_t> chosen;
  if (only < all) return {only};
  if (wanted == 0 || wanted >= all) {
    for (size_t i = 0; i < all; ++i) chosen.push_back(i);
  } else {
    for (size_t i = 0; i < wanted; ++i) chosen.push_back(mix(i) % all);
  }
  return chosen;
}

class FileMoves : public testing::TestWithParam<std::tuple<Named, bool>> {
 protected:
  std::unique_ptr<Move> move = std::get<0>(GetParam()).make();
  bool sync_all = std::get<1>(GetParam());
};

TEST_P(FileMoves, EveryFault) {
  const std::vector<Case> cases = all_cases(calls_of(*move, sync_all));
  const std::vector<size_t> chosen =
      choose(cases.size(), setting("PGLITE_FAULTS", 60), "PGLITE_FAULT_ONLY");
  size_t failures = 0;
  for (const size_t i : chosen) {
    const std::string failure = run_case(*move, cases[i], sync_all);
    if (failure.empty()) continue;
    ADD_FAILURE() << "case " << i << ": " << name(cases[i].fault) << " for the call number "
                  << cases[i].n << (cases[i].lasts ? " and all after it" : "") << ": " << failure;
    if (++failures == 20) break;
  }
  std::printf("%zu of %zu cases\n", chosen.size(), cases.size());
}

// --- Power cuts ---

// The file system loses what it was asked to sync: that the tests would notice.
class LyingFile : public ForwardingFile {
 public:
  using ForwardingFile::ForwardingFile;
  Result<void> sync() override { return {}; }
  Result<void> sync_data() override { return {}; }
};
class LyingFileSystem : public ForwardingFileSystem {
 public:
  using ForwardingFileSystem::ForwardingFileSystem;
  Result<std::unique_ptr<vfs::File>> open(std::string_view path, vfs::OpenFlags flags,
                                          uint32_t permissions) override {
    auto file = ForwardingFileSystem::open(path, flags, permissions);
    if (!file) return file;
    return std::make_unique<LyingFile>(std::move(*file));
  }
  Result<void> sync_all() override { return {}; }
};

// What `move` does over `files`; with `lying`, nothing is synced.
Log record(Move& move, const Files& files, bool sync_all, bool lying = false) {
  std::shared_ptr<vfs::FileSystem> inner = files;
  if (!sync_all) inner = std::make_shared<WithoutSyncAll>(inner);
  const auto recorder = std::make_shared<RecordingFileSystem>(inner);
  std::shared_ptr<vfs::FileSystem> top = recorder;
  if (lying) top = std::make_shared<LyingFileSystem>(recorder);
  const Status status = move.run(top);
  EXPECT_TRUE(status.ok()) << status.message();
  return recorder->log();
}

std::string check_cut(Move& move, const Log& log, uint64_t seed, bool sync_all,
                      bool after_success) {
  const auto random = [&](uint64_t salt) { return mix(seed ^ mix(salt)); };
  const size_t cut = after_success ? log.size() : random(1) % (log.size() + 1);
  const Choice choice =
      Choice::from_seed(seed, random(2) % 2 == 0 ? EntryModel::kStrict : EntryModel::kWithFile);
  std::string text = "cut after operation " + std::to_string(cut) + " of " +
                     std::to_string(log.size()) + " (" + choice.describe() + ")";
  Said said = cut == log.size() ? Said::kSuccess : Said::kNothing;
  const auto made = [&] {
    Files files = move.begin();
    replay(log, cut, choice, *files);
    return files;
  };
  Files files = made();
  if (said == Said::kNothing && random(3) % 3 == 0) {
    // What the next one does is cut as well.
    const Log again = record(move, files, sync_all);
    const size_t at = random(4) % (again.size() + 1);
    files = made();
    move.begins_again(*files);
    replay(again, at, Choice::from_seed(random(5), choice.entries), *files);
    text += ", again after " + std::to_string(at) + " of " + std::to_string(again.size());
    if (at == again.size()) said = Said::kSuccess;
  }
  const std::string failure = move.check(files, said);
  return failure.empty() ? "" : text + ": " + failure;
}

TEST_P(FileMoves, PowerCuts) {
  const Log log = record(*move, move->begin(), sync_all);
  const size_t count = setting("PGLITE_POWER_CUTS", 60);
  const uint64_t seed = setting("PGLITE_POWER_CUT_SEED", 1);
  size_t failures = 0;
  for (size_t i = 0; i < count && failures < 20; ++i) {
    const std::string failure =
        check_cut(*move, log, mix(seed * 1'000'003 + i), sync_all, i % 8 == 0);
    if (failure.empty()) continue;
    ++failures;
    ADD_FAILURE() << "cut " << i << ": " << failure;
  }
  std::printf("%zu operations recorded, %zu cuts\n", log.size(), count);
}

TEST_P(FileMoves, WithoutSyncsPowerCutsDoHarm) {
  const Log log = record(*move, move->begin(), sync_all, true);
  size_t harmed = 0;
  for (uint64_t i = 0; i < 40; ++i) {
    harmed += check_cut(*move, log, mix(i), sync_all, i % 2 == 0).empty() ? 0 : 1;
  }
  EXPECT_GE(harmed, 5U);
}

INSTANTIATE_TEST_SUITE_P(All, FileMoves,
                         testing::Combine(testing::ValuesIn(kMoves), testing::Bool()),
                         [](const testing::TestParamInfo<FileMoves::ParamType>& info) {
                           return std::string(std::get<0>(info.param).name) +
                                  (std::get<1>(info.param) ? "" : "OneByOne");
                         });

// --- PostgreSQL ---

// The whole template, after faults and cuts, in PostgreSQL's hands.
TEST(FileMoves, PostgresStartsWithWhatIsLeft) {
  const Cluster cluster(make_data_directory());
  Making move(cluster, Staging::Kind::kRestore);
  const size_t wanted = std::max<size_t>(4, setting("PGLITE_POWER_CUTS", 60) / 20);
  const Log log = record(move, move.begin(), true);
  for (size_t i = 0; i < wanted; ++i) {
    const Files files = move.begin();
    replay(log, mix(i) % (log.size() + 1), Choice::from_seed(i, EntryModel::kStrict), *files);
    auto content = Content::kNothing;
    ASSERT_EQ(open_again(*files, &content), "");
    if (content == Content::kNothing) ASSERT_TRUE(move.run(files).ok());
    EXPECT_EQ(in_child(60,
                       [&]() -> std::string {
                         Server server;
                         Status status = server.start(files);
                         postgres::SqlResult result;
                         if (status.ok()) {
                           status = postgres::run_sql(
                               server.backend(), "SELECT count(*) > 400 FROM pg_class", &result);
                         }
                         return status.ok() ? result.rows[0][0] : status.message() + server.log();
                       }),
              "t")
        << "case " << i;
  }
}

}  // namespace
}  // namespace pglite::durability
