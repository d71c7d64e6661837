/* For C that belongs to the guest and is written here: what PGlite's linker has left out of the
 * main module, because there only side modules use it.
 *
 * It is like translated code: it works on the guest's memory, is called from it and calls it, and
 * an error that a callee throws passes it by. glue.py reads these files. Each function w2c_env_NAME
 * is what the import NAME of side modules gets; main_NAME is the function NAME of the main module,
 * and address_of_NAME where its variable NAME lies, exported or found by symbols.py (supplement.h).
 */
#ifndef PGLITE_AOT_SUPPLEMENT_GUEST_H_
#define PGLITE_AOT_SUPPLEMENT_GUEST_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "supplement.h"

/* The main module's instance lies in front of its memory: its pointer is the base of both. An
 * address outside of memory is a fault in its reservation, as in translated code. */
static inline uint8_t* bytes_at(struct w2c_env* env, uint32_t address) {
  return (uint8_t*)env->main + address;
}
static inline uint32_t load8(struct w2c_env* env, uint32_t address) {
  return *bytes_at(env, address);
}
static inline uint32_t load16(struct w2c_env* env, uint32_t address) {
  uint16_t value;
  memcpy(&value, bytes_at(env, address), sizeof value);
  return value;
}
static inline uint32_t load32(struct w2c_env* env, uint32_t address) {
  uint32_t value;
  memcpy(&value, bytes_at(env, address), sizeof value);
  return value;
}
static inline uint64_t load64(struct w2c_env* env, uint32_t address) {
  uint64_t value;
  memcpy(&value, bytes_at(env, address), sizeof value);
  return value;
}
static inline void store32(struct w2c_env* env, uint32_t address, uint32_t value) {
  memcpy(bytes_at(env, address), &value, sizeof value);
}
static inline uint32_t length_of(struct w2c_env* env, uint32_t string) {
  return (uint32_t)strlen((const char*)bytes_at(env, string));
}

/* Room on the guest's stack, until the stack pointer is what it was before. */
static inline uint32_t push(struct w2c_env* env, uint32_t size) {
  return *env->stack_pointer -= (size + 15) / 16 * 16;
}
static inline uint32_t push_string(struct w2c_env* env, const char* text) {
  const uint32_t size = (uint32_t)strlen(text) + 1;
  const uint32_t address = push(env, size);
  memcpy(bytes_at(env, address), text, size);
  return address;
}

/* The entry of the function table, which must be of the type. */
static inline wasm_rt_funcref_t table_entry(struct w2c_env* env, uint32_t index,
                                            wasm_rt_func_type_t type) {
  if (index >= env->table->size || env->table->data[index].func == NULL ||
      env->table->data[index].func_type != type) {
    wasm_rt_trap(WASM_RT_TRAP_CALL_INDIRECT);
  }
  return env->table->data[index];
}

/* MAKE_SQLSTATE, utils/elog.h: six bits a character, the first in the lowest. */
#define SQLSTATE(a, b, c, d, e) \
  ((a) - '0' | ((b) - '0') << 6 | ((c) - '0') << 12 | ((d) - '0') << 18 | ((e) - '0') << 24)

/* ereport(ERROR): throws. The format's arguments are `count` words. */
static inline void raise_error(struct w2c_env* env, uint32_t sqlstate, const char* format,
                               uint32_t count, const uint32_t* arguments) {
  enum { kError = 21 };
  const uint32_t text = push_string(env, format);
  const uint32_t list = push(env, 4 * count);
  memcpy(bytes_at(env, list), arguments, 4 * count);
  main_errstart(env, kError, 0);
  main_errcode(env, sqlstate);
  main_errmsg(env, text, list);
  /* PostgreSQL keeps these two as they are, and what is on the stack does not last. */
  main_errfinish(env, 0, 0, 0);
}

#endif /* PGLITE_AOT_SUPPLEMENT_GUEST_H_ */
