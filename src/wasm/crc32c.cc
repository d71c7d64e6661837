// CRC-32C by the processor's instruction, for the guest (guest_module.h).
#include <cstdint>
#include <cstring>

#include "wasm/guest_module.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#define PGLITE_CRC_TARGET __attribute__((target("sse4.2")))
#elif defined(__aarch64__)
#include <arm_acle.h>
#if !defined(__ARM_FEATURE_CRC32)
#include <sys/auxv.h>
#endif
#define PGLITE_CRC_TARGET __attribute__((target("crc")))
#endif

namespace {

#if defined(__SSE4_2__) || defined(__ARM_FEATURE_CRC32)
// Compiled for processors that all have it.
bool has_instruction() {
  return true;
}
#elif defined(__x86_64__)
bool has_instruction() {
  return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__)
bool has_instruction() {
  return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}
#endif

#if defined(__x86_64__)
PGLITE_CRC_TARGET uint32_t step(uint32_t crc, uint64_t bytes) {
  return static_cast<uint32_t>(_mm_crc32_u64(crc, bytes));
}
PGLITE_CRC_TARGET uint32_t step(uint32_t crc, uint8_t byte) {
  return _mm_crc32_u8(crc, byte);
}
#elif defined(__aarch64__)
PGLITE_CRC_TARGET uint32_t step(uint32_t crc, uint64_t bytes) {
  return __crc32cd(crc, bytes);
}
PGLITE_CRC_TARGET uint32_t step(uint32_t crc, uint8_t byte) {
  return __crc32cb(crc, byte);
}
#endif

#if defined(PGLITE_CRC_TARGET)
PGLITE_CRC_TARGET uint32_t crc32c(uint32_t crc, const uint8_t* bytes, uint32_t size) {
  for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), bytes += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes, sizeof(word));
    crc = step(crc, word);
  }
  for (; size > 0; --size) crc = step(crc, *bytes++);
  return crc;
}
#endif

}  // namespace

int guest_crc32c(uint32_t* crc, const uint8_t* bytes, uint32_t size) {
#if defined(PGLITE_CRC_TARGET)
  if (has_instruction()) {
    *crc = crc32c(*crc, bytes, size);
    return 1;
  }
#endif
  return 0;
}
