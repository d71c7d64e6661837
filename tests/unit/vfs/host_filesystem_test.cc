// Confinement and what else only the host's file system does; the rest is in filesystem_test.cc.
#include "vfs/host_filesystem.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <cstring>
#include <fstream>
#include <vector>

#include "vfs/tree.h"
#include "vfs_test_util.h"

namespace pglite::vfs {
namespace {

using Resolver = HostFileSystem::Resolver;
namespace stdfs = std::filesystem;

constexpr std::errc kEscape = std::errc::permission_denied;

class HostFileSystemTest : public testing::TestWithParam<Resolver> {
 protected:
  void SetUp() override {
    stdfs::create_directory(inside());
    stdfs::create_directory(outside());
    std::ofstream(outside() + "/secret") << "secret";
    auto opened = HostFileSystem::open(inside(), SyncPolicy::kSync, GetParam());
    ASSERT_OK(opened);
    fs = std::move(*opened);
  }
  [[nodiscard]] std::string inside() const { return directory.path() + "/inside"; }
  [[nodiscard]] std::string outside() const { return directory.path() + "/outside"; }

  // Every operation that resolves `path` as a file beneath an escape fails, and leaves no trace.
  void expect_confined(const std::string& path) {
    SCOPED_TRACE(path);
    put(*fs, "/mine", "mine");
    EXPECT_ERROR(fs->open(path, kRead, 0), kEscape);
    EXPECT_ERROR(fs->open(path, kCreate, 0644), kEscape);
    EXPECT_ERROR(fs->open(path, {.write = true, .truncate = true}, 0), kEscape);
    EXPECT_ERROR(fs->metadata(path, true), kEscape);
    EXPECT_ERROR(fs->change_mode(path, 0777, true), kEscape);
    EXPECT_ERROR(fs->set_times(path, timespec{}, timespec{}, true), kEscape);
    EXPECT_ERROR(fs->truncate(path, 0), kEscape);
    EXPECT_ERROR(fs->statistics(path), kEscape);
  }
  // The same for an escape in the directory part.
  void expect_confined_parent(const std::string& path) {
    expect_confined(path);
    SCOPED_TRACE(path);
    EXPECT_ERROR(fs->metadata(path, false), kEscape);
    EXPECT_ERROR(fs->make_directory(path, 0755), kEscape);
    EXPECT_ERROR(fs->remove_file(path), kEscape);
    EXPECT_ERROR(fs->remove_directory(path), kEscape);
    EXPECT_ERROR(fs->rename(path, "/stolen"), kEscape);
    EXPECT_ERROR(fs->rename("/mine", path), kEscape);
    EXPECT_ERROR(fs->make_symbolic_link("x", path), kEscape);
    EXPECT_ERROR(fs->read_symbolic_link(path), kEscape);
    EXPECT_ERROR(fs->make_hard_link(path, "/stolen"), kEscape);
    EXPECT_ERROR(fs->make_hard_link("/mine", path), kEscape);
    EXPECT_ERROR(fs->change_mode(path, 0777, false), kEscape);
  }
  void expect_outside_untouched() {
    Names found;
    for (const auto& entry : stdfs::directory_iterator(outside())) {
      found.push_back(entry.path().filename());
    }
    EXPECT_EQ(found, Names{"secret"});
    EXPECT_EQ(stdfs::file_size(outside() + "/secret"), 6U);
    struct stat status{};
    ASSERT_EQ(::stat((outside() + "/secret").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0644U);
    EXPECT_EQ(status.st_nlink, 1U);
  }

  TemporaryDirectory directory;
  std::unique_ptr<HostFileSystem> fs;
};

INSTANTIATE_TEST_SUITE_P(Resolvers, HostFileSystemTest,
                         testing::Values(Resolver::kAutomatic, Resolver::kWalk),
                         [](const testing::TestParamInfo<Resolver>& info) {
                           return info.param == Resolver::kAutomatic ? "Automatic" : "Walk";
                         });

// What was just written is in memory; what the system has dropped from it is not.
TEST_P(HostFileSystemTest, ReadsAtOnceWhatIsInMemory) {
  constexpr size_t kSize = size_t{1} << 20;
  put(*fs, "/file", std::string(kSize, 'x'));
  auto file = fs->open("/file", kRead, 0);
  ASSERT_OK(file);
  std::vector<std::byte> buffer(kSize);
  const int host = ::open((inside() + "/file").c_str(), O_RDONLY | O_CLOEXEC);
  const iovec part{buffer.data(), buffer.size()};
  // tmpfs does not know such a read: there it has to be an ordinary one, always.
  const bool known = ::preadv2(host, &part, 1, 0, RWF_NOWAIT) >= 0 || errno != EOPNOTSUPP;
  auto got = (*file)->read_at_once(buffer, 100);
  if (known) {
    ASSERT_OK(got);
    EXPECT_EQ(*got, kSize - 100);
    EXPECT_EQ(buffer[0], std::byte{'x'});
    got = (*file)->read_at_once(buffer, kSize);
    ASSERT_OK(got);
    EXPECT_EQ(*got, 0u);
  } else {
    EXPECT_ERROR(got, std::errc::resource_unavailable_try_again);
  }

  ASSERT_EQ(::fdatasync(host), 0);
  ASSERT_EQ(::posix_fadvise(host, 0, 0, POSIX_FADV_DONTNEED), 0);
  got = (*file)->read_at_once(buffer, 0);
  ::close(host);
  if (got) EXPECT_EQ(*got, kSize);
  if (!got) EXPECT_ERROR(got, std::errc::resource_unavailable_try_again);
  got = (*file)->read(buffer, 0);
  ASSERT_OK(got);
  EXPECT_EQ(*got, kSize);
}

TEST_P(HostFileSystemTest, WalkCanBeForced) {
  if (GetParam() == Resolver::kWalk) EXPECT_FALSE(fs->resolved_by_system());
}

TEST_P(HostFileSystemTest, OpensOnlyDirectories) {
  EXPECT_ERROR(HostFileSystem::open(directory.path() + "/none"),
               std::errc::no_such_file_or_directory);
  EXPECT_ERROR(HostFileSystem::open(outside() + "/secret"), std::errc::not_a_directory);
}

TEST_P(HostFileSystemTest, IsTheDirectoryThatWasOpened) {
  os::UniqueFd opened(::open(inside().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const int number = opened.get();
  // Exchanged for another before the file system is made of it.
  stdfs::rename(inside(), directory.path() + "/moved");
  stdfs::create_directory(inside());
  auto same = HostFileSystem::open(std::move(opened), SyncPolicy::kSync, GetParam());
  ASSERT_OK(same);
  put(**same, "/file", "here");
  EXPECT_TRUE(stdfs::exists(directory.path() + "/moved/file"));
  EXPECT_FALSE(stdfs::exists(inside() + "/file"));
  // It is that very descriptor, with the lock that it may have.
  EXPECT_EQ((*same)->root_descriptor(), number);
  same->reset();
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);

  os::UniqueFd file(::open((outside() + "/secret").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_ERROR(HostFileSystem::open(std::move(file)), std::errc::not_a_directory);
  EXPECT_ERROR(HostFileSystem::open(os::UniqueFd()), std::errc::bad_file_descriptor);
}

TEST_P(HostFileSystemTest, DotDotDoesNotLeaveTheRoot) {
  // Paths should come normalised; the host must not depend on it.
  expect_confined("/../outside/secret");
  ASSERT_OK(fs->make_directory("/a", 0755));
  expect_confined_parent("/a/../../outside/secret");
  for (const char* path : {"/..", "/a/..", "/."}) {
    EXPECT_FALSE(fs->remove_directory(path).has_value());
    EXPECT_FALSE(fs->make_directory(path, 0755).has_value());
    EXPECT_FALSE(fs->rename(path, "/b").has_value());
  }
  expect_outside_untouched();
}

TEST_P(HostFileSystemTest, AbsoluteLinksAreRefused) {
  stdfs::create_symlink(outside() + "/secret", inside() + "/absolute");
  stdfs::create_symlink(outside(), inside() + "/directory");
  stdfs::create_symlink(inside(), inside() + "/home");  // leads back in; still by the host's root
  stdfs::create_symlink("/", inside() + "/root");
  expect_confined("/absolute");
  expect_confined("/directory");
  expect_confined_parent("/directory/secret");
  expect_confined_parent("/home/mine");
  expect_confined_parent("/root/etc");
  EXPECT_EQ(*fs->read_symbolic_link("/absolute"), outside() + "/secret");
  EXPECT_TRUE(S_ISLNK(fs->metadata("/absolute", false)->mode));
  expect_outside_untouched();
}

TEST_P(HostFileSystemTest, ClimbingLinksAreRefused) {
  stdfs::create_directories(inside() + "/a/b");
  stdfs::create_symlink("../outside/secret", inside() + "/up");
  stdfs::create_symlink("../../../outside", inside() + "/a/b/far");
  stdfs::create_symlink("..", inside() + "/parent");
  stdfs::create_symlink("a/b/far", inside() + "/chained");
  stdfs::create_symlink("../../a/b", inside() + "/a/b/fine");
  expect_confined("/up");
  expect_confined("/parent");
  expect_confined_parent("/parent/outside");
  expect_confined_parent("/a/b/far/secret");
  expect_confined_parent("/chained/secret");
  expect_confined_parent("/a/b/fine/far/secret");
  put(*fs, "/a/b/file", "ok");
  EXPECT_EQ(contents(*fs, "/a/b/fine/fine/file"), "ok");
  expect_outside_untouched();
}

TEST_P(HostFileSystemTest, GuestMadeLinksAreNoWayOut) {
  EXPECT_ERROR(fs->make_symbolic_link(outside(), "/absolute"), std::errc::operation_not_permitted);
  EXPECT_ERROR(fs->make_symbolic_link("/proc/self/cwd", "/absolute"),
               std::errc::operation_not_permitted);
  EXPECT_ERROR(fs->read_symbolic_link("/absolute"), std::errc::no_such_file_or_directory);
  ASSERT_OK(fs->make_symbolic_link("../outside", "/link"));
  expect_confined_parent("/link/secret");
  EXPECT_OK(fs->remove_file("/link"));  // the link, not the directory
  expect_outside_untouched();
}

// A process that exchanges two names without end, while this lives.
class Swapper {
 public:
  Swapper(const std::string& a, const std::string& b) : process_(::fork()) {
    if (process_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) {
    }
    ::_exit(1);
  }
  ~Swapper() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  Swapper(const Swapper&) = delete;
  Swapper& operator=(const Swapper&) = delete;

 private:
  pid_t process_;
};

// A directory is exchanged for a link to the outside and back while paths through it are resolved.
TEST_P(HostFileSystemTest, SwappedLinksAreNoWayOut) {
  stdfs::create_directory(inside() + "/dir");
  std::ofstream(inside() + "/dir/secret") << "public";
  stdfs::create_symlink("../outside", inside() + "/evil");
  const Swapper swapper(inside() + "/dir", inside() + "/evil");
  int found = 0;
  int refused = 0;
  for (int i = 0; i < 5'000; ++i) {
    const auto file = fs->open("/dir/secret", kRead, 0);
    if (file) {
      ASSERT_EQ(contents(**file, 0, 10), "public");
      ++found;
    } else {
      ASSERT_TRUE(file.error() == std::errc::permission_denied ||
                  file.error() == std::errc::resource_unavailable_try_again)
          << outcome(file);
      ++refused;
    }
    const auto made = fs->make_directory("/dir/made", 0755);
    if (made) (void)fs->remove_directory("/dir/made");
  }
  EXPECT_GT(found, 0);
  EXPECT_GT(refused, 0);
  expect_outside_untouched();
}

TEST_P(HostFileSystemTest, RefusesNulBytesInPaths) {
  using namespace std::string_view_literals;
  put(*fs, "/file", "text");
  EXPECT_ERROR(fs->open("/file\0x"sv, kRead, 0), std::errc::invalid_argument);
  EXPECT_ERROR(fs->remove_file("/file\0x"sv), std::errc::invalid_argument);
  EXPECT_ERROR(fs->make_symbolic_link("a\0b"sv, "/link"), std::errc::invalid_argument);
}

TEST_P(HostFileSystemTest, OpensFilesAndDirectoriesOnly) {
  const std::string fifo = inside() + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_ERROR(fs->open("/fifo", kRead, 0), kEscape);
  // Nobody reads it, so that a writer would wait.
  EXPECT_ERROR(fs->open("/fifo", kReadWrite, 0), kEscape);
  EXPECT_ERROR(fs->truncate("/fifo", 0), std::errc::no_such_device_or_address);
  {
    const os::UniqueFd reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    EXPECT_ERROR(fs->truncate("/fifo", 0), kEscape);
  }
  EXPECT_TRUE(S_ISFIFO(fs->metadata("/fifo", true)->mode));
  EXPECT_OK(fs->remove_file("/fifo"));
  if (::mknod((inside() + "/zero").c_str(), S_IFCHR | 0600, 0x105) != 0) {
    GTEST_SKIP() << "device nodes cannot be made here";
  }
  EXPECT_ERROR(fs->open("/zero", kRead, 0), kEscape);
  EXPECT_ERROR(fs->open("/zero", kReadWrite, 0), kEscape);
}

TEST_P(HostFileSystemTest, NoSetUserId) {
  ASSERT_OK(fs->open("/file", {.write = true, .create = true}, 06755));
  ASSERT_OK(fs->make_directory("/directory", 07700));
  EXPECT_EQ(fs->metadata("/file", true)->mode & 07000U, 0U);
  EXPECT_EQ(fs->metadata("/directory", true)->mode & 07000U, 0U);
  ASSERT_OK(fs->change_mode("/file", 04755, true));
  EXPECT_EQ(fs->metadata("/file", true)->mode & 07777U, 0755U);
  ASSERT_OK((*fs->open("/file", kRead, 0))->change_mode(06711));
  EXPECT_EQ(fs->metadata("/file", true)->mode & 07777U, 0711U);
}

TEST_P(HostFileSystemTest, DescriptorsAreClosedOnExec) {
  put(*fs, "/file", "text");
  const auto lowest = [] {
    const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::close(fd);
    return fd;
  };
  const int expected = lowest();
  {
    const auto file = fs->open("/file", kRead, 0);
    ASSERT_OK(file);
    EXPECT_EQ(::fcntl(expected, F_GETFD), FD_CLOEXEC);
  }
  EXPECT_EQ(::fcntl(fs->root_descriptor(), F_GETFD), FD_CLOEXEC);
  // Nothing leaks.
  ASSERT_OK(fs->make_directory("/a", 0755));
  ASSERT_OK(fs->make_symbolic_link("a", "/l"));
  put(*fs, "/l/f", "x");
  (void)names(*fs, "/l");
  EXPECT_OK(fs->rename("/l/f", "/a/g"));
  EXPECT_OK(fs->change_mode("/l/g", 0600, true));
  EXPECT_OK(fs->set_times("/l/g", timespec{}, timespec{}, true));
  EXPECT_FALSE(fs->metadata("/l/none/none", true).has_value());
  EXPECT_EQ(lowest(), expected);
}

TEST_P(HostFileSystemTest, WorksAfterTheDirectoryWasRenamed) {
  put(*fs, "/file", "text");
  stdfs::rename(inside(), directory.path() + "/elsewhere");
  EXPECT_EQ(contents(*fs, "/file"), "text");
  put(*fs, "/new", "x");
  EXPECT_TRUE(stdfs::exists(directory.path() + "/elsewhere/new"));
}

// By a descriptor that reads and by one that is only a path.
TEST_P(HostFileSystemTest, SyncsEverything) {
  os::UniqueFd opened(::open(inside().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto by_descriptor = HostFileSystem::open(std::move(opened), SyncPolicy::kSync, GetParam());
  ASSERT_OK(by_descriptor);
  put(*fs, "/file", "text");
  for (FileSystem* files : {fs.get(), by_descriptor->get()}) {
    const auto synced = files->sync_all();
    // By the file system that the tests' directory is on.
    if (!synced) EXPECT_EQ(synced.error(), std::errc::operation_not_supported);
    EXPECT_OK(make_durable(*files, "/"));
  }
  const auto relaxed = HostFileSystem::open("/proc/self", SyncPolicy::kIgnore, GetParam());
  ASSERT_OK(relaxed);
  EXPECT_OK((*relaxed)->sync_all());
  const auto full = HostFileSystem::open("/proc/self", SyncPolicy::kSync, GetParam());
  ASSERT_OK(full);
  EXPECT_ERROR((*full)->sync_all(), std::errc::operation_not_supported);
}

TEST_P(HostFileSystemTest, RemovesTreesButNotWhatLinksLeadTo) {
  stdfs::create_directories(inside() + "/tree/a/b");
  put(*fs, "/tree/a/b/file", "text");
  stdfs::create_symlink(outside(), inside() + "/tree/a/link");
  EXPECT_OK(remove_tree(*fs, "/tree"));
  EXPECT_FALSE(stdfs::exists(inside() + "/tree"));
  EXPECT_TRUE(stdfs::exists(outside() + "/secret"));
  EXPECT_ERROR(remove_tree(*fs, "/tree"), std::errc::no_such_file_or_directory);
}

TEST_P(HostFileSystemTest, IgnoresSyncWhenAsked) {
  // A file of procfs cannot be synced, which shows who asks the kernel.
  const auto full = HostFileSystem::open("/proc/self", SyncPolicy::kSync, GetParam());
  const auto relaxed = HostFileSystem::open("/proc/self", SyncPolicy::kIgnore, GetParam());
  ASSERT_OK(full);
  ASSERT_OK(relaxed);
  EXPECT_ERROR((*(*full)->open("/status", kRead, 0))->sync(), std::errc::invalid_argument);
  EXPECT_OK((*(*relaxed)->open("/status", kRead, 0))->sync());
  EXPECT_OK((*(*relaxed)->open("/status", kRead, 0))->sync_data());
}

// The disk fills up in the middle of a write: what fitted is the result, then there is ENOSPC; and
// it works again when there is space.
TEST_P(HostFileSystemTest, ReportsAFullDisk) {
  const std::string disk = inside() + "/disk";
  stdfs::create_directory(disk);
  if (::mount("none", disk.c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "nothing can be mounted here: " << std::strerror(errno);
  }
  {
    const auto file = fs->open("/disk/file", {.read = true, .write = true, .create = true}, 0600);
    EXPECT_OK(file);
    const std::vector<std::byte> data(100'000, std::byte{7});
    if (file) {
      EXPECT_EQ((*file)->write(data, 0), size_t{65536});
      EXPECT_ERROR((*file)->write(data, 65536), std::errc::no_space_on_device);
      EXPECT_ERROR((*file)->allocate(65536, 8192), std::errc::no_space_on_device);
      EXPECT_OK((*file)->truncate(0));
      EXPECT_EQ((*file)->write(std::span(data).first(50'000), 0), size_t{50'000});
    }
  }
  EXPECT_EQ(::umount2(disk.c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace pglite::vfs
