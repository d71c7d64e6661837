#include "cli/prompt/interrupts.h"

#include <poll.h>

#include <csignal>
#include <string>
#include <system_error>
#include <utility>

namespace pglite::cli {

Status Interrupts::start(std::function<void()> cancel, std::unique_ptr<Interrupts>* out) {
  auto done = os::WakeEvent::make();
  if (!done) return Status::io_error(std::make_error_code(done.error()).message());
  std::unique_ptr<Interrupts> made(new Interrupts(std::move(cancel), std::move(*done)));
  try {
    made->watcher_ = std::thread([watched = made.get()] { watched->watch(); });
  } catch (const std::system_error& error) {
    return Status::io_error(std::string("no thread for signals: ") + error.what());
  }
  *out = std::move(made);
  return {};
}

Interrupts::Interrupts(std::function<void()> cancel, os::WakeEvent done)
    : cancel_(std::move(cancel)), signals_({SIGINT}), done_(std::move(done)) {}

Interrupts::~Interrupts() {
  done_.set();
  if (watcher_.joinable()) watcher_.join();
}

void Interrupts::watch() {
  while (true) {
    pollfd polled[] = {{signals_.descriptor(), POLLIN, 0}, {done_.descriptor(), POLLIN, 0}};
    ::poll(polled, 2, -1);
    if (signals_.take()) {
      come_ = true;
      cancel_();
    }
    if (polled[1].revents != 0) return;
  }
}

}  // namespace pglite::cli
