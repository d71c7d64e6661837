#include "postgres/guest/log_pipe.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace pglite::postgres {

namespace {

// struct PipeProtoHeader: two zeros, the length, the process, the flags.
constexpr size_t kLengthOffset = 2;
constexpr size_t kPidOffset = 4;
constexpr size_t kFlagsOffset = 8;

template <class T>
T load(std::string_view bytes, size_t offset) {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

LogPipe::~LogPipe() {
  try {
    if (!input_.empty()) add_text(std::exchange(input_, {}));
    flush_text();
    for (auto& [pid, writer] : writers_) {
      if (!writer.is_lost) callback_({.kind = LogRecord::Kind::kLost, .pid = pid, .bytes = {}});
    }
  } catch (...) {  // NOLINT(bugprone-empty-catch): there is nowhere left to report it
  }
}

vfs::Result<size_t> LogPipe::write(std::span<const std::byte> data) {
  std::string_view rest(reinterpret_cast<const char*>(data.data()), data.size());
  try {
    while (!rest.empty()) {
      // As much as one chunk may need: what is left over is less.
      const std::string_view piece = rest.substr(0, kLongestChunk);
      rest.remove_prefix(piece.size());
      input_ += piece;
      read_input();
    }
  } catch (const std::bad_alloc&) {
    input_ = {};
    text_ = {};
    while (!writers_.empty() && bytes_ > 0) lose_oldest();
    return vfs::error(std::errc::no_space_on_device);
  }
  return data.size();
}

size_t LogPipe::chunk_size(std::string_view input) {
  // Whatever is there must be that of a header.
  const size_t nuls = std::min<size_t>(input.size(), kLengthOffset);
  if (input.substr(0, nuls) != std::string_view("\0\0", nuls)) return 0;
  if (input.size() < kHeaderSize) return kHeaderSize;
  const auto length = load<uint16_t>(input, kLengthOffset);
  const auto pid = load<int32_t>(input, kPidOffset);
  const auto destination = static_cast<uint8_t>(load<uint8_t>(input, kFlagsOffset) & ~kIsLast);
  if (length == 0 || length > kLongestChunk - kHeaderSize || pid == 0 ||
      (destination != kIsText && destination != kIsJson)) {
    return 0;
  }
  return kHeaderSize + length;
}

void LogPipe::read_input() {
  std::string_view rest = input_;
  while (!rest.empty()) {
    const size_t size = chunk_size(rest);
    if (size > rest.size()) break;
    if (size > 0) {
      add_chunk(rest.substr(0, size));
      rest.remove_prefix(size);
      continue;
    }
    // The next chunk begins with a zero.
    const std::string_view text = rest.substr(0, rest.find('\0', 1));
    add_text(text);
    rest.remove_prefix(text.size());
  }
  input_.erase(0, input_.size() - rest.size());
}

void LogPipe::add_chunk(std::string_view chunk) {
  flush_text();
  const auto pid = load<int32_t>(chunk, kPidOffset);
  const auto flags = load<uint8_t>(chunk, kFlagsOffset);
  const auto destination = static_cast<uint8_t>(flags & ~kIsLast);
  const bool is_last = (flags & kIsLast) != 0;
  const std::string_view bytes = chunk.substr(kHeaderSize);
  const LogRecord::Kind kind =
      destination == kIsJson ? LogRecord::Kind::kJson : LogRecord::Kind::kText;

  auto found = writers_.find(pid);
  // It has begun another one.
  if (found != writers_.end() && found->second.destination != destination) {
    lose(pid, found->second);
    writers_.erase(found);
    found = writers_.end();
  }
  if (found == writers_.end()) {
    if (is_last) return callback_({.kind = kind, .pid = pid, .bytes = bytes});
    while (writers_.size() >= kMostWriters) lose_oldest();
    found = writers_.emplace(pid, Writer{}).first;
    found->second.destination = destination;
    found->second.turn = ++turns_;
  }
  Writer& writer = found->second;
  if (!writer.is_lost) {
    if (bytes_ + bytes.size() > kMostBytes) {
      lose(pid, writer);
    } else {
      writer.bytes += bytes;
      bytes_ += bytes.size();
    }
  }
  if (!is_last) return;
  const Writer done = std::move(writer);
  bytes_ -= done.bytes.size();
  writers_.erase(found);
  if (!done.is_lost) callback_({.kind = kind, .pid = pid, .bytes = done.bytes});
}

void LogPipe::lose(int32_t pid, Writer& writer) {
  bytes_ -= writer.bytes.size();
  writer.bytes = {};
  if (!std::exchange(writer.is_lost, true)) {
    callback_({.kind = LogRecord::Kind::kLost, .pid = pid, .bytes = {}});
  }
}

void LogPipe::lose_oldest() {
  const auto oldest =
      std::ranges::min_element(writers_, {}, [](const auto& entry) { return entry.second.turn; });
  lose(oldest->first, oldest->second);
  writers_.erase(oldest);
}

void LogPipe::add_text(std::string_view text) {
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    const size_t size = std::min(newline == std::string_view::npos ? text.size() : newline + 1,
                                 kLongestText - text_.size());
    text_ += text.substr(0, size);
    text.remove_prefix(size);
    if (text_.ends_with('\n') || text_.size() == kLongestText) flush_text();
  }
}

void LogPipe::flush_text() {
  if (text_.empty()) return;
  const std::string text = std::exchange(text_, {});
  callback_({.kind = LogRecord::Kind::kText, .pid = 0, .bytes = text});
}

}  // namespace pglite::postgres
