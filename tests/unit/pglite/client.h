// A small client for tests: sends requests to an Instance and reads the answers. What is for the
// sessions of a Cluster is in session_client.h.
#ifndef PGLITE_TESTS_UNIT_POSTGRES_CLIENT_H_
#define PGLITE_TESTS_UNIT_POSTGRES_CLIENT_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pglite/instance.h"
#include "wire/backend.h"
#include "wire/frontend_message.h"

namespace pglite::postgres {

// What an answer was.
struct Answer {
  Status status;
  std::string types;                // of all messages, in order
  std::vector<std::string> rows;    // columns joined by '|', NULL as "null"
  std::vector<std::string> errors;  // "SQLSTATE message"
  std::vector<std::string> tags;
  std::vector<std::string> notifications;  // "channel payload"
  std::string copied;                      // by COPY TO STDOUT

  // Everything that a test of one value wants: the first row, or the error.
  [[nodiscard]] std::string text() const {
    if (!status.ok()) return "status: " + status.message();
    if (!errors.empty()) return errors[0];
    return rows.empty() ? types : rows[0];
  }
};

inline void add(const wire::BackendMessage& message, Answer* answer) {
  answer->types += message.type;
  if (message.type == 'D') {
    std::vector<std::optional<std::string_view>> values;
    EXPECT_TRUE(wire::parse_data_row(message.body, &values));
    std::string row;
    for (const auto& value : values) {
      if (&value != &values.front()) row += '|';
      row += value.value_or("null");
    }
    answer->rows.push_back(std::move(row));
  } else if (message.type == 'E') {
    wire::ErrorFields fields;
    EXPECT_TRUE(wire::parse_error(message.body, &fields));
    answer->errors.push_back(std::string(fields.sqlstate) + " " + std::string(fields.message));
  } else if (message.type == 'C') {
    std::string_view tag;
    EXPECT_TRUE(wire::parse_command_complete(message.body, &tag));
    answer->tags.emplace_back(tag);
  } else if (message.type == 'A') {
    wire::Notification notification;
    EXPECT_TRUE(wire::parse_notification(message.body, &notification));
    answer->notifications.push_back(std::string(notification.channel) + " " +
                                    std::string(notification.payload));
  } else if (message.type == 'd') {
    answer->copied += message.body;
  }
}

class InstanceClient {
 public:
  explicit InstanceClient(Instance& instance) : instance_(instance) {}

  Answer send(std::string_view request) {
    Answer answer;
    wire::BackendReader reader;
    answer.status = instance_.exec_protocol(request, [&](std::string_view bytes) {
      EXPECT_TRUE(
          reader.feed(bytes, [&](const wire::BackendMessage& message) { add(message, &answer); }));
    });
    return answer;
  }
  Answer query(std::string_view sql) { return send(wire::query(sql)); }
  // The first row, or the error.
  std::string value(std::string_view sql) { return query(sql).text(); }

 private:
  Instance& instance_;
};

// A directory of the host that goes with the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "pglite-test-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Opens an instance; the test fails if that does.
inline std::unique_ptr<Instance> open_instance(const Options& options = {}) {
  std::unique_ptr<Instance> instance;
  const Status status = Instance::open(options, &instance);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(status.ok(), instance != nullptr);
  return instance;
}

inline Options in_directory(const std::filesystem::path& path) {
  Options options;
  options.data_dir = path.string();
  // The tests look at what is written, not at the disk.
  options.durability = Durability::kRelaxed;
  return options;
}

// The status of an open that must fail.
inline Status open_fails(const Options& options) {
  std::unique_ptr<Instance> instance;
  Status status = Instance::open(options, &instance);
  EXPECT_EQ(instance, nullptr);
  EXPECT_FALSE(status.ok());
  return status;
}

}  // namespace pglite::postgres

#endif  // PGLITE_TESTS_UNIT_POSTGRES_CLIENT_H_
