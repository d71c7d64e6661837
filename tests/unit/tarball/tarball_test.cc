// Tar and gzip: there and back, and what must be refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "tarball/gzip.h"
#include "tarball/tar.h"

namespace pglite::tarball {
namespace {

using ::testing::HasSubstr;

ByteSink into(std::string& target) {
  return [&target](std::string_view bytes) {
    target += bytes;
    return Status();
  };
}

// Gives pieces of at most `piece` bytes, as a pipe may.
ByteSource from(const std::string& bytes, size_t piece = SIZE_MAX) {
  return [&bytes, piece, at = size_t{0}](char* buffer, size_t size, size_t* count) mutable {
    *count = std::min({size, piece, bytes.size() - at});
    std::memcpy(buffer, bytes.data() + at, *count);
    at += *count;
    return Status();
  };
}

struct Item {
  TarEntry entry;
  std::string content;
};

std::string tar_of(const std::vector<Item>& items) {
  std::string bytes;
  TarWriter writer(into(bytes));
  for (Item item : items) {
    item.entry.size = item.content.size();
    EXPECT_TRUE(writer.begin(item.entry).ok());
    EXPECT_TRUE(writer.write(item.content).ok());
  }
  EXPECT_TRUE(writer.finish().ok());
  return bytes;
}

Status read_tar(const ByteSource& source, std::vector<Item>* items) {
  TarReader reader(source);
  while (true) {
    Item item;
    bool end = false;
    if (Status status = reader.next(&item.entry, &end); !status.ok() || end) return status;
    item.content.resize(item.entry.size);
    for (size_t at = 0; at < item.content.size();) {
      size_t count = 0;
      Status status = reader.read(item.content.data() + at, item.content.size() - at, &count);
      if (!status.ok()) return status;
      if (count == 0) return Status::io_error("an early end");
      at += count;
    }
    items->push_back(std::move(item));
  }
}

std::string error_of(const std::string& bytes) {
  std::vector<Item> items;
  const Status status = read_tar(from(bytes), &items);
  EXPECT_TRUE(status.ok() || status.code() == StatusCode::kIncompatible);
  return status.message();
}

std::vector<Item> sample() {
  return {{{.name = "PG_VERSION", .mode = 0640, .mtime = 1700000000}, "18\n"},
          {{.name = "base", .is_directory = true, .mode = 0750}, ""},
          {{.name = "base/1", .is_directory = true, .mode = 0750}, ""},
          {{.name = "base/1/empty", .mode = 0600}, ""},
          {{.name = "base/1/block", .mode = 0600}, std::string(512, 'b')},
          {{.name = "base/1/large", .mode = 0600}, std::string(100'001, 'l')}};
}

// The header of a single empty file, changed, with its checksum made right.
std::string changed_header(size_t offset, std::string_view value) {
  std::string bytes = tar_of({{{.name = "name", .mode = 0600}, ""}});
  bytes.replace(offset, value.size(), value);
  bytes.replace(148, 8, "        ");
  unsigned sum = 0;
  for (size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(bytes[i]);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  bytes.replace(148, 8, std::string(text, 7) + " ");
  return bytes;
}

std::string with_name(const std::string& name) {
  return changed_header(0, name + '\0');
}

TEST(Tar, ThereAndBack) {
  const std::string bytes = tar_of(sample());
  EXPECT_EQ(bytes.size() % 512, 0U);
  EXPECT_EQ(bytes.substr(0, 12), std::string("/PG_VERSION\0", 12));  // as PGlite names it
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{512}, SIZE_MAX}) {
    std::vector<Item> items;
    const Status status = read_tar(from(bytes, piece), &items);
    ASSERT_TRUE(status.ok()) << status.message();
    const std::vector<Item> expected = sample();
    ASSERT_EQ(items.size(), expected.size());
    for (size_t i = 0; i < items.size(); ++i) {
      EXPECT_EQ(items[i].entry.name, expected[i].entry.name);
      EXPECT_EQ(items[i].entry.is_directory, expected[i].entry.is_directory);
      EXPECT_EQ(items[i].entry.mode, expected[i].entry.mode);
      EXPECT_EQ(items[i].entry.mtime, expected[i].entry.mtime);
      EXPECT_EQ(items[i].content, expected[i].content);
    }
  }
}

TEST(Tar, EntriesCanBeSkipped) {
  const std::string bytes = tar_of(sample());
  TarReader reader(from(bytes, 1000));
  size_t count = 0;
  bool end = false;
  for (TarEntry entry; !end; ++count) ASSERT_TRUE(reader.next(&entry, &end).ok());
  EXPECT_EQ(count, sample().size() + 1);
}

TEST(Tar, EveryTruncationIsNoticed) {
  const std::string bytes = tar_of(
      {{{.name = "a", .mode = 0600}, std::string(700, 'a')}, {{.name = "b", .mode = 0600}, "b"}});
  for (size_t size = 0; size < bytes.size(); ++size) {
    // The beginning of the first name could be that of a text.
    const bool is_text = size > 0 && size <= 2;
    EXPECT_THAT(error_of(bytes.substr(0, size)),
                HasSubstr(is_text ? "not a tar archive" : "truncated"))
        << size;
  }
  EXPECT_EQ(error_of(bytes), "");
}

TEST(Tar, EveryChangedHeaderByteIsNoticed) {
  const std::string good = tar_of({{{.name = "a", .mode = 0600}, ""}});
  for (size_t at = 0; at < 512; ++at) {
    if (at >= 154 && at < 156) continue;  // behind the checksum's digits
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x11);
    EXPECT_NE(error_of(bytes), "") << at;
  }
}

TEST(Tar, NamesStayInside) {
  for (const char* name : {"..", "../x", "/../x", "a/../b", "a/..", "./../x", "//etc", "a//b",
                           "a/./b", "././x", "/./x", "..//"}) {
    EXPECT_THAT(error_of(with_name(name)), HasSubstr("not inside a data directory")) << name;
  }
  for (const auto& [name, expected] : std::vector<std::pair<std::string, std::string>>{
           {"/PG_VERSION", "PG_VERSION"}, {"./a/b", "a/b"}, {"a", "a"}, {"..a/...", "..a/..."}}) {
    std::vector<Item> items;
    ASSERT_TRUE(read_tar(from(with_name(name)), &items).ok()) << name;
    EXPECT_EQ(items.at(0).entry.name, expected);
  }
  EXPECT_THAT(error_of(with_name("")), HasSubstr("without a name"));
}

TEST(Tar, OnlyFilesAndDirectories) {
  EXPECT_THAT(error_of(changed_header(156, "1")), HasSubstr("a link"));
  EXPECT_THAT(error_of(changed_header(156, "2")), HasSubstr("a link"));
  for (const char* type : {"3", "4", "6", "7", "X", "K", "S"}) {
    EXPECT_THAT(error_of(changed_header(156, type)), HasSubstr("neither a file nor a directory"));
  }
}

// An extended header of `type` with this content, and a file of ten bytes called "name" behind it.
std::string extended(char type, std::string content) {
  std::string bytes = tar_of({{{.name = "ext", .mode = 0600}, content},
                              {{.name = "name", .mode = 0600, .mtime = 5}, "0123456789"}});
  bytes[156] = type;
  bytes.replace(148, 8, "        ");
  unsigned sum = 0;
  for (size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(bytes[i]);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  bytes.replace(148, 8, std::string(text, 7) + " ");
  return bytes;
}

std::string record(const std::string& keyword, const std::string& value) {
  const std::string text = " " + keyword + "=" + value + "\n";
  size_t length = text.size() + 1;
  while (std::to_string(length).size() + text.size() != length) ++length;
  return std::to_string(length) + text;
}

TEST(Tar, ExtendedHeaders) {
  const std::string long_name = "base/" + std::string(300, 'n') + "/é";
  for (const std::string& bytes :
       {extended('x', record("path", "./" + long_name) + record("mtime", "1700000000.25") +
                          record("size", "10") + record("uid", "123456789") +
                          record("comment", "a=b")),
        extended('L', "./" + long_name + std::string(1, '\0'))}) {
    for (const size_t piece : {size_t{1}, SIZE_MAX}) {
      std::vector<Item> items;
      const Status status = read_tar(from(bytes, piece), &items);
      ASSERT_TRUE(status.ok()) << status.message();
      ASSERT_EQ(items.size(), 1U);
      EXPECT_EQ(items[0].entry.name, long_name);
      EXPECT_EQ(items[0].content, "0123456789");
    }
  }
  std::vector<Item> items;
  ASSERT_TRUE(read_tar(from(extended('x', record("mtime", "-1.5"))), &items).ok());
  EXPECT_EQ(items.at(0).entry.mtime, -1);
  EXPECT_EQ(items.at(0).entry.name, "name");
  EXPECT_EQ(error_of(extended('g', record("comment", "x") + record("mtime", "7"))), "");
  EXPECT_EQ(error_of(extended('x', "")), "");
}

TEST(Tar, BadExtendedHeaders) {
  for (const char* content : {"x", "0 path=a\n", "99 path=a\n", "10 path=ab", "9 pathab\n",
                              " path=a\n", "-9 path=a\n", "11 size=1x\n", "11 size=-1\n",
                              "8 size=\n", "12 mtime=ab\n", "99999999999999999999999 path=a\n"}) {
    EXPECT_THAT(error_of(extended('x', content)), HasSubstr("damaged")) << content;
  }
  EXPECT_THAT(error_of(extended('x', record("path", std::string("a\0b", 3)))),
              HasSubstr("damaged"));
  EXPECT_THAT(error_of(extended('x', record("path", "../out"))), HasSubstr("not inside"));
  EXPECT_THAT(error_of(extended('L', "../out")), HasSubstr("not inside"));
  EXPECT_THAT(error_of(extended('x', record("size", "99999"))), HasSubstr("truncated"));
  EXPECT_THAT(error_of(extended('x', record("GNU.sparse.major", "1"))), HasSubstr("sparse"));
  EXPECT_THAT(error_of(extended('g', record("path", "a"))), HasSubstr("damaged"));
  EXPECT_THAT(error_of(extended('x', std::string((1 << 20) + 1, 'x'))), HasSubstr("damaged"));
  // It is of no entry.
  EXPECT_THAT(error_of(extended('x', "").substr(0, 512) + std::string(1024, '\0')),
              HasSubstr("without an entry"));
}

TEST(Tar, NumbersAreNumbers) {
  EXPECT_THAT(error_of(changed_header(124, "\x80")), HasSubstr("is not one"));  // base 256
  EXPECT_THAT(error_of(changed_header(124, "9")), HasSubstr("is not one"));
  EXPECT_THAT(error_of(changed_header(100, "-1")), HasSubstr("is not one"));
}

TEST(Tar, OtherFormats) {
  EXPECT_THAT(error_of(std::string(10'000, 'x')), HasSubstr("not a tar archive"));
  for (const char* sql : {"select 1;\n", "s"}) EXPECT_THAT(error_of(sql), HasSubstr("sql -f"));
  EXPECT_THAT(error_of(std::string("PGDMP\1\0\0", 8)), HasSubstr("pg_restore"));
  EXPECT_EQ(error_of(changed_header(257, std::string_view("ustar  \0", 8))), "");
  EXPECT_THAT(error_of(changed_header(257, std::string_view("ustar\0zz", 8))),
              HasSubstr("damaged"));
}

TEST(Tar, NothingMayFollowTheEnd) {
  const std::string bytes = tar_of(sample());
  EXPECT_EQ(error_of(bytes + std::string(10'240, '\0')), "");
  EXPECT_THAT(error_of(bytes + "x"), HasSubstr("something follows"));
  EXPECT_THAT(error_of(bytes + bytes), HasSubstr("something follows"));
  EXPECT_EQ(error_of(std::string(1024, '\0')), "");
}

TEST(Tar, WhatTheFormatCannotHold) {
  std::string bytes;
  TarWriter writer(into(bytes));
  EXPECT_TRUE(writer.begin({.name = std::string(99, 'n')}).ok());
  EXPECT_THAT(writer.begin({.name = std::string(100, 'n')}).message(), HasSubstr("too long"));
  EXPECT_THAT(writer.begin({.name = "n", .size = uint64_t{1} << 33}).message(),
              HasSubstr("too large"));
}

TEST(Tar, FailuresArePassedOn) {
  TarWriter writer([](std::string_view) { return Status::io_error("disk full"); });
  EXPECT_EQ(writer.begin({.name = "n"}).message(), "disk full");
  TarReader reader([](char*, size_t, size_t*) { return Status::io_error("bad sector"); });
  TarEntry entry;
  bool end = false;
  EXPECT_EQ(reader.next(&entry, &end).message(), "bad sector");
}

std::string gzip_of(const std::string& bytes) {
  std::string packed;
  GzipWriter writer(into(packed));
  EXPECT_TRUE(writer.write(bytes).ok());
  EXPECT_TRUE(writer.finish().ok());
  return packed;
}

Status gunzip(const ByteSource& source, std::string* bytes) {
  GunzipReader reader(source);
  char buffer[1000];
  while (true) {
    size_t count = 0;
    Status status = reader.read(buffer, sizeof buffer, &count);
    if (!status.ok() || count == 0) return status;
    bytes->append(buffer, count);
  }
}

std::string varied() {
  std::string bytes;
  for (unsigned i = 0, state = 1; i < 300'000; ++i) {
    state = state * 1664525 + 1013904223;
    bytes += static_cast<char>(i % 3 == 0 ? 0 : state >> 24);
  }
  return bytes;
}

TEST(Gzip, ThereAndBack) {
  for (const std::string& bytes : {std::string(), std::string("x"), varied()}) {
    const std::string packed = gzip_of(bytes);
    for (const size_t piece : {size_t{1}, size_t{1000}, SIZE_MAX}) {
      std::string back;
      const Status status = gunzip(from(packed, piece), &back);
      EXPECT_TRUE(status.ok()) << status.message();
      EXPECT_EQ(back, bytes);
    }
  }
  EXPECT_EQ(gzip_of("same"), gzip_of("same"));
}

TEST(Gzip, WhatIsNotGzipStaysAsItIs) {
  for (const std::string& bytes :
       {std::string(), std::string("\x1f"), std::string("ab"), varied()}) {
    std::string back;
    EXPECT_TRUE(gunzip(from(bytes, 999), &back).ok());
    EXPECT_EQ(back, bytes);
  }
}

TEST(Gzip, DamageIsNoticed) {
  const std::string content = std::string(5000, 'a') + "tail";
  const std::string packed = gzip_of(content);
  for (size_t size = 2; size < packed.size(); ++size) {
    std::string back;
    EXPECT_THAT(gunzip(from(packed.substr(0, size)), &back).message(), HasSubstr("truncated"))
        << size;
  }
  for (size_t at = 10; at < packed.size(); ++at) {
    std::string bytes = packed;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x40);
    std::string back;
    const Status status = gunzip(from(bytes), &back);
    // The last bits before the checksum mean nothing.
    EXPECT_TRUE(status.code() == StatusCode::kIncompatible || back == content) << at;
  }
  std::string back;
  EXPECT_THAT(gunzip(from(packed + "x"), &back).message(), HasSubstr("follows"));
}

}  // namespace
}  // namespace pglite::tarball
