// Confinement and what else only the host's file system does; the rest is in filesystem_test.cc.
#include "vfs/host_filesystem.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <fstream>

#include "vfs_test_util.h"

namespace pglite::vfs {
namespace {

using Resolver = HostFileSystem::Resolver;
namespace stdfs = std::filesystem;

class HostFileSystemTest : public testing::TestWithParam<Resolver> {
 protected:
  void SetUp() override {
    stdfs::create_directory(inside());
    stdfs::create_directory(outside());
    std::ofstream(outside() + "/secret") << "secret";
    auto opened = HostFileSystem::open(inside(), Durability::kSync, GetParam());
    ASSERT_OK(opened);
    fs = std::move(*opened);
  }
  [[nodiscard]] std::string inside() const { return directory.path() + "/inside"; }
  [[nodiscard]] std::string outside() const { return directory.path() + "/outside"; }

  // Every operation that resolves `path` as a file beneath an escape fails, and leaves no trace.
  void expect_confined(const std::string& path) {
    SCOPED_TRACE(path);
    constexpr std::errc kEscape = std::errc::permission_denied;
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
    constexpr std::errc kEscape = std::errc::permission_denied;
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

TEST_P(HostFileSystemTest, WalkCanBeForced) {
  if (GetParam() == Resolver::kWalk) EXPECT_FALSE(fs->uses_openat2());
}

TEST_P(HostFileSystemTest, OpensOnlyDirectories) {
  EXPECT_ERROR(HostFileSystem::open(directory.path() + "/none"),
               std::errc::no_such_file_or_directory);
  EXPECT_ERROR(HostFileSystem::open(outside() + "/secret"), std::errc::not_a_directory);
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
  ASSERT_OK(fs->make_symbolic_link(outside(), "/link"));
  ASSERT_OK(fs->make_symbolic_link("../outside", "/link2"));
  ASSERT_OK(fs->make_symbolic_link("/proc/self/cwd", "/magic"));
  expect_confined_parent("/link/secret");
  expect_confined_parent("/link2/secret");
  expect_confined_parent("/magic/secret");
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

TEST_P(HostFileSystemTest, FifosDoNotHang) {
  ASSERT_EQ(::mkfifo((inside() + "/fifo").c_str(), 0600), 0);
  const auto reader = fs->open("/fifo", kRead, 0);
  ASSERT_OK(reader);
  std::byte byte{};
  EXPECT_ERROR((*reader)->read({&byte, 1}, 0), std::errc::invalid_seek);
  EXPECT_ERROR(fs->truncate("/fifo", 0), std::errc::invalid_argument);
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

TEST_P(HostFileSystemTest, IgnoresSyncWhenAsked) {
  const auto relaxed = HostFileSystem::open(inside(), Durability::kIgnore, GetParam());
  ASSERT_OK(relaxed);
  ASSERT_EQ(::mkfifo((inside() + "/fifo").c_str(), 0600), 0);
  // A FIFO cannot be synced, which shows who asks the kernel.
  EXPECT_ERROR((*fs->open("/fifo", kRead, 0))->sync(), std::errc::invalid_argument);
  EXPECT_OK((*(*relaxed)->open("/fifo", kRead, 0))->sync());
  EXPECT_OK((*(*relaxed)->open("/fifo", kRead, 0))->sync_data());
}

TEST_P(HostFileSystemTest, ReportsAFullDisk) {
  // /dev/full answers ENOSPC to every write.
  if (::mknod((inside() + "/full").c_str(), S_IFCHR | 0600, 0x107) != 0) {
    GTEST_SKIP() << "device nodes cannot be made here";
  }
  const auto file = fs->open("/full", kReadWrite, 0);
  if (!file) GTEST_SKIP() << "devices cannot be opened here";
  EXPECT_ERROR((*file)->write(bytes_of("x"), 0), std::errc::no_space_on_device);
}

}  // namespace
}  // namespace pglite::vfs
