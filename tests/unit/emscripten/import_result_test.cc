#include "emscripten/import_result.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "wasm/execution.h"

namespace pglite::emscripten {
namespace {

// Emscripten: system/lib/libc/musl/arch/emscripten/bits/errno.h.
TEST(GuestErrno, IsEmscriptens) {
  const std::pair<int, uint32_t> numbers[] = {
      {E2BIG, 1},         {EACCES, 2},   {EADDRINUSE, 3}, {EADDRNOTAVAIL, 4}, {EAFNOSUPPORT, 5},
      {EAGAIN, 6},        {EBADF, 8},    {EBUSY, 10},     {EDQUOT, 19},       {EEXIST, 20},
      {EFAULT, 21},       {EFBIG, 22},   {EILSEQ, 25},    {EINTR, 27},        {EINVAL, 28},
      {EIO, 29},          {EISDIR, 31},  {ELOOP, 32},     {EMFILE, 33},       {EMLINK, 34},
      {ENAMETOOLONG, 37}, {ENFILE, 41},  {ENODEV, 43},    {ENOENT, 44},       {ENOMEM, 48},
      {ENOSPC, 51},       {ENOSYS, 52},  {ENOTDIR, 54},   {ENOTEMPTY, 55},    {ENOTSOCK, 57},
      {ENOTTY, 59},       {ENXIO, 60},   {EOVERFLOW, 61}, {EPERM, 63},        {EPIPE, 64},
      {ERANGE, 68},       {EROFS, 69},   {ESPIPE, 70},    {ESRCH, 71},        {ESTALE, 72},
      {ETIMEDOUT, 73},    {ETXTBSY, 74}, {EXDEV, 75},     {EOPNOTSUPP, 138}};
  for (const auto& [host, guest] : numbers) {
    EXPECT_EQ(guest_errno(static_cast<std::errc>(host)), guest) << host;
  }
}

TEST(GuestErrno, WhatTheGuestHasNoWordForIsAnInputOutputError) {
  EXPECT_EQ(guest_errno(static_cast<std::errc>(EKEYEXPIRED)), 29U);
  EXPECT_EQ(guest_errno(static_cast<std::errc>(0)), 29U);
  EXPECT_EQ(guest_errno(static_cast<std::errc>(-1)), 29U);
}

TEST(ImportResult, TurnsResultsIntoNumbers) {
  EXPECT_EQ(syscall_result([]() -> vfs::Result<uint32_t> { return 7u; }), 7U);
  EXPECT_EQ(syscall_result([]() -> vfs::Result<uint32_t> {
              return vfs::error(std::errc::no_such_file_or_directory);
            }),
            0U - 44);
  EXPECT_EQ(wasi_result([]() -> vfs::Result<void> { return {}; }), 0U);
  EXPECT_EQ(
      wasi_result([]() -> vfs::Result<void> { return vfs::error(std::errc::bad_file_descriptor); }),
      8U);
}

TEST(ImportResult, RunningOutOfMemoryIsAnAnswer) {
  EXPECT_EQ(syscall_result([]() -> vfs::Result<uint32_t> { throw std::bad_alloc(); }), 0U - 48);
  EXPECT_EQ(wasi_result([]() -> vfs::Result<void> { throw std::bad_alloc(); }), 48U);
  EXPECT_EQ(guarded(5, []() -> int { throw std::bad_alloc(); }), 5);
}

// Calls `f` where about `left` bytes of the stack are left.
template <class F>
[[gnu::noinline]] void near_the_end(wasm::Execution& execution, size_t left, F&& f) {
  volatile char frame[4096];
  frame[0] = 1;
  if (execution.stack_left() > left) {
    near_the_end(execution, left, f);
  } else {
    f();
  }
  frame[1] = frame[0];
}

// A fault in the guard region is a jump: out of malloc, for instance, with its lock held.
TEST(ImportResult, AHostFunctionNeverMeetsTheGuardRegion) {
  wasm::Execution execution;
  bool ran = false;
  const auto outcome_of = [&](auto import) {
    wasm::Outcome outcome;
    execution.run([&] {
      outcome = execution.protect(
          [&] { near_the_end(execution, wasm::Execution::kHostFunctionStack / 2, import); });
    });
    return outcome;
  };
  const auto body = [&] { ran = true; };
  const wasm::Outcome outcomes[] = {
      outcome_of([&] { guarded(0, [&] { return body(), 0; }); }),
      outcome_of([&] { syscall_result([&]() -> vfs::Result<uint32_t> { return body(), 0u; }); }),
      outcome_of([&] {
        wasi_result([&]() -> vfs::Result<void> { return body(), vfs::Result<void>(); });
      })};
  for (const wasm::Outcome& outcome : outcomes) {
    EXPECT_EQ(outcome.kind, wasm::Outcome::Kind::kTrapped);
    EXPECT_STREQ(outcome.trap, "call stack exhausted");
  }
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace pglite::emscripten
