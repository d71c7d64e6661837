// macOS's numbers and layouts on x86-64, where they are not Linux's, and the way between the two.
#ifndef PGLITE_TESTS_DARWIN_LOADER_DARWIN_H_
#define PGLITE_TESTS_DARWIN_LOADER_DARWIN_H_

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <span>

namespace pglite::loader {

// What libSystem exports under `name`, without the underscore that C's names have there.
struct Export {
  const char* name;
  const void* address;
};
using Exports = std::span<const Export>;

template <class Result, class... Arguments>
const void* code(Result (*function)(Arguments...)) {
  return reinterpret_cast<const void*>(function);
}

// The subjects of the system, each with a file of its own.
Exports file_exports();
Exports memory_exports();
Exports process_exports();
Exports queue_exports();
Exports signal_exports();
Exports socket_exports();
Exports text_exports();
Exports thread_exports();
Exports unwind_exports();
// Where both systems' functions are the same.
std::span<const char* const> same_functions();

// The program's errno, and Linux's for it. A number that the other does not have is EINVAL's.
int& program_errno();
int to_darwin_error(int error);
int from_darwin_error(int error);
// errno as the program wants it, behind a call that may have failed.
void note_error();

template <class Result>
Result noted(Result result) {
  if (result == static_cast<Result>(-1)) note_error();
  return result;
}

// A function of Linux that has nothing to be translated but its errno.
template <auto kFunction, class Result, class... Arguments>
Result call_noted(Arguments... arguments) {
  errno = 0;
  const Result result = kFunction(arguments...);
  if (errno != 0) note_error();
  return result;
}
template <auto kFunction, class Result, class... Arguments>
const void* wrapped_as(Result (* /*function*/)(Arguments...)) {
  return reinterpret_cast<const void*>(&call_noted<kFunction, Result, Arguments...>);
}
template <auto kFunction>
const void* wrapped() {
  return wrapped_as<kFunction>(kFunction);
}

// Signals; 0 for a number that is none.
int to_darwin_signal(int signal);
int from_darwin_signal(int signal);

namespace darwin {

inline constexpr int kAtCurrentDirectory = -2;
inline constexpr int kSignals = 32;
inline constexpr int kSigSegv = 11;
inline constexpr int kSigBus = 10;
inline constexpr int64_t kNoLimit = INT64_MAX;

struct Stat {
  int32_t device;
  uint16_t mode;
  uint16_t links;
  uint64_t inode;
  uint32_t user;
  uint32_t group;
  int32_t special_device;
  timespec access;
  timespec modification;
  timespec change;
  timespec birth;
  int64_t size;
  int64_t blocks;
  int32_t block_size;
  uint32_t flags;
  uint32_t generation;
  int32_t spare;
  int64_t spares[2];
};
static_assert(sizeof(Stat) == 144 && offsetof(Stat, access) == 32 && offsetof(Stat, size) == 96);

struct DirectoryEntry {
  uint64_t inode;
  uint64_t seek_offset;
  uint16_t length;
  uint16_t name_length;
  uint8_t type;
  char name[1024];
};
static_assert(offsetof(DirectoryEntry, name) == 21);

struct FileSystem {
  unsigned long block_size;
  unsigned long fragment_size;
  uint32_t blocks;
  uint32_t blocks_free;
  uint32_t blocks_available;
  uint32_t files;
  uint32_t files_free;
  uint32_t files_available;
  unsigned long identifier;
  unsigned long flags;
  unsigned long name_most;
};
static_assert(sizeof(FileSystem) == 64);

struct FileLock {
  int64_t start;
  int64_t length;
  int32_t process;
  int16_t type;
  int16_t whence;
};
static_assert(sizeof(FileLock) == 24);

struct Preallocation {
  uint32_t flags;
  int32_t position_mode;
  int64_t offset;
  int64_t length;
  int64_t allocated;
};
static_assert(sizeof(Preallocation) == 32);

struct TimeValue {
  int64_t seconds;
  int32_t microseconds;
};
static_assert(sizeof(TimeValue) == 16);

struct SignalAction {
  void* handler;
  uint32_t mask;
  int32_t flags;
};
static_assert(sizeof(SignalAction) == 16);

struct SignalStack {
  void* start;
  size_t size;
  int32_t flags;
};
static_assert(sizeof(SignalStack) == 24);

struct SignalInformation {
  int32_t signal;
  int32_t error;
  int32_t code;
  int32_t process;
  uint32_t user;
  int32_t status;
  void* address;
  void* value;
  long band;
  unsigned long padding[7];
};
static_assert(sizeof(SignalInformation) == 104);

struct Registers {
  uint64_t rax, rbx, rcx, rdx, rdi, rsi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15, rip,
      rflags, cs, fs, gs;
};

struct MachineContext {
  uint16_t trap;
  uint16_t processor;
  uint32_t error;
  uint64_t fault_address;
  Registers registers;
  std::byte floating_point[528];
};
static_assert(offsetof(MachineContext, registers) == 16 && sizeof(Registers) == 168);

struct Context {
  int32_t on_stack;
  uint32_t mask;
  SignalStack stack;
  Context* link;
  size_t machine_size;
  MachineContext* machine;
};
static_assert(sizeof(Context) == 56);

struct Message {
  void* name;
  uint32_t name_length;
  struct iovec* parts;
  int32_t part_count;
  void* control;
  uint32_t control_length;
  int32_t flags;
};
static_assert(sizeof(Message) == 48);

}  // namespace darwin

}  // namespace pglite::loader

#endif  // PGLITE_TESTS_DARWIN_LOADER_DARWIN_H_
