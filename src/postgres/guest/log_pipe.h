// The server log as PostgreSQL gives it to its log collector (src/include/postmaster/syslogger.h):
// each record in chunks, each chunk in one write with a header in front. What is no chunk is text.
#ifndef PGLITE_POSTGRES_GUEST_LOG_PIPE_H_
#define PGLITE_POSTGRES_GUEST_LOG_PIPE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "vfs/devices.h"

namespace pglite::postgres {

struct LogRecord {
  enum class Kind {
    kJson,  // of jsonlog, as PostgreSQL wrote it
    kText,  // of stderr: lines, with their newlines
    kLost,  // too long, or its writer has ended in the middle of it: nothing is left of it
  };
  Kind kind = Kind::kText;
  int32_t pid = 0;  // who wrote it; 0: not said
  std::string_view bytes;
};

// A standard error for all processes of a server. Whatever they write, it keeps no more than
// kMostBytes, and there is a record for it or an end of it. Nothing that it is given is believed.
class LogPipe : public vfs::Device {
 public:
  static constexpr size_t kHeaderSize = 9;
  static constexpr size_t kLongestChunk = 4096;  // PIPE_CHUNK_SIZE of the guest, with its header
  static constexpr size_t kLongestText = size_t{64} * 1024;
  static constexpr size_t kMostBytes = size_t{16} << 20;
  static constexpr size_t kMostWriters = 64;
  // The flags of a chunk.
  static constexpr uint8_t kIsLast = 0x01;
  static constexpr uint8_t kIsText = 0x10;
  static constexpr uint8_t kIsJson = 0x40;

  using Callback = std::function<void(const LogRecord& record)>;

  // The callback must not throw.
  explicit LogPipe(Callback callback) : callback_(std::move(callback)) {}
  // Gives what is left: what the callback refers to must outlive the pipe.
  ~LogPipe() override;
  LogPipe(const LogPipe&) = delete;
  LogPipe& operator=(const LogPipe&) = delete;

  vfs::Result<size_t> read(std::span<std::byte> /*buffer*/) override { return 0; }
  // ENOSPC: no memory; what was not ended is lost.
  vfs::Result<size_t> write(std::span<const std::byte> data) override;
  [[nodiscard]] bool seekable() const override { return false; }

 private:
  struct Writer {
    std::string bytes;  // of its record so far
    uint8_t destination = 0;
    bool is_lost = false;  // the rest of the record is for nobody
    uint64_t turn = 0;     // when it began
  };

  // Takes what is whole off input_.
  void read_input();
  // How many bytes of the input are one chunk; 0: it is none; more than there are: it may become
  // one.
  [[nodiscard]] static size_t chunk_size(std::string_view input);
  void add_chunk(std::string_view chunk);
  void add_text(std::string_view text);
  void flush_text();
  // Makes room for another writer, or for bytes: the record that began first is lost.
  void lose_oldest();
  void lose(int32_t pid, Writer& writer);

  Callback callback_;
  std::string input_;  // the beginning of a chunk
  std::string text_;   // a line that has not ended
  std::map<int32_t, Writer> writers_;
  size_t bytes_ = 0;  // of all writers
  uint64_t turns_ = 0;
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_GUEST_LOG_PIPE_H_
