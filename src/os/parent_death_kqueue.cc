// A thread waits for the parent's end. It has nothing that needs to be given back, and ends with
// the process.
#include <signal.h>
#include <sys/event.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <thread>

#include "os/parent_death.h"
#include "os/unique_fd.h"

namespace pglite::os {

bool end_with_parent(int signal) {
  const pid_t parent = getppid();
  if (parent == 1) return false;
  UniqueFd queue(kqueue());
  struct kevent wanted;
  EV_SET(&wanted, static_cast<uintptr_t>(parent), EVFILT_PROC, EV_ADD | EV_ONESHOT, NOTE_EXIT, 0,
         nullptr);
  if (!queue || kevent(queue.get(), &wanted, 1, nullptr, 0, nullptr) != 0) return false;
  // It may have died before the queue knew it.
  if (getppid() != parent) return false;
  // The process's signals are for its other threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool is_watched = true;
  try {
    std::thread([queue = std::move(queue), signal] {
      struct kevent event;
      int count = 0;
      do count = kevent(queue.get(), nullptr, 0, &event, 1, nullptr);
      while (count < 0 && errno == EINTR);
      if (count == 1) kill(getpid(), signal);
    }).detach();
  } catch (const std::system_error&) {
    is_watched = false;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return is_watched;
}

}  // namespace pglite::os
