// What each fuzz target defines, and what it is written with.
//
// A target is one file. libFuzzer calls LLVMFuzzerTestOneInput with bytes it makes up, replay.cc
// with those of files. A target must not keep anything from one input to the next.
#ifndef PGLITE_TESTS_FUZZ_TARGET_H_
#define PGLITE_TESTS_FUZZ_TARGET_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace pglite::fuzz {

// Inputs to begin with: good ones, and some of each kind.
std::vector<std::string> seeds();

// What must hold for every input; also in builds without assertions.
#define FUZZ_CHECK(condition)                                                      \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)

// Takes an input apart from its front; gives zeros and empty strings where it has ended.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  std::string_view take(size_t size) {
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  template <class T>
  T get() {
    static_assert(std::is_integral_v<T>);
    T value{};
    const std::string_view bytes = take(sizeof(T));
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  std::string_view rest() { return take(rest_.size()); }
  [[nodiscard]] bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

// A copy in memory of exactly its size, so that AddressSanitizer sees any byte beyond.
inline std::vector<char> exact_copy(std::string_view bytes) {
  std::vector<char> copy(bytes.begin(), bytes.end());
  copy.shrink_to_fit();
  return copy;
}

}  // namespace pglite::fuzz

#endif  // PGLITE_TESTS_FUZZ_TARGET_H_
