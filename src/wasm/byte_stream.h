// Fixed-width little-endian values in a row of bytes: how snapshots are written. Reading is
// checked: once a read went past the end, it and all further ones give zeros and ok() is false.
#ifndef PGLITE_WASM_BYTE_STREAM_H_
#define PGLITE_WASM_BYTE_STREAM_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace pglite::wasm {

class ByteWriter {
 public:
  template <class T>
  void put(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  void put_string(std::string_view text) {
    put(static_cast<uint32_t>(text.size()));
    bytes_.append(text);
  }
  [[nodiscard]] std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  template <class T>
  T get() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    if (bytes_.size() < sizeof(T)) {
      fail();
      return value;
    }
    // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): the size is checked above
    std::memcpy(&value, bytes_.data(), sizeof(T));
    bytes_.remove_prefix(sizeof(T));
    return value;
  }
  std::string_view get_string() {
    const auto size = get<uint32_t>();
    if (size > bytes_.size()) {
      fail();
      return {};
    }
    const std::string_view text = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return text;
  }
  // A number of items to follow, each of at least `item_size` bytes.
  uint32_t get_count(size_t item_size) {
    const auto count = get<uint32_t>();
    if (count > bytes_.size() / item_size) {
      fail();
      return 0;
    }
    return count;
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return ok_ && bytes_.empty(); }

 private:
  void fail() {
    ok_ = false;
    bytes_ = {};
  }
  std::string_view bytes_;
  bool ok_ = true;
};

}  // namespace pglite::wasm

#endif  // PGLITE_WASM_BYTE_STREAM_H_
