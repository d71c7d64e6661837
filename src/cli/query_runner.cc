#include "cli/query_runner.h"

#include <utility>

#include "cli/error_report.h"
#include "wire/frontend.h"
#include "wire/frontend_message.h"

namespace pglite::cli {

QueryRunner::QueryRunner(SqlSession& session, Display display, Output& out, Output& err)
    : session_(session),
      display_(std::move(display)),
      out_(out),
      err_(err),
      results_(&out),
      writer_(make_writer(display_, out)),
      standard_strings_(session.standard_strings) {}

void QueryRunner::set_results(std::unique_ptr<Output> file) {
  static_cast<void>(results_->flush());
  Output* const results = file ? file.get() : &out_;
  writer_ = make_writer(display_, *results);
  results_ = results;
  file_ = std::move(file);
}

void QueryRunner::begin_session() {
  ++session_number_;
  transaction_status_ = 'I';
  standard_strings_ = session_.standard_strings;
  reader_ = {};
}

std::string QueryRunner::set_script(std::string name) {
  return std::exchange(script_, std::move(name));
}

int QueryRunner::run(Statement statement) {
  constexpr size_t kLimit = wire::kLargeMessageLimit - 5;
  statement_ = std::move(statement);
  if (statement_.text.find('\0') != std::string::npos) {
    return refuse("a NUL byte cannot be part of SQL");
  }
  if (statement_.text.size() > kLimit) {
    return refuse("the statement is longer than " + std::to_string(kLimit) + " bytes");
  }
  return send(wire::query(statement_.text));
}

int QueryRunner::show_query(const std::string& sql, const Caption& caption) {
  writer_->set_caption(caption);
  is_own_ = true;
  const int code = send(wire::query(sql));
  is_own_ = false;
  writer_->set_caption({});
  return code;
}

int QueryRunner::fetch(const std::string& sql, Rows* rows, bool is_silent) {
  rows->clear();
  fetched_ = rows;
  is_silent_ = is_silent;
  is_own_ = true;
  const int code = send(wire::query(sql));
  fetched_ = nullptr;
  is_silent_ = is_own_ = false;
  return code;
}

void QueryRunner::show_table(const std::vector<std::string>& columns, const Rows& rows,
                             const Caption& caption) {
  std::vector<wire::Column> described(columns.size());
  for (size_t i = 0; i < columns.size(); ++i) described[i].name = columns[i];
  writer_->set_caption(caption);
  writer_->begin(described);
  in_result_ = true;
  for (const auto& row : rows) writer_->row(Row(row.begin(), row.end()));
  end_result(true);
}

int QueryRunner::send_data(std::string_view data) {
  return send(wire::copy_data(data));
}
int QueryRunner::end_data() {
  return send(wire::copy_done());
}
int QueryRunner::fail_data(std::string_view reason) {
  return send(wire::copy_fail(reason));
}

int QueryRunner::send(std::string_view messages) {
  bool understood = true;
  failed_ = false;
  const Status status = session_.exec(messages, [&](std::string_view bytes) {
    understood = understood && reader_.feed(bytes, [this](const wire::BackendMessage& message) {
      receive(message);
    });
    if (!out_.status().ok() && session_.give_up && !gave_up_) {
      gave_up_ = true;
      session_.give_up();
    }
  });
  if (!status.ok() && !gave_up_) return fail(status);
  if (!understood || malformed_) {
    return fail(Status::engine_gone("the backend sent a malformed message"));
  }
  if (const Status written = out_.flush(); !written.ok()) return fail(written);
  if (file_) {
    if (const Status written = file_->flush(); !written.ok()) {
      set_results(nullptr);
      return refuse(written.message());
    }
  }
  return failed_ ? kExitSqlError : kExitOk;
}

void QueryRunner::receive(const wire::BackendMessage& message) {
  switch (message.type) {
    case 'T':
      if (!check(wire::parse_row_description(message.body, &columns_))) return;
      column_count_ = columns_.size();
      binary_.clear();
      for (const wire::Column& column : columns_) binary_.push_back(column.binary);
      if (fetched_ == nullptr) writer_->begin(columns_);
      in_result_ = true;
      break;
    case 'D':
      receive_row(message.body);
      break;
    case 'C': {
      std::string_view tag;
      if (!check(wire::parse_command_complete(message.body, &tag))) return;
      const bool had_result = end_result(true);
      // Printed, the tag of a COPY TO would look like the last line of its data.
      const bool is_data = copy_out_ && copy_target_ == nullptr;
      if (!is_data && fetched_ == nullptr) writer_->command(tag, had_result);
      copy_in_ = copy_out_ = false;
      break;
    }
    case 'E':
      end_result(false);
      copy_in_ = copy_out_ = false;
      failed_ = true;
      if (!gave_up_) show_report(message.body, true);
      break;
    case 'N':
      show_report(message.body, false);
      break;
    case 'A':
      show_notification(message.body);
      break;
    case 'S': {
      std::string_view name;
      std::string_view value;
      if (!check(wire::parse_parameter_status(message.body, &name, &value))) return;
      if (name == "standard_conforming_strings") standard_strings_ = value == "on";
      if (name == "is_superuser") is_superuser_ = value == "on";
      break;
    }
    case 'Z':
      check(wire::parse_ready_for_query(message.body, &transaction_status_));
      break;
    case 'G':
      copy_in_ = true;
      break;
    case 'H':
      copy_out_ = true;
      break;
    case 'd':
      (copy_target_ == nullptr ? *results_ : *copy_target_).write(message.body);
      break;
    default:
      break;  // EmptyQueryResponse, CopyDone: nothing to show
  }
}

void QueryRunner::receive_row(std::string_view body) {
  if (!check(wire::parse_data_row(body, &row_) && in_result_ && row_.size() == column_count_)) {
    return;
  }
  if (fetched_ != nullptr) {
    fetched_->emplace_back(row_.begin(), row_.end());
    return;
  }
  show_binary();
  writer_->row(row_);
}

void QueryRunner::show_notification(std::string_view body) {
  wire::Notification n;
  if (!check(wire::parse_notification(body, &n))) return;
  std::string line = "Asynchronous notification \"" + std::string(n.channel) + "\"";
  if (!n.payload.empty()) line += " with payload \"" + std::string(n.payload) + "\"";
  show(line + " received from server process with PID " + std::to_string(n.pid) + ".\n");
}

bool QueryRunner::check(bool good) {
  malformed_ = malformed_ || !good;
  return good;
}

bool QueryRunner::end_result(bool complete) {
  const bool had_result = std::exchange(in_result_, false);
  if (!had_result || fetched_ != nullptr) return had_result;
  if (complete && pager && file_ == nullptr) {
    const std::optional<Extent> extent = writer_->extent();
    if (extent && pager(*extent, [this] { writer_->end(true); })) return true;
  }
  writer_->end(complete);
  return true;
}

// Only a binary cursor sends such values to a simple Query; they are shown as bytea is.
void QueryRunner::show_binary() {
  constexpr char kDigits[] = "0123456789abcdef";
  hex_.resize(row_.size());
  for (size_t i = 0; i < row_.size(); ++i) {
    std::optional<std::string_view>& value = row_[i];
    if (!binary_[i] || !value) continue;
    hex_[i] = "\\x";
    for (char c : *value) {
      hex_[i] += kDigits[static_cast<unsigned char>(c) >> 4];
      hex_[i] += kDigits[static_cast<unsigned char>(c) & 15];
    }
    value = hex_[i];
  }
}

void QueryRunner::show_report(std::string_view body, bool is_error) {
  wire::ErrorFields fields;
  if (!check(wire::parse_error(body, &fields))) return;
  if (is_silent_) return;
  const std::string_view query = is_own_ ? std::string_view() : statement_.text;
  show(report(fields, query, script_, statement_.first_line, is_error));
}

// What was printed so far goes first, so that both streams on one terminal are in order.
void QueryRunner::show(std::string_view text) {
  if (before_message) before_message();
  static_cast<void>(out_.flush());
  err_.write(text);
  static_cast<void>(err_.flush());
}

int QueryRunner::refuse(const std::string& reason) {
  const std::string where =
      script_.empty() ? "" : script_ + ":" + std::to_string(statement_.first_line) + ": ";
  show(where + "ERROR:  " + reason + "\n");
  return kExitSqlError;
}

int QueryRunner::fail(const Status& status) {
  show("pglite-port: " + status.message() + "\n");
  return status.exit_code() == kExitOk ? kExitEngine : status.exit_code();
}

}  // namespace pglite::cli
