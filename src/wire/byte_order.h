// Integers of the wire: big-endian, two's complement, at any alignment.
#ifndef PGLITE_WIRE_BYTE_ORDER_H_
#define PGLITE_WIRE_BYTE_ORDER_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace pglite::wire {

inline uint16_t load_u16(const char* p) {
  const auto b = [p](int i) { return static_cast<unsigned char>(p[i]); };
  return static_cast<uint16_t>((b(0) << 8) | b(1));
}

inline uint32_t load_u32(const char* p) {
  const auto b = [p](int i) { return uint32_t{static_cast<unsigned char>(p[i])}; };
  return (b(0) << 24) | (b(1) << 16) | (b(2) << 8) | b(3);
}

// What the bytes begin with; there must be enough of them.
inline uint16_t load_u16(std::string_view bytes) {
  return load_u16(&bytes[0]);
}
inline uint32_t load_u32(std::string_view bytes) {
  return load_u32(&bytes[0]);
}

inline void store_u32(char* p, uint32_t value) {
  p[0] = static_cast<char>(value >> 24);
  p[1] = static_cast<char>(value >> 16);
  p[2] = static_cast<char>(value >> 8);
  p[3] = static_cast<char>(value);
}

inline void append_u16(std::string& out, uint16_t value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}

inline void append_u32(std::string& out, uint32_t value) {
  char bytes[4];
  store_u32(bytes, value);
  out.append(bytes, sizeof bytes);
}

}  // namespace pglite::wire

#endif  // PGLITE_WIRE_BYTE_ORDER_H_
