#include "tarball/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <new>

namespace pglite::tarball {
namespace {

constexpr size_t kBufferSize = size_t{64} << 10;
constexpr int kGzipWindow = MAX_WBITS + 16;  // zlib's way to say gzip
constexpr int kMemoryLevel = 8;              // zlib's default

// These calls of zlib fail only when there is no memory.
void check(int result) {
  if (result != Z_OK) throw std::bad_alloc();
}

}  // namespace

GzipWriter::GzipWriter(ByteSink sink)
    : sink_(std::move(sink)), stream_(std::make_unique<z_stream>()) {
  check(deflateInit2(stream_.get(), Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, kMemoryLevel,
                     Z_DEFAULT_STRATEGY));
}

GzipWriter::~GzipWriter() {
  deflateEnd(stream_.get());
}

Status GzipWriter::deflate(std::string_view bytes, int flush) {
  std::array<char, kBufferSize> out{};
  stream_->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));  // only read
  stream_->avail_in = static_cast<uInt>(bytes.size());
  do {
    stream_->next_out = reinterpret_cast<Bytef*>(out.data());
    stream_->avail_out = out.size();
    ::deflate(stream_.get(), flush);
    const size_t count = out.size() - stream_->avail_out;
    if (count == 0) break;
    if (Status status = sink_({out.data(), count}); !status.ok()) return status;
  } while (stream_->avail_out == 0);
  return {};
}

Status GzipWriter::write(std::string_view bytes) {
  constexpr size_t kMost = UINT_MAX;
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kMost);
    if (Status status = deflate(piece, Z_NO_FLUSH); !status.ok()) return status;
    bytes.remove_prefix(piece.size());
  }
  return {};
}

Status GzipWriter::finish() {
  return deflate({}, Z_FINISH);
}

GunzipReader::GunzipReader(ByteSource source)
    : source_(std::move(source)), input_(std::make_unique<char[]>(kBufferSize)) {}

GunzipReader::~GunzipReader() {
  if (stream_ != nullptr) inflateEnd(stream_.get());
}

Status GunzipReader::refill() {
  begin_ = 0;
  end_ = 0;
  if (source_ended_) return {};
  Status status = source_(input_.get(), kBufferSize, &end_);
  if (status.ok() && end_ == 0) source_ended_ = true;
  return status;
}

Status GunzipReader::read(char* buffer, size_t size, size_t* count) {
  *count = 0;
  if (!started_) {
    started_ = true;
    // Two bytes tell gzip from tar. A pipe may deliver them one at a time.
    while (end_ < 2 && !source_ended_) {
      size_t more = 0;
      Status status = source_(input_.get() + end_, kBufferSize - end_, &more);
      if (!status.ok()) return status;
      end_ += more;
      source_ended_ = more == 0;
    }
    if (end_ >= 2 && std::memcmp(input_.get(), "\x1f\x8b", 2) == 0) {
      stream_ = std::make_unique<z_stream>();
      check(inflateInit2(stream_.get(), kGzipWindow));
    }
  }
  if (stream_ != nullptr) return unpack(buffer, size, count);
  if (begin_ == end_) {
    if (Status status = refill(); !status.ok()) return status;
  }
  *count = std::min(size, end_ - begin_);
  std::memcpy(buffer, input_.get() + begin_, *count);
  begin_ += *count;
  return {};
}

Status GunzipReader::unpack(char* buffer, size_t size, size_t* count) {
  while (*count == 0 && size > 0) {
    if (begin_ == end_) {
      if (Status status = refill(); !status.ok()) return status;
    }
    if (stream_ended_) {
      if (begin_ == end_) return {};
      return Status::incompatible("the archive is damaged: something follows its gzip stream");
    }
    if (begin_ == end_) {
      return Status::incompatible("the archive is truncated: its gzip stream has no end");
    }
    stream_->next_in = reinterpret_cast<Bytef*>(input_.get() + begin_);
    stream_->avail_in = static_cast<uInt>(end_ - begin_);
    stream_->next_out = reinterpret_cast<Bytef*>(buffer);
    stream_->avail_out = static_cast<uInt>(std::min<size_t>(size, UINT_MAX));
    const uInt room = stream_->avail_out;
    const int result = inflate(stream_.get(), Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
      return Status::incompatible(std::string("the archive is damaged: gzip: ") +
                                  (stream_->msg != nullptr ? stream_->msg : zError(result)));
    }
    begin_ = end_ - stream_->avail_in;
    *count = room - stream_->avail_out;
    stream_ended_ = result == Z_STREAM_END;
  }
  return {};
}

}  // namespace pglite::tarball
