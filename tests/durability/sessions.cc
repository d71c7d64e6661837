#include "sessions.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "emscripten/kernel.h"
#include "postgres/build/images.h"
#include "wire/frontend_message.h"

namespace pglite::durability {

Status Sessions::start(std::shared_ptr<vfs::FileSystem> data, bool fsync,
                       std::vector<std::string> settings) {
  postgres::PostmasterConfig config;
  config.log = [this](std::string_view line) {
    log_.append(line).append("\n");
    const std::string_view final_words = postgres::final_words(line);
    if (!final_words.empty()) last_fatal_ = final_words;
  };
  config.last_fatal = &last_fatal_;
  auto tree = postgres::make_guest_tree(postgres::bundle_image(), config.log);
  if (!tree || !tree->root->mount(postgres::kDataDirectory, std::move(data))) {
    return Status::engine_gone("the guest's tree cannot be made");
  }
  config.tree = std::move(*tree);
  config.fsync = fsync;
  config.page_size = page_size;
  config.settings = std::move(settings);
  return postgres::Postmaster::start(std::move(config), &postmaster_);
}

Status Sessions::connect(Session** out) {
  auto session = std::make_unique<Session>();
  Status status = postmaster_->connect({}, &session->client);
  if (!status.ok()) return status;
  session->answered = false;
  const std::vector<std::pair<std::string_view, std::string_view>> parameters = {
      {"user", "postgres"}, {"database", "postgres"}};
  session->client->send(wire::startup_packet(parameters));
  Session& added = *sessions_.emplace_back(std::move(session));
  *out = &added;
  return answer(added);
}

void Sessions::send(Session& session, const std::string& sql) {
  session.answered = false;
  session.error = {};
  session.result = {};
  session.client->send(wire::query(sql));
}

void Sessions::read(Session& session) {
  const std::string_view bytes = session.client->output();
  if (bytes.empty()) return;
  session.reader.feed(bytes, [&](const wire::BackendMessage& message) {
    wire::ErrorFields fields;
    std::vector<std::optional<std::string_view>> values;
    if (message.type == 'E' && wire::parse_error(message.body, &fields)) {
      session.error = Status::invalid_argument(std::string(fields.message));
      session.result.sqlstate = fields.sqlstate;
    } else if (message.type == 'D' && wire::parse_data_row(message.body, &values)) {
      std::vector<std::string>& row = session.result.rows.emplace_back();
      for (const auto& value : values) row.emplace_back(value.value_or(""));
    } else if (message.type == 'Z') {
      wire::parse_ready_for_query(message.body, &session.result.transaction_status);
      session.answered = true;
    }
  });
  session.client->take(bytes.size());
}

Status Sessions::run(const std::function<bool()>& done, const std::function<void()>& turn) {
  constexpr double kPatience = 60'000;
  emscripten::Scheduler& scheduler = postmaster_->scheduler();
  double quiet_since = emscripten::monotonic_milliseconds();
  scheduler.begin_slices();
  Status status;
  while (!done()) {
    if (!postmaster_->failure().ok()) {
      status = postmaster_->failure();
      break;
    }
    const double now = emscripten::monotonic_milliseconds();
    if (postmaster_->run_next()) {
      for (const auto& session : sessions_) read(*session);
      turn();
      quiet_since = now;
      continue;
    }
    if (now - quiet_since > kPatience) {
      status = Status::engine_gone("nothing has happened for a minute");
      break;
    }
    postmaster_->wake_event().clear();
    if (scheduler.has_ready()) continue;
    constexpr double kLook = 1000;
    postmaster_->sleep_until(std::min(postmaster_->next_due().value_or(now + kLook), now + kLook));
  }
  scheduler.end_slices();
  return status;
}

Status Sessions::query(Session& session, const std::string& sql, postgres::SqlResult* result) {
  send(session, sql);
  Status status = answer(session);
  if (result != nullptr) *result = session.result;
  return status;
}

Status Sessions::answer(Session& session) {
  const Status status = run([&] { return session.answered || session.client->ended(); });
  if (!status.ok() || !session.error.ok()) return status.ok() ? session.error : status;
  return session.answered ? Status() : Status::session_ended("PostgreSQL has ended the session");
}

}  // namespace pglite::durability
