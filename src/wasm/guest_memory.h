// Guest pointers and the one place where they become host memory.
//
// A guest pointer is a 32-bit offset into linear memory that untrusted code chose. It is turned
// into host memory by GuestMemory only, which checks that the whole range lies in the memory as it
// is at that moment. A range that does not is the guest's mistake and answered with EFAULT
// (std::errc::bad_address), as a kernel would. Host pointers got here stay valid for as long as the
// memory exists: it grows in place.
#ifndef PGLITE_WASM_GUEST_MEMORY_H_
#define PGLITE_WASM_GUEST_MEMORY_H_

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <system_error>
#include <tl/expected.hpp>
#include <type_traits>

#include "wasm-rt.h"

namespace pglite::wasm {

// The address of a T in linear memory. Not dereferenceable, not convertible to a host pointer.
template <class T>
struct GuestPtr {
  uint32_t address = 0;

  explicit operator bool() const { return address != 0; }
  // The pointer `n` bytes further, to something of another type.
  template <class U>
  [[nodiscard]] GuestPtr<U> field(uint32_t n) const {
    return {address + n};
  }
};

template <class T>
using GuestResult = tl::expected<T, std::errc>;

class GuestMemory {
 public:
  explicit GuestMemory(const wasm_rt_memory_t* memory) : memory_(memory) {}

  [[nodiscard]] uint64_t size() const { return memory_->size; }

  // `length` bytes at `address`; EFAULT unless all of them lie in the memory.
  [[nodiscard]] GuestResult<std::span<std::byte>> bytes(uint32_t address, uint32_t length) const {
    if (uint64_t{address} + length > memory_->size) {
      return tl::unexpected(std::errc::bad_address);
    }
    return std::span(reinterpret_cast<std::byte*>(memory_->data) + address, length);
  }

  // The bytes from `address` to the next NUL, without it.
  [[nodiscard]] GuestResult<std::string_view> c_string(uint32_t address) const {
    if (address >= memory_->size) return tl::unexpected(std::errc::bad_address);
    const char* start = reinterpret_cast<const char*>(memory_->data) + address;
    const size_t limit = memory_->size - address;
    const void* end = std::memchr(start, 0, limit);
    if (end == nullptr) return tl::unexpected(std::errc::bad_address);
    return std::string_view(start, static_cast<const char*>(end) - start);
  }

  template <class T>
  [[nodiscard]] GuestResult<T> load(GuestPtr<T> pointer) const {
    static_assert(std::is_trivially_copyable_v<T>);
    auto source = bytes(pointer.address, sizeof(T));
    if (!source) return tl::unexpected(source.error());
    T value;
    std::memcpy(&value, source->data(), sizeof(T));
    return value;
  }

  template <class T>
  [[nodiscard]] GuestResult<void> store(GuestPtr<T> pointer, std::type_identity_t<T> value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    auto target = bytes(pointer.address, sizeof(T));
    if (!target) return tl::unexpected(target.error());
    std::memcpy(target->data(), &value, sizeof(T));
    return {};
  }

 private:
  const wasm_rt_memory_t* memory_;
};

}  // namespace pglite::wasm

#endif  // PGLITE_WASM_GUEST_MEMORY_H_
