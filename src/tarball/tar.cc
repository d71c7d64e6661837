#include "tarball/tar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace pglite::tarball {
namespace {

constexpr size_t kBlock = 512;
using Block = std::array<char, kBlock>;

// Offset and size of a header's fields.
struct Field {
  size_t offset;
  size_t size;
};
constexpr Field kName = {0, 100};
constexpr Field kMode = {100, 8};
constexpr Field kUid = {108, 8};
constexpr Field kGid = {116, 8};
constexpr Field kSize = {124, 12};
constexpr Field kMtime = {136, 12};
constexpr Field kChecksum = {148, 8};
constexpr size_t kType = 156;
constexpr Field kMagic = {257, 8};  // with the version
constexpr Field kPrefix = {345, 155};
constexpr std::string_view kUstar("ustar\00000", 8);
constexpr std::string_view kGnu("ustar  \0", 8);

Status damaged(const std::string& what) {
  return Status::incompatible("the archive is damaged: " + what);
}

Status truncated(const std::string& where) {
  return Status::incompatible("the archive is truncated: it ends " + where);
}

// The name as a terminal may show it.
std::string quoted(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) out += c >= 0 && c < ' ' ? '?' : c;
  return out + "\"";
}

void put(Block& header, Field field, std::string_view text) {
  std::memcpy(header.data() + field.offset, text.data(), text.size());
}

void put_octal(Block& header, Field field, uint64_t value) {
  for (size_t digit = field.size - 1; digit-- > 0; value >>= 3) {
    header[field.offset + digit] = static_cast<char>('0' + (value & 7));
  }
}

std::string_view text_of(const Block& header, Field field) {
  const std::string_view text(header.data() + field.offset, field.size);
  return text.substr(0, text.find('\0'));
}

// Digits, with spaces before and spaces or zero bytes behind.
bool octal_of(const Block& header, Field field, uint64_t* value) {
  std::string_view text = text_of(header, field);
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  text = text.substr(0, text.find(' '));
  *value = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '7') return false;
    *value = *value << 3 | static_cast<uint64_t>(digit - '0');
  }
  return true;
}

uint64_t checksum_of(const Block& header) {
  uint64_t sum = 0;
  for (size_t at = 0; at < kBlock; ++at) {
    const bool in_field = at >= kChecksum.offset && at < kChecksum.offset + kChecksum.size;
    sum += in_field ? ' ' : static_cast<unsigned char>(header[at]);
  }
  return sum;
}

bool is_zero(std::string_view bytes) {
  return std::ranges::all_of(bytes, [](char c) { return c == '\0'; });
}

uint64_t padding_after(uint64_t size) {
  return (kBlock - size % kBlock) % kBlock;
}

// Types of extended headers: of the next entry, of all that follow, and GNU's long names.
constexpr char kPax = 'x';
constexpr char kPaxGlobal = 'g';
constexpr char kGnuName = 'L';
constexpr uint64_t kExtensionLimit = 1 << 20;
constexpr std::string_view kDumpMagic = "PGDMP";  // pg_dump -Fc

template <class T>
bool number_of(std::string_view text, T* value) {
  const char* const begin = text.begin();
  const char* const end = text.end();
  const auto parsed = std::from_chars(begin, end, *value);
  return parsed.ec == std::errc() && parsed.ptr == end;
}

// Takes the first record, "LENGTH KEYWORD=VALUE\n", off `*records`. LENGTH counts all of it.
bool take_record(std::string_view* records, std::string_view* keyword, std::string_view* value) {
  size_t length = 0;
  const size_t space = records->find(' ');
  if (space == std::string_view::npos || !number_of(records->substr(0, space), &length) ||
      length <= space + 1 || length > records->size() || (*records)[length - 1] != '\n') {
    return false;
  }
  const std::string_view record = records->substr(space + 1, length - space - 2);
  records->remove_prefix(length);
  const size_t equals = record.find('=');
  if (equals == std::string_view::npos) return false;
  *keyword = record.substr(0, equals);
  *value = record.substr(equals + 1);
  return true;
}

// What somebody took for an archive, by its first block, or less of it.
Status not_an_archive(std::string_view begin) {
  std::string what = "this is not a tar archive, plain or gzip";
  if (begin.starts_with(kDumpMagic)) {
    what +=
        ", but pg_dump's custom format: make SQL of it with a native \"pg_restore -f -\", which "
        "\"pglite-port sql -f\" reads";
  } else if (begin.find('\0') == std::string_view::npos) {
    what += ": SQL is read by \"pglite-port sql -f\"";
  }
  return Status::incompatible(what);
}

// One leading slash is PGlite's way to say "the data directory"; "./" is tar's.
Status relative_name(std::string_view text, std::string* name) {
  std::string_view rest = text;
  if (rest.starts_with("/")) {
    rest.remove_prefix(1);
  } else if (rest == ".") {
    rest = {};
  } else if (rest.starts_with("./")) {
    rest.remove_prefix(2);
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  *name = rest;
  while (!rest.empty()) {
    const size_t slash = rest.find('/');
    const std::string_view component = rest.substr(0, slash);
    if (component.empty() || component == "." || component == "..") {
      return Status::incompatible("the archive has an entry that is not inside a data directory: " +
                                  quoted(text));
    }
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
    if (rest.empty()) return damaged("the name " + quoted(text));
  }
  return {};
}

}  // namespace

Status TarWriter::begin(const TarEntry& entry) {
  const std::string name = "/" + entry.name;
  Block header{};
  if (name.size() > kName.size) {
    return Status::incompatible("the name " + quoted(entry.name) +
                                " is too long for PGlite: it has " + std::to_string(name.size()) +
                                " bytes, the most are " + std::to_string(kName.size));
  }
  if (entry.size >= uint64_t{1} << 33) {
    return Status::incompatible(quoted(entry.name) + " is too large for tar: 8 GiB or more");
  }
  put(header, kName, name);
  put_octal(header, kMode, entry.mode & 0777);
  put_octal(header, kUid, 0);
  put_octal(header, kGid, 0);
  put_octal(header, kSize, entry.size);
  put_octal(header, kMtime, static_cast<uint64_t>(std::max<int64_t>(0, entry.mtime)));
  header[kType] = entry.is_directory ? '5' : '0';
  put(header, kMagic, kUstar);
  put_octal(header, {kChecksum.offset, 7}, checksum_of(header));
  header[kChecksum.offset + 7] = ' ';
  left_ = entry.size;
  padding_ = padding_after(entry.size);
  return sink_({header.data(), header.size()});
}

Status TarWriter::write(std::string_view bytes) {
  if (bytes.empty()) return {};
  left_ -= bytes.size();
  Status status = sink_(bytes);
  if (status.ok() && left_ == 0 && padding_ > 0) {
    const Block zeros{};
    status = sink_({zeros.data(), padding_});
  }
  return status;
}

Status TarWriter::finish() {
  const std::array<char, 2 * kBlock> zeros{};
  return sink_({zeros.data(), zeros.size()});
}

Status TarReader::fill(char* buffer, size_t size, size_t* count) {
  *count = 0;
  while (*count < size) {
    size_t more = 0;
    Status status = source_(buffer + *count, size - *count, &more);
    if (!status.ok()) return status;
    if (more == 0) break;
    *count += more;
  }
  return {};
}

Status TarReader::skip_content() {
  std::array<char, 1 << 16> scratch{};
  for (uint64_t rest = left_ + padding_; rest > 0;) {
    const size_t wanted = std::min<uint64_t>(rest, scratch.size());
    size_t count = 0;
    if (Status status = fill(scratch.data(), wanted, &count); !status.ok()) return status;
    if (count < wanted) return truncated("within " + quoted(name_));
    rest -= count;
  }
  left_ = 0;
  padding_ = 0;
  return {};
}

// Behind the first block of zeros there must be another one, and nothing but zeros.
Status TarReader::read_end() {
  std::array<char, 1 << 16> buffer{};
  for (bool first = true;; first = false) {
    size_t count = 0;
    if (Status status = fill(buffer.data(), buffer.size(), &count); !status.ok()) return status;
    if (first && count < kBlock) return truncated("before its last block");
    if (!is_zero({buffer.data(), count})) return damaged("something follows its end");
    if (count < buffer.size()) return {};
  }
}

Status TarReader::read_extension(char type, uint64_t size, Extension* extension) {
  extension->there = true;
  if (size > kExtensionLimit)
    return damaged("an extended header of " + std::to_string(size) + " bytes");
  std::string content(size, '\0');
  left_ = size;
  padding_ = padding_after(size);
  size_t count = 0;
  Status status = read(content.data(), size, &count);
  if (status.ok()) status = skip_content();
  if (!status.ok()) return status;
  if (type == kGnuName) {
    extension->path = content.substr(0, content.find('\0'));
    return {};
  }
  for (std::string_view rest = content; !rest.empty();) {
    std::string_view keyword;
    std::string_view value;
    bool good = take_record(&rest, &keyword, &value);
    const bool followed = keyword == "path" || keyword == "size" || keyword == "mtime";
    if (good && keyword.starts_with("GNU.sparse.")) {
      return Status::incompatible("the archive has a sparse file: make it without --sparse");
    }
    // For all entries to come, a time is possible, and means nothing.
    if (good && type == kPaxGlobal) {
      good = keyword != "path" && keyword != "size";
    } else if (good && followed) {
      // An empty value takes back what a global header says.
      if (keyword == "path") {
        extension->path = value;
        good = value.find('\0') == std::string_view::npos;
      } else if (keyword == "size") {
        good = number_of(value, &extension->size.emplace());
      } else {
        good = value.empty() ||
               number_of(value.substr(0, value.find('.')), &extension->mtime.emplace());
      }
    }
    if (!good) return damaged("the extended header after " + quoted(name_));
  }
  return {};
}

Status TarReader::next(TarEntry* entry, bool* end) {
  *end = false;
  Extension extension;
  while (true) {
    bool is_extension = false;
    Status status = read_header(&extension, entry, end, &is_extension);
    if (!status.ok() || !is_extension) return status;
  }
}

Status TarReader::read_header(Extension* extension, TarEntry* entry, bool* end,
                              bool* is_extension) {
  if (Status status = skip_content(); !status.ok()) return status;
  Block header{};
  size_t count = 0;
  if (Status status = fill(header.data(), kBlock, &count); !status.ok()) return status;
  const std::string_view magic(header.data() + kMagic.offset, kMagic.size);
  const bool is_first = name_.empty() && !extension->there;
  const std::string_view block(header.data(), count);
  const bool is_text = count > 0 && block.find('\0') == std::string_view::npos;
  if (is_first && (is_text || block.starts_with(kDumpMagic)) && count < kBlock) {
    return not_an_archive(block);
  }
  if (count < kBlock) {
    return truncated(is_first ? "before its first entry" : "after " + quoted(name_));
  }
  if (is_zero({header.data(), kBlock})) {
    if (extension->there) return damaged("an extended header without an entry");
    *end = true;
    return read_end();
  }
  if (!magic.starts_with("ustar")) {
    return is_first ? not_an_archive({header.data(), kBlock})
                    : Status::incompatible("the archive is damaged after " + quoted(name_));
  }
  uint64_t checksum = 0;
  if (!octal_of(header, kChecksum, &checksum) || checksum != checksum_of(header)) {
    return damaged("the checksum of the entry after " + quoted(name_) + " is wrong");
  }
  std::string name(text_of(header, kName));
  const std::string_view prefix = text_of(header, kPrefix);
  if (magic == kUstar && !prefix.empty()) name = std::string(prefix) + "/" + name;
  if (magic != kUstar && magic != kGnu) return damaged("the format of " + quoted(name));

  const char type = header[kType];
  *is_extension = type == kPax || type == kPaxGlobal || type == kGnuName;
  if (*is_extension) {
    uint64_t size = 0;
    if (!octal_of(header, kSize, &size))
      return damaged("a number of " + quoted(name) + " is not one");
    return read_extension(type, size, extension);
  }
  name = extension->path.value_or(name);
  if (type == '1' || type == '2') {
    return Status::incompatible("the archive has a link, which no data directory needs: " +
                                quoted(name));
  }
  if (type != '0' && type != '\0' && type != '5') {
    return Status::incompatible(
        "the archive has an entry that is neither a file nor a directory: " + quoted(name));
  }
  entry->is_directory = type == '5';
  if (Status status = relative_name(name, &entry->name); !status.ok()) return status;
  uint64_t mode = 0;
  uint64_t mtime = 0;
  if (!octal_of(header, kMode, &mode) || !octal_of(header, kSize, &entry->size) ||
      !octal_of(header, kMtime, &mtime)) {
    return damaged("a number of " + quoted(name) + " is not one");
  }
  entry->size = extension->size.value_or(entry->size);
  entry->mtime = extension->mtime.value_or(static_cast<int64_t>(mtime));
  if (entry->name.empty() && !entry->is_directory) return damaged("a file without a name");
  if (entry->is_directory && entry->size != 0) return damaged("a directory with content");
  entry->mode = static_cast<uint32_t>(mode & 0777);
  name_ = name;
  left_ = entry->size;
  padding_ = padding_after(left_);
  return {};
}

Status TarReader::read(char* buffer, size_t size, size_t* count) {
  *count = 0;
  const size_t wanted = std::min<uint64_t>(size, left_);
  if (wanted == 0) return {};
  if (Status status = fill(buffer, wanted, count); !status.ok()) return status;
  if (*count < wanted) return truncated("within " + quoted(name_));
  left_ -= *count;
  return {};
}

}  // namespace pglite::tarball
