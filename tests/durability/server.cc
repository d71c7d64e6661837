#include "server.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "postgres/build/images.h"
#include "postgres/guest/guest_tree.h"
#include "vfs/image.h"

namespace pglite::durability {

std::shared_ptr<vfs::MemoryFileSystem> make_data_directory() {
  auto data = std::make_shared<vfs::MemoryFileSystem>();
  if (!vfs::load_image(postgres::data_directory_image(), *data, "/")) {
    throw std::runtime_error("the template data directory is damaged");
  }
  return data;
}

void remove_lock_file(vfs::FileSystem& data) {
  (void)data.remove_file("/postmaster.pid");
}

Status Server::start(std::shared_ptr<vfs::FileSystem> data, const std::string& database,
                     bool fsync) {
  const auto log = [log = log_, last_fatal = last_fatal_](std::string_view line) {
    log->append(line).append("\n");
    const std::string_view final_words = postgres::final_words(line);
    if (!final_words.empty()) *last_fatal = final_words;
  };
  auto tree = postgres::make_guest_tree(postgres::bundle_image(), log);
  if (!tree || !tree->root->mount(postgres::kDataDirectory, std::move(data))) {
    return Status::engine_gone("the guest's tree cannot be made");
  }
  postgres::BackendConfig config;
  config.tree = *tree;
  config.database = database;
  config.fsync = fsync;
  config.log = log;
  config.last_fatal = last_fatal_.get();
  return postgres::Backend::start(config, &backend_);
}

namespace {

using Clock = std::chrono::steady_clock;

struct Child {
  size_t index;
  pid_t process;
  int pipe;
  Clock::time_point deadline;
  std::string text;
};

Child start_child(size_t index, int seconds, const std::function<std::string(size_t)>& body) {
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("no pipe");
  const pid_t process = fork();
  if (process < 0) throw std::runtime_error("no child process");
  if (process == 0) {
    close(ends[0]);
    std::string text;
    try {
      text = body(index);
    } catch (const std::exception& exception) {
      text = std::string("exception: ") + exception.what();
    }
    text += '.';  // a text that ends otherwise was cut off
    for (size_t at = 0; at < text.size();) {
      const ssize_t count = write(ends[1], text.data() + at, text.size() - at);
      if (count <= 0) break;
      at += static_cast<size_t>(count);
    }
    _exit(0);
  }
  close(ends[1]);
  return {index, process, ends[0], Clock::now() + std::chrono::seconds(seconds), {}};
}

}  // namespace

void in_children(size_t count, int jobs, int seconds,
                 const std::function<std::string(size_t)>& body,
                 const std::function<void(size_t, const std::string&)>& finished) {
  std::vector<Child> children;
  size_t next = 0;
  while (next < count || !children.empty()) {
    while (next < count && children.size() < static_cast<size_t>(jobs)) {
      children.push_back(start_child(next++, seconds, body));
    }
    std::vector<pollfd> polled;
    for (const Child& child : children) polled.push_back({child.pipe, POLLIN, 0});
    poll(polled.data(), polled.size(), 200);
    for (size_t i = children.size(); i-- > 0;) {
      Child& child = children[i];
      bool ended = false;
      bool late = false;
      if (polled[i].revents != 0) {
        char buffer[65536];
        const ssize_t got = read(child.pipe, buffer, sizeof buffer);
        if (got > 0) child.text.append(buffer, static_cast<size_t>(got));
        ended = got <= 0;
      } else if (Clock::now() > child.deadline) {
        kill(child.process, SIGKILL);
        ended = late = true;
      }
      if (!ended) continue;
      close(child.pipe);
      int status = 0;
      waitpid(child.process, &status, 0);
      if (late) {
        child.text += "hung for " + std::to_string(seconds) + " s";
      } else if (WIFSIGNALED(status)) {
        child.text += "died by signal " + std::to_string(WTERMSIG(status));
      } else if (child.text.empty()) {
        child.text = "exited with " + std::to_string(WEXITSTATUS(status));
      } else {
        child.text.pop_back();
      }
      finished(child.index, child.text);
      children.erase(children.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

std::string in_child(int seconds, const std::function<std::string()>& body) {
  std::string result;
  in_children(
      1, 1, seconds, [&](size_t) { return body(); },
      [&](size_t, const std::string& text) { result = text; });
  return result;
}

size_t setting(const char* name, size_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

}  // namespace pglite::durability
