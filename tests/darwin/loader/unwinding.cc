// The program has its frames in macOS's compact form only. This system's unwinder wants DWARF's
// tables, which are made of it: one entry a function, true at calls, which is where exceptions come
// from.
#include "unwinding.h"

#include <unwind.h>

#include <array>
#include <cstring>
#include <map>
#include <stdexcept>
#include <vector>

#include "darwin.h"

extern "C" void __register_frame(void* frames);

namespace pglite::loader {

namespace {

// mach-o/compact_unwind_encoding.h
constexpr uint32_t kMode = 0x0f000000;
constexpr uint32_t kFramePointer = 0x01000000;
constexpr uint32_t kStackImmediate = 0x02000000;
constexpr uint32_t kStackIndirect = 0x03000000;

// DWARF's numbers of the registers that compact forms name 1 to 6.
constexpr std::array<uint8_t, 7> kRegisters = {0, 3, 12, 13, 14, 15, 6};
constexpr uint8_t kFramePointerRegister = 6;
constexpr uint8_t kStackPointerRegister = 7;
constexpr uint8_t kReturnAddress = 16;

struct Function {
  uint32_t offset = 0;
  uint32_t encoding = 0;
};

struct Saved {
  uint8_t reg;
  uint64_t words_below;  // the frame's end, its CFA
};

struct Frame {
  uint8_t base = 0;
  uint64_t distance = 0;
  std::vector<Saved> saved;
};

class Table {
 public:
  explicit Table(const Image& image) : image_(image), bytes_(image.unwind_information()) {
    const auto common = read<uint32_t>(4);
    const auto common_count = read<uint32_t>(8);
    const auto pages = read<uint32_t>(20);
    const auto page_count = read<uint32_t>(24);
    for (uint32_t i = 0; i + 1 < page_count; ++i) {
      const uint32_t first = read<uint32_t>(pages + 12 * i);
      const uint32_t page = read<uint32_t>(pages + 12 * i + 4);
      const uint32_t entries = page + read<uint16_t>(page + 4);
      const uint32_t count = read<uint16_t>(page + 6);
      const bool is_compressed = read<uint32_t>(page) == 3;
      for (uint32_t j = 0; j < count; ++j) {
        if (!is_compressed) {
          functions.push_back(
              {read<uint32_t>(entries + 8 * j), read<uint32_t>(entries + 8 * j + 4)});
          continue;
        }
        const uint32_t entry = read<uint32_t>(entries + 4 * j);
        const uint32_t which = entry >> 24;
        const uint32_t at = which < common_count
                                ? common + 4 * which
                                : page + read<uint16_t>(page + 8) + 4 * (which - common_count);
        functions.push_back({first + (entry & 0xffffff), read<uint32_t>(at)});
      }
    }
    // Where the last one ends.
    functions.push_back({read<uint32_t>(pages + 12 * (page_count - 1)), 0});
    const uint32_t handlers_end = read<uint32_t>(pages + 12 * (page_count - 1) + 8);
    for (uint32_t at = read<uint32_t>(pages + 8); at < handlers_end; at += 8) {
      handlers[read<uint32_t>(at)] = read<uint32_t>(at + 4);
    }
  }

  [[nodiscard]] const void* personality(uint32_t number) const {
    const uint32_t slot = read<uint32_t>(read<uint32_t>(12) + 4 * (number - 1));
    const void* function = nullptr;
    std::memcpy(static_cast<void*>(&function), image_.begin() + slot, sizeof function);
    return function;
  }

  std::vector<Function> functions;
  std::map<uint32_t, uint32_t> handlers;  // by function: where its landing pads are described

 private:
  template <class T>
  [[nodiscard]] T read(size_t offset) const {
    if (offset + sizeof(T) > bytes_.size()) throw std::runtime_error("__unwind_info is too short");
    T value{};
    std::memcpy(&value, bytes_.data() + offset, sizeof value);
    return value;
  }

  const Image& image_;
  std::span<const std::byte> bytes_;
};

// Which registers were saved, in order, is the number of a permutation.
std::vector<uint8_t> permuted(uint32_t count, uint32_t number) {
  std::vector<uint8_t> left = {1, 2, 3, 4, 5, 6};
  std::vector<uint8_t> order;
  // Each digit counts among what is left; the last has as many choices as are left over.
  uint32_t weight = 1;
  for (uint32_t i = 1; i < count; ++i) weight *= 6 - i;
  if (count == 6) weight = 120;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t digit = number / weight;
    number %= weight;
    if (digit >= left.size()) return {};
    order.push_back(left[digit]);
    left.erase(left.begin() + digit);
    if (i + 1 < count) weight /= 5 - i;
  }
  return order;
}

Frame frame_of(const std::byte* function, uint32_t encoding) {
  Frame frame;
  const uint32_t mode = encoding & kMode;
  if (mode == kFramePointer) {
    frame = {.base = kFramePointerRegister, .distance = 16, .saved = {{kFramePointerRegister, 2}}};
    const uint32_t words = encoding >> 16 & 0xff;
    for (uint32_t i = 0; i < 5; ++i) {
      const uint32_t reg = encoding >> (3 * i) & 7;
      if (reg != 0 && reg < kRegisters.size()) {
        frame.saved.push_back({kRegisters[reg], 2 + words - i});
      }
    }
  } else if (mode == kStackImmediate || mode == kStackIndirect) {
    uint64_t size = (encoding >> 16 & 0xff) * uint64_t{8};
    if (mode == kStackIndirect) {
      uint32_t immediate = 0;
      std::memcpy(&immediate, function + (encoding >> 16 & 0xff), sizeof immediate);
      size = immediate + (encoding >> 13 & 7) * uint64_t{8};
    }
    frame = {.base = kStackPointerRegister, .distance = size, .saved = {}};
    const uint32_t count = encoding >> 10 & 7;
    const auto order = permuted(count, encoding & 0x3ff);
    for (uint32_t i = 0; i < order.size(); ++i) {
      frame.saved.push_back({kRegisters[order[i]], 1 + count - i});
    }
  }
  return frame;
}

class Writer {
 public:
  std::vector<std::byte> bytes;

  template <class T>
  void put(T value) {
    const auto* const from = reinterpret_cast<const std::byte*>(&value);
    bytes.insert(bytes.end(), from, from + sizeof value);
  }
  void put_number(uint64_t value) {
    do {
      const auto part = static_cast<uint8_t>(value & 0x7f);
      value >>= 7;
      put<uint8_t>(value == 0 ? part : part | 0x80);
    } while (value != 0);
  }
  size_t begin() {
    put<uint32_t>(0);
    return bytes.size();
  }
  void end(size_t begin) {
    while (bytes.size() % 8 != 0) put<uint8_t>(0);  // DW_CFA_nop
    const auto length = static_cast<uint32_t>(bytes.size() - begin);
    std::memcpy(bytes.data() + begin - 4, &length, sizeof length);
  }

  // A CIE; where it begins.
  size_t put_common(const void* personality) {
    const size_t start = bytes.size();
    const size_t first = begin();
    put<uint32_t>(0);
    put<uint8_t>(1);
    for (const char letter : std::string(personality == nullptr ? "zR" : "zPLR")) put(letter);
    put<uint8_t>(0);
    put_number(1);
    put<uint8_t>(0x78);  // -8
    put_number(kReturnAddress);
    // Addresses are as they are.
    if (personality == nullptr) {
      put_number(1);
    } else {
      put_number(11);
      put<uint8_t>(0);
      put(personality);
      put<uint8_t>(0);
    }
    put<uint8_t>(0);
    end(first);
    return start;
  }

  void put_function(size_t common, const std::byte* start, uint64_t size, bool has_personality,
                    const std::byte* handlers, const Frame& frame) {
    const size_t first = begin();
    put(static_cast<uint32_t>(first - common));
    put(start);
    put(size);
    put_number(has_personality ? 8 : 0);
    if (has_personality) put(handlers);
    put<uint8_t>(0x0c);  // DW_CFA_def_cfa
    put_number(frame.base);
    put_number(frame.distance);
    put<uint8_t>(0x80 | kReturnAddress);  // DW_CFA_offset
    put_number(1);
    for (const Saved& saved : frame.saved) {
      put(static_cast<uint8_t>(0x80 | saved.reg));
      put_number(saved.words_below);
    }
    end(first);
  }
};

}  // namespace

void describe_frames(const Image& image) {
  const Table table(image);
  Writer writer;
  std::map<uint32_t, size_t> commons;  // by the number of the personality
  for (size_t i = 0; i + 1 < table.functions.size(); ++i) {
    const auto [offset, encoding] = table.functions[i];
    const std::byte* const start = image.begin() + offset;
    const Frame frame = frame_of(start, encoding);
    if (frame.distance == 0) continue;
    const auto handlers = table.handlers.find(offset);
    const uint32_t number = handlers == table.handlers.end() ? 0 : encoding >> 28 & 3;
    if (!commons.contains(number)) {
      commons[number] = writer.put_common(number == 0 ? nullptr : table.personality(number));
    }
    writer.put_function(commons[number], start, table.functions[i + 1].offset - offset, number != 0,
                        number == 0 ? nullptr : image.begin() + handlers->second, frame);
  }
  writer.put<uint32_t>(0);
  // The unwinder keeps the address.
  static std::vector<std::byte> frames;
  frames = std::move(writer.bytes);
  __register_frame(frames.data());
}

Exports unwind_exports() {
  static const auto exports = std::to_array<Export>({
      {"_Unwind_DeleteException", code(_Unwind_DeleteException)},
      {"_Unwind_GetIP", code(_Unwind_GetIP)},
      {"_Unwind_GetLanguageSpecificData", code(_Unwind_GetLanguageSpecificData)},
      {"_Unwind_GetRegionStart", code(_Unwind_GetRegionStart)},
      {"_Unwind_RaiseException", code(_Unwind_RaiseException)},
      {"_Unwind_Resume", code(_Unwind_Resume)},
      {"_Unwind_SetGR", code(_Unwind_SetGR)},
      {"_Unwind_SetIP", code(_Unwind_SetIP)},
  });
  return exports;
}

}  // namespace pglite::loader
