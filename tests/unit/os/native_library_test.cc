#include "os/native_library.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <string_view>

#include "os/unique_fd.h"
#include "temporary_directory.h"

namespace pglite::os {
namespace {

struct Sample {
  int magic;
  int (*add)(int);
  int (*given)(int);
  int (*missing)(int);
  int (*shadowed)(int);
  const int* counter;
};

int twice(int value) {
  return 2 * value;
}

const void* symbols(const char* name) {
  const std::string_view text(name);
  return text == "given" || text == "shadowed" ? reinterpret_cast<const void*>(twice) : nullptr;
}

tl::expected<NativeLibrary, std::string> load(const std::string& path,
                                              const NativeLibrary::Symbols& known = symbols) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return NativeLibrary::load(fd.get(), known);
}

const Sample& sample_of(const NativeLibrary& library) {
  return *static_cast<const Sample*>(library.entry(sizeof(Sample)));
}

TEST(NativeLibrary, GetsWhatItNeedsAndKeepsDataOfItsOwn) {
  const auto library = load(PGLITE_NATIVE_LIBRARY_SAMPLE);
  ASSERT_TRUE(library.has_value()) << library.error();
  const Sample& sample = sample_of(*library);
  EXPECT_EQ(sample.magic, 0x5A4D504C);
  EXPECT_EQ(sample.given(21), 42);
  EXPECT_EQ(sample.missing, nullptr) << "it is weak";
  EXPECT_EQ(sample.shadowed(21), 42) << "the program's comes first";
  EXPECT_EQ(sample.add(2), 42);
  EXPECT_EQ(sample.add(0), 84);
  EXPECT_EQ(*sample.counter, 42);
  EXPECT_EQ(library->entry(size_t{1} << 40), nullptr);
}

TEST(NativeLibrary, EachLoadIsOneOfItsOwn) {
  auto first = load(PGLITE_NATIVE_LIBRARY_SAMPLE);
  const auto second = load(PGLITE_NATIVE_LIBRARY_SAMPLE);
  ASSERT_TRUE(first.has_value());
  ASSERT_TRUE(second.has_value());
  sample_of(*first).add(1);
  EXPECT_EQ(*sample_of(*first).counter, 41);
  EXPECT_EQ(*sample_of(*second).counter, 40);
  const NativeLibrary moved = std::move(*first);
  EXPECT_EQ(*sample_of(moved).counter, 41);
}

TEST(NativeLibrary, ItsOwnIsUsedWhereTheProgramHasNone) {
  const auto library = load(PGLITE_NATIVE_LIBRARY_SAMPLE, [](const char* name) {
    return std::string_view(name) == "given" ? reinterpret_cast<const void*>(twice) : nullptr;
  });
  ASSERT_TRUE(library.has_value()) << library.error();
  EXPECT_EQ(sample_of(*library).shadowed(21), 22);
}

TEST(NativeLibrary, NamesWhatIsMissing) {
  const auto library =
      load(PGLITE_NATIVE_LIBRARY_SAMPLE, [](const char*) -> const void* { return nullptr; });
  ASSERT_FALSE(library.has_value());
  EXPECT_EQ(library.error(), "needs \"given\", which the program has not");
}

TEST(NativeLibrary, RefusesWhatIsNoLibraryOfItsKind) {
  const TemporaryDirectory directory;
  const auto refused = [&](std::string_view content) {
    const std::string path = directory / "file";
    std::ofstream(path, std::ios::binary) << content;
    const auto library = load(path);
    return library ? std::string("loaded") : library.error();
  };
  EXPECT_EQ(refused(""), "is no ELF file");
  EXPECT_EQ(refused("#!/bin/sh\n"), "is no ELF file");
  EXPECT_EQ(refused(std::string("\177ELF") + std::string(200, '\0')),
            "is no shared object for this processor");
  EXPECT_EQ(load("/proc/self/exe").has_value(), false) << "it needs libraries or is at a fixed place";
}

// Whatever is cut off or changed in what the loader reads: it is refused, or loaded, and no fault.
TEST(NativeLibrary, DamageIsNoFault) {
  const std::string whole = content_of(PGLITE_NATIVE_LIBRARY_SAMPLE);
  const TemporaryDirectory directory;
  const std::string path = directory / "file";
  const auto load_changed = [&](std::string_view content) {
    std::filesystem::remove(path);
    std::ofstream(path, std::ios::binary) << content;
    return load(path).has_value();
  };
  ASSERT_TRUE(load_changed(whole));
  size_t refused = 0;
  for (size_t size = 0; size < whole.size(); size += 97) {
    refused += load_changed(std::string_view(whole).substr(0, size)) ? 0 : 1;
  }
  EXPECT_GT(refused, 5U);
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const char change : {'\xFF', '\x10'}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ change);
      if (changed[at] == whole[at] || at % 3 != 0) continue;
      load_changed(changed);
    }
  }
}

}  // namespace
}  // namespace pglite::os
