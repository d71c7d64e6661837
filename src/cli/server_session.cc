#include "cli/server_session.h"

#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <system_error>
#include <utility>

namespace pglite::cli {
namespace {

// How long the end of a query that was cancelled is waited for, in milliseconds, and in which
// steps.
constexpr int kLastWords = 5000;
constexpr int kStep = 100;

// As in a shell's background job.
bool is_ignored(int signal) {
  struct sigaction action{};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

Status ServerSession::open(const client::Parameters& parameters, SessionSignals signals,
                           std::unique_ptr<ServerSession>* out) {
  std::unique_ptr<client::Connection> connection;
  Status status = client::Connection::open(parameters, &connection);
  if (!status.ok()) return status;
  auto done = os::WakeEvent::make();
  if (!done) return Status::io_error(std::make_error_code(done.error()).message());
  std::unique_ptr<ServerSession> session(
      new ServerSession(std::move(connection), std::move(*done)));
  if (signals == SessionSignals::kLeave) {
    *out = std::move(session);
    return {};
  }
  session->signals_ = std::make_unique<os::ShutdownSignals>();
  try {
    session->watcher_ = std::thread([watched = session.get()] { watched->watch_signals(); });
  } catch (const std::system_error& error) {
    return Status::io_error(std::string("no thread for signals: ") + error.what());
  }
  *out = std::move(session);
  return {};
}

ServerSession::ServerSession(std::unique_ptr<client::Connection> connection, os::WakeEvent done)
    : connection_(std::move(connection)),
      canceller_(connection_->canceller()),
      done_(std::move(done)) {}

ServerSession::~ServerSession() {
  connection_.reset();
  done_.set();
  if (watcher_.joinable()) watcher_.join();
}

Status ServerSession::exec(std::string_view request, const ResponseSink& sink) {
  is_busy_ = true;
  Status status = connection_->exec(request, [&](std::string_view bytes) {
    is_delivering_ = true;
    sink(bytes);
    is_delivering_ = false;
  });
  is_busy_ = false;
  return status;
}

void ServerSession::cancel() {
  client::Canceller canceller;
  {
    const std::lock_guard lock(mutex_);
    canceller = canceller_;
  }
  canceller.cancel(kPatience);
}

Status ServerSession::connect(const std::string& database, const std::string& user) {
  client::Parameters parameters = connection_->parameters();
  if (!database.empty()) parameters.database = database;
  if (!user.empty()) parameters.user = user;
  std::unique_ptr<client::Connection> connection;
  Status status = client::Connection::open(parameters, &connection);
  if (!status.ok()) return status;
  connection_ = std::move(connection);
  const std::lock_guard lock(mutex_);
  canceller_ = connection_->canceller();
  return {};
}

void ServerSession::watch_signals() {
  while (true) {
    pollfd polled[] = {{signals_->descriptor(), POLLIN, 0}, {done_.descriptor(), POLLIN, 0}};
    ::poll(polled, 2, -1);
    const auto signal = signals_->take();
    if (signal && !is_ignored(*signal)) end_by(*signal);
    if (polled[1].revents != 0) return;
  }
}

void ServerSession::end_by(int signal) {
  signals_->restore();
  if (is_busy_) {
    cancel();
    // What the server says then is still shown, unless nobody reads it.
    int unread = 0;
    for (int waited = 0; waited < kLastWords && unread < 3 * kStep; waited += kStep) {
      pollfd polled = {done_.descriptor(), POLLIN, 0};
      if (::poll(&polled, 1, kStep) != 0) break;
      unread = is_delivering_ ? unread + kStep : 0;
    }
  }
  ::kill(::getpid(), signal);
  ::_exit(128 + signal);
}

}  // namespace pglite::cli
