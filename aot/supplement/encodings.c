/* Conversions between encodings: what the conversion libraries share, and import.
 *
 * A conversion reads `size` bytes and writes what they are in another encoding, with a zero byte
 * behind it. What cannot be read or written is an error, or, where no error is wanted, the end. It
 * returns how many bytes it has read. */
#include "guest.h"

extern const char wasm_func_type_i_i[];
extern const char wasm_func_type_ii_i[];

/* enum pg_enc, mb/pg_wchar.h. */
enum { kUtf8 = 6, kMuleInternal = 7 };

/* The rows of pg_wchar_table and of pg_enc2name_tbl, mb/pg_wchar.h. */
enum { kEncodingSize = 28, kEncodingLength = 8, kEncodingVerify = 16, kNameSize = 8 };

enum { kHighBit = 0x80 };

static uint32_t method(struct w2c_env* env, uint32_t encoding, uint32_t which) {
  return load32(env, address_of_pg_wchar_table(env) + encoding * kEncodingSize + which);
}

/* How long the character is, by its first byte. */
static uint32_t character_length(struct w2c_env* env, uint32_t encoding, uint32_t at) {
  const wasm_rt_funcref_t entry =
      table_entry(env, method(env, encoding, kEncodingLength), wasm_func_type_i_i);
  return ((uint32_t (*)(void*, uint32_t))entry.func)(entry.module_instance, at);
}

/* How long it is if it is valid; UINT32_MAX: it is not. */
uint32_t w2c_env_pg_encoding_verifymbchar(struct w2c_env* env, uint32_t encoding, uint32_t at,
                                          uint32_t size) {
  const wasm_rt_funcref_t entry =
      table_entry(env, method(env, encoding, kEncodingVerify), wasm_func_type_ii_i);
  return ((uint32_t (*)(void*, uint32_t, uint32_t))entry.func)(entry.module_instance, at, size);
}

void w2c_env_report_untranslatable_char(struct w2c_env* env, uint32_t from, uint32_t to,
                                        uint32_t at, uint32_t size) {
  enum { kShown = 8 };
  static const char kDigits[] = "0123456789abcdef";
  uint32_t length = character_length(env, from, at);
  if (length > size) length = size;
  if (length > kShown) length = kShown;
  char text[kShown * 5 + 1];
  char* out = text;
  for (uint32_t i = 0; i < length; ++i) {
    const uint32_t byte = load8(env, at + i);
    if (i != 0) *out++ = ' ';
    *out++ = '0';
    *out++ = 'x';
    *out++ = kDigits[byte >> 4];
    *out++ = kDigits[byte & 15];
  }
  *out = '\0';
  const uint32_t names = address_of_pg_enc2name_tbl(env);
  const uint32_t arguments[] = {push_string(env, text), load32(env, names + from * kNameSize),
                                load32(env, names + to * kNameSize)};
  raise_error(env, SQLSTATE('2', '2', 'P', '0', '5'),
              "character with byte sequence %s in encoding \"%s\" has no equivalent in encoding "
              "\"%s\"",
              3, arguments);
}

/* --- UTF8 and the encodings that have a map --- */

/* The bytes of a character as a number, the first in the highest place. */
static uint32_t code_of(struct w2c_env* env, uint32_t at, uint32_t length) {
  uint32_t code = 0;
  for (uint32_t i = 0; i < length; ++i) code = code << 8 | load8(env, at + i);
  return code;
}

/* Writes it; returns where the next one goes. */
static uint32_t write_code(struct w2c_env* env, uint32_t to, uint32_t code) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    if (code >> shift != 0) *bytes_at(env, to++) = (uint8_t)(code >> shift);
  }
  return to;
}

/* What the map (pg_mb_radix_tree, mb/pg_wchar.h) has for a character of `length` bytes; 0: nothing.
 *
 * For each length it has the place where its tree begins, and of each byte the lowest and the
 * highest that there is. A tree's node has an entry for each byte in these bounds: the place of the
 * next node, or at the last byte the code. */
static uint32_t look_up(struct w2c_env* env, uint32_t map, uint32_t at, uint32_t length) {
  enum { kNarrow = 0, kWide = 4 };
  static const uint8_t kTrees[] = {0, 8, 16, 24, 36};
  if (length > 4) return 0;
  const uint32_t wide = load32(env, map + kWide);
  const uint32_t narrow = load32(env, map + kNarrow);
  const uint32_t tree = map + kTrees[length];
  uint32_t found = load32(env, tree);
  for (uint32_t i = 0; i < length; ++i) {
    const uint32_t byte = load8(env, at + i);
    const uint32_t lowest = load8(env, tree + 4 + 2 * i);
    if (byte < lowest || byte > load8(env, tree + 5 + 2 * i)) return 0;
    found += byte - lowest;
    found = wide != 0 ? load32(env, wide + 4 * found) : load16(env, narrow + 2 * found);
  }
  return found;
}

/* Where in an ascending list of `count` entries of three words the one is that has these words at
 * `offset`; 0: nowhere. */
static uint32_t find(struct w2c_env* env, uint32_t list, uint32_t count, uint32_t offset,
                     uint64_t wanted, uint32_t words) {
  enum { kEntry = 12 };
  uint32_t begin = 0;
  while (begin < count) {
    const uint32_t middle = begin + (count - begin) / 2;
    const uint32_t entry = list + middle * kEntry;
    uint64_t key = load32(env, entry + offset);
    if (words == 2) key = key << 32 | load32(env, entry + offset + 4);
    if (key == wanted) return entry;
    if (key < wanted) {
      begin = middle + 1;
    } else {
      count = middle;
    }
  }
  return 0;
}

static uint32_t call_conversion(struct w2c_env* env, uint32_t function, uint32_t code) {
  const wasm_rt_funcref_t entry = table_entry(env, function, wasm_func_type_i_i);
  return ((uint32_t (*)(void*, uint32_t))entry.func)(entry.module_instance, code);
}

/* How long the character is; 0: it is not valid, or not whole, or the end of a string. */
static uint32_t utf8_length(struct w2c_env* env, uint32_t at, uint32_t size) {
  if (size == 0 || load8(env, at) == 0) return 0;
  const uint32_t length = main_pg_utf_mblen_private(env, at);
  return length <= size && main_pg_utf8_islegal(env, at, length) ? length : 0;
}

/* Pairs of characters come first, then single ones, then the function. */
uint32_t w2c_env_UtfToLocal(struct w2c_env* env, uint32_t from, uint32_t size, uint32_t to,
                            uint32_t map, uint32_t pairs, uint32_t pair_count, uint32_t function,
                            uint32_t encoding, uint32_t no_error) {
  enum { kFirst = 0, kCode = 8 }; /* pg_utf_to_local_combined */
  const uint32_t end = from + size;
  uint32_t at = from;
  while (at != end) {
    const uint32_t length = utf8_length(env, at, end - at);
    if (length == 0) {
      if (!no_error) main_report_invalid_encoding(env, kUtf8, at, end - at);
      break;
    }
    if (length == 1) {
      *bytes_at(env, to++) = *bytes_at(env, at++);
      continue;
    }
    const uint32_t code = code_of(env, at, length);
    const uint32_t next = at + length;
    if (pairs != 0 && next != end) {
      const uint32_t second = utf8_length(env, next, end - next);
      if (second == 0) {
        if (!no_error) main_report_invalid_encoding(env, kUtf8, next, end - next);
        break;
      }
      const uint64_t pair = (uint64_t)code << 32 | code_of(env, next, second);
      const uint32_t found = find(env, pairs, pair_count, kFirst, pair, 2);
      if (found != 0) {
        to = write_code(env, to, load32(env, found + kCode));
        at = next + second;
        continue;
      }
    }
    uint32_t converted = map != 0 ? look_up(env, map, at, length) : 0;
    if (converted == 0 && function != 0) converted = call_conversion(env, function, code);
    if (converted == 0) {
      if (!no_error) w2c_env_report_untranslatable_char(env, kUtf8, encoding, at, end - at);
      break;
    }
    to = write_code(env, to, converted);
    at = next;
  }
  *bytes_at(env, to) = 0;
  return at - from;
}

/* Single characters come first, then those that are a pair in UTF8, then the function. */
uint32_t w2c_env_LocalToUtf(struct w2c_env* env, uint32_t from, uint32_t size, uint32_t to,
                            uint32_t map, uint32_t pairs, uint32_t pair_count, uint32_t function,
                            uint32_t encoding, uint32_t no_error) {
  enum { kCode = 0, kFirst = 4, kSecond = 8 }; /* pg_local_to_utf_combined */
  const uint32_t end = from + size;
  uint32_t at = from;
  while (at != end) {
    const uint32_t byte = load8(env, at);
    if (byte != 0 && byte < kHighBit) {
      *bytes_at(env, to++) = (uint8_t)byte;
      ++at;
      continue;
    }
    const uint32_t length =
        byte == 0 ? UINT32_MAX : w2c_env_pg_encoding_verifymbchar(env, encoding, at, end - at);
    if (length > end - at) {
      if (!no_error) main_report_invalid_encoding(env, encoding, at, end - at);
      break;
    }
    const uint32_t code = code_of(env, at, length);
    uint32_t converted = map != 0 ? look_up(env, map, at, length) : 0;
    const uint32_t found =
        converted == 0 && pairs != 0 ? find(env, pairs, pair_count, kCode, code, 1) : 0;
    if (found != 0) {
      to = write_code(env, to, load32(env, found + kFirst));
      converted = load32(env, found + kSecond);
    }
    if (converted == 0 && function != 0) converted = call_conversion(env, function, code);
    if (converted == 0) {
      if (!no_error) w2c_env_report_untranslatable_char(env, encoding, kUtf8, at, end - at);
      break;
    }
    to = write_code(env, to, converted);
    at += length;
  }
  *bytes_at(env, to) = 0;
  return at - from;
}

/* --- Encodings of one byte, and what MULE_INTERNAL makes of them: a byte that names the encoding
 * and the byte itself --- */

/* `leading`: what each byte that is not ASCII gets in front, or 0. `table`: what these bytes
 * become, or 0: they stay. */
static uint32_t from_single_bytes(struct w2c_env* env, uint32_t from, uint32_t to, uint32_t size,
                                  uint32_t leading, uint32_t encoding, uint32_t new_encoding,
                                  uint32_t table, uint32_t no_error) {
  const uint32_t end = from + size;
  uint32_t at = from;
  for (; at != end; ++at) {
    uint32_t byte = load8(env, at);
    if (byte == 0) {
      if (!no_error) main_report_invalid_encoding(env, encoding, at, end - at);
      break;
    }
    if (byte >= kHighBit) {
      if (table != 0) byte = load8(env, table + byte - kHighBit);
      if (byte == 0) {
        if (!no_error) {
          w2c_env_report_untranslatable_char(env, encoding, new_encoding, at, end - at);
        }
        break;
      }
      if (leading != 0) *bytes_at(env, to++) = (uint8_t)leading;
    }
    *bytes_at(env, to++) = (uint8_t)byte;
  }
  *bytes_at(env, to) = 0;
  return at - from;
}

static uint32_t from_mule(struct w2c_env* env, uint32_t from, uint32_t to, uint32_t size,
                          uint32_t leading, uint32_t encoding, uint32_t table, uint32_t no_error) {
  const uint32_t end = from + size;
  uint32_t at = from;
  while (at != end) {
    const uint32_t first = load8(env, at);
    const uint32_t length = first < kHighBit ? 1 : character_length(env, kMuleInternal, at);
    if (first == 0 || length > end - at) {
      if (!no_error) main_report_invalid_encoding(env, kMuleInternal, at, end - at);
      break;
    }
    uint32_t byte = first;
    if (first >= kHighBit) {
      byte = length == 2 && first == leading ? load8(env, at + 1) : 0;
      if (byte < kHighBit) byte = 0;
      if (byte != 0 && table != 0) byte = load8(env, table + byte - kHighBit);
    }
    if (byte == 0) {
      if (!no_error) {
        w2c_env_report_untranslatable_char(env, kMuleInternal, encoding, at, end - at);
      }
      break;
    }
    *bytes_at(env, to++) = (uint8_t)byte;
    at += length;
  }
  *bytes_at(env, to) = 0;
  return at - from;
}

uint32_t w2c_env_local2local(struct w2c_env* env, uint32_t from, uint32_t to, uint32_t size,
                             uint32_t encoding, uint32_t new_encoding, uint32_t table,
                             uint32_t no_error) {
  return from_single_bytes(env, from, to, size, 0, encoding, new_encoding, table, no_error);
}

uint32_t w2c_env_latin2mic(struct w2c_env* env, uint32_t from, uint32_t to, uint32_t size,
                           uint32_t leading, uint32_t encoding, uint32_t no_error) {
  return from_single_bytes(env, from, to, size, leading, encoding, kMuleInternal, 0, no_error);
}

uint32_t w2c_env_latin2mic_with_table(struct w2c_env* env, uint32_t from, uint32_t to,
                                      uint32_t size, uint32_t leading, uint32_t encoding,
                                      uint32_t table, uint32_t no_error) {
  return from_single_bytes(env, from, to, size, leading, encoding, kMuleInternal, table, no_error);
}

uint32_t w2c_env_mic2latin(struct w2c_env* env, uint32_t from, uint32_t to, uint32_t size,
                           uint32_t leading, uint32_t encoding, uint32_t no_error) {
  return from_mule(env, from, to, size, leading, encoding, 0, no_error);
}

uint32_t w2c_env_mic2latin_with_table(struct w2c_env* env, uint32_t from, uint32_t to,
                                      uint32_t size, uint32_t leading, uint32_t encoding,
                                      uint32_t table, uint32_t no_error) {
  return from_mule(env, from, to, size, leading, encoding, table, no_error);
}
