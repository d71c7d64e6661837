// An Instance that answers each query with bytes that the test wrote down.
#ifndef PGLITE_TESTS_UNIT_CLI_SCRIPTED_INSTANCE_H_
#define PGLITE_TESTS_UNIT_CLI_SCRIPTED_INSTANCE_H_

#include <fcntl.h>
#include <pglite/instance.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wire/byte_order.h"
#include "wire/frontend.h"
#include "wire/frontend_message.h"

namespace pglite::cli {

// Backend messages.
inline std::string description(const std::vector<std::pair<std::string, uint32_t>>& columns) {
  std::string body;
  wire::append_u16(body, static_cast<uint16_t>(columns.size()));
  for (const auto& [name, type_oid] : columns) {
    body += name + std::string(7, '\0');
    wire::append_u32(body, type_oid);
    body += std::string("\xff\xff\xff\xff\xff\xff\0\0", 8);
  }
  return wire::message('T', body);
}

inline std::string data_row(const std::vector<std::optional<std::string>>& values) {
  std::string body;
  wire::append_u16(body, static_cast<uint16_t>(values.size()));
  for (const auto& value : values) {
    wire::append_u32(body, value ? static_cast<uint32_t>(value->size()) : 0xffffffff);
    body += value.value_or("");
  }
  return wire::message('D', body);
}

inline std::string complete(const std::string& tag) {
  return wire::message('C', tag + '\0');
}
inline std::string ready() {
  return wire::message('Z', "I");
}
inline std::string copy_in() {
  return wire::message('G', std::string(3, '\0'));
}
inline std::string copy_out() {
  return wire::message('H', std::string(3, '\0'));
}

// `fields`: each a code and its text, "SERROR".
inline std::string report_message(char type, const std::vector<std::string>& fields) {
  std::string body;
  for (const std::string& field : fields) body += field + '\0';
  return wire::message(type, body + '\0');
}

class ScriptedInstance : public Instance {
 public:
  Status exec_protocol(std::string_view request, const ResponseSink& sink) override {
    if (!next_status.ok()) return next_status;
    std::vector<wire::FrontendPacket> packets;
    if (const std::string error = wire::split_frame(request, &packets); !error.empty()) {
      return Status::invalid_argument(error);
    }
    for (const wire::FrontendPacket& packet : packets) {
      const std::string_view body = packet.bytes.substr(5);
      std::string answer;
      switch (packet.type) {
        case 'Q':
          queries.emplace_back(body.substr(0, body.size() - 1));
          if (const auto found = answers.find(queries.back()); found != answers.end()) {
            answer = found->second;
          } else {
            answer = complete("OK") + ready();
          }
          break;
        case 'd':
          copied += body;
          break;
        case 'c':
          answer = complete("COPY 1") + ready();
          break;
        case 'f':
          answer = report_message('E', {"SERROR", "C57014",
                                        "M" + std::string(body.substr(0, body.size() - 1))}) +
                   ready();
          break;
        default:
          break;
      }
      // Cut in awkward places, as real pieces may be.
      for (size_t at = 0; at < answer.size(); at += 7) sink(std::string_view(answer).substr(at, 7));
    }
    return {};
  }

  Status dump_sql(const std::vector<std::string>& arguments, Compression compression,
                  const ByteSink& sink) override {
    dump_arguments = arguments;
    const Status written = sink(compression == Compression::kNone ? "-- SQL\n" : "gzip");
    return written.ok() ? next_status : written;
  }

  Status close() override {
    ++close_count;
    return close_status;
  }

  std::map<std::string, std::string> answers;
  std::vector<std::string> queries;
  std::string copied;
  std::vector<std::string> dump_arguments;
  Status next_status;
  Status close_status;
  int close_count = 0;
};

// A file in memory, to stand for a standard descriptor.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content = {}) : fd_(memfd_create("test", MFD_CLOEXEC)) {
    if (::write(fd_, content.data(), content.size()) < 0) std::abort();
    ::lseek(fd_, 0, SEEK_SET);
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }
  [[nodiscard]] std::string content() const {
    struct stat status{};
    ::fstat(fd_, &status);
    std::string text(static_cast<size_t>(status.st_size), '\0');
    if (::pread(fd_, text.data(), text.size(), 0) != status.st_size) std::abort();
    return text;
  }

 private:
  int fd_;
};

}  // namespace pglite::cli

#endif  // PGLITE_TESTS_UNIT_CLI_SCRIPTED_INSTANCE_H_
