#include "emscripten/kernel.h"

#include <algorithm>
#include <ctime>

#include "emscripten/process.h"

namespace pglite::emscripten {

double monotonic_milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

vfs::Result<void> Kernel::sync(Process& process, int descriptor, bool data_only) {
  const auto open = process.descriptors().get(descriptor);
  if (!open) return vfs::error(open.error());
  return data_only ? (*open)->file->sync_data() : (*open)->file->sync();
}

vfs::Result<size_t> Kernel::pread(Process& process, int descriptor, std::span<std::byte> buffer,
                                  int64_t offset) {
  return process.descriptors().pread(descriptor, buffer, offset);
}

void SleepingKernel::wait(Process& /*process*/, const WaitFor& what) {
  constexpr double kLongest = 20;
  const double duration = std::min(what.due - monotonic_milliseconds(), kLongest);
  if (duration <= 0) return;
  timespec time{};
  time.tv_nsec = static_cast<long>(duration * 1e6);
  // An interruption ends it early, which is allowed.
  nanosleep(&time, nullptr);
}

}  // namespace pglite::emscripten
