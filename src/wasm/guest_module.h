/* What the build knows of a translated module, and what a translated module knows of its process.
 *
 * This header is the seam between generated C (aot/glue.py writes one descriptor a module) and the
 * host (C++), so it is plain C. Everything in a descriptor is constant; everything that changes
 * belongs to a process. */
#ifndef PGLITE_WASM_GUEST_MODULE_H_
#define PGLITE_WASM_GUEST_MODULE_H_

#include <stddef.h>
#include <stdint.h>

#include "wasm-rt.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The importing side of one module instance: wasm2c hands it to every imported function. */
struct w2c_env {
  void* process; /* the emscripten::Process that the instance belongs to */
  void* main;    /* instance of the process's main module, or NULL while that one is made */
  wasm_rt_memory_t* memory;
  wasm_rt_funcref_table_t* table;
  uint32_t* stack_pointer; /* the main module's __stack_pointer */
  uint32_t* got;           /* one cell for each of the module's got_imports */
  uint32_t memory_base;
  uint32_t table_base;
  /* Where the execution keeps its innermost pglite::wasm::JumpTarget* (wasm/execution.h). */
  void** invoke_target;
};

/* wasm2c's name for the importing side of WASI functions: the same w2c_env, under another type. */
struct w2c_wasi__snapshot__preview1;

typedef struct guest_export {
  const char* name;
  wasm_rt_function_ptr_t function;     /* a function; its first parameter is the instance */
  wasm_rt_func_type_t type;            /* of `function` */
  uint32_t* (*global)(void* instance); /* an i32 global: an address, for exported data */
  int32_t element; /* the function's place in the module's element segment; -1: not there */
} guest_export;

/* The main module's instance and function table lie in front of its linear memory, where the base
 * of memory finds them at fixed distances (aot/translate.py):
 *
 *   table | instance, to a whole page | linear memory
 *
 * and the base of memory is the instance pointer that its functions get. */
#define GUEST_INSTANCE_SIZE 65536u   /* bytes; no system has larger pages */
#define GUEST_TABLE_CAPACITY 262144u /* entries, in a table of any module */
#define GUEST_TABLE_SIZE (GUEST_TABLE_CAPACITY * sizeof(wasm_rt_funcref_t))
#define GUEST_TABLE(base) \
  ((wasm_rt_funcref_t*)((uint8_t*)(base) - GUEST_INSTANCE_SIZE - GUEST_TABLE_SIZE))

/* What a loader looks up for a module: a table index (GOT.func) or an address (GOT.mem). */
typedef struct guest_got_symbol {
  const char* name;
  int is_function;
} guest_got_symbol;

typedef struct guest_module {
  const char* name;
  const char* sha256; /* of the wasm binary, 64 lower-case hex digits */
  int fused;          /* 1: `instance` below is where linear memory begins, see above */
  size_t instance_size;
  /* dylink.0: what a side module needs before it is instantiated. Alignments are log2. */
  uint32_t memory_size, memory_align, table_size, table_align;
  /* Pages of an imported memory; 0, 0: the module owns its memory. */
  uint32_t memory_min_pages, memory_max_pages;
  void (*instantiate)(void* instance, struct w2c_env* env);
  void (*release)(void* instance);
  /* As instantiate, but memory is left as it is and no start function runs: for an instance whose
   * memory comes from a snapshot. */
  void (*instantiate_bare)(void* instance, struct w2c_env* env);
  /* The module's own globals, which with memory and table are all its state. */
  uint32_t global_count;
  void (*save_globals)(void* instance, uint32_t* values);
  void (*load_globals)(void* instance, const uint32_t* values);
  /* The memory and the table that the module owns and exports; NULL where it imports them. */
  wasm_rt_memory_t* (*memory)(void* instance);
  wasm_rt_funcref_table_t* (*table)(void* instance);
  const guest_export* exports; /* sorted by name */
  uint32_t export_count;
  const guest_got_symbol* got_imports;
  uint32_t got_import_count;
} guest_module;

/* All modules that are linked in: main modules and side modules. */
extern const guest_module* const guest_modules[];
extern const uint32_t guest_module_count;

/* A library with one module, made by aot/compile.py: what its ELF entry is. */
typedef struct guest_library {
  const char* abi_identity; /* that of the program it was made for, see below */
  const guest_module* module;
  /* Of a main module: what side modules import, it lacks and aot/supplement has. By name. */
  const struct guest_host_symbol* supplied;
  uint32_t supplied_count;
} guest_library;

/* What such libraries get from the program, sorted by name. */
typedef struct guest_host_symbol {
  const char* name;
  const void* address;
  int is_of_main; /* it works on the main module that is linked in, and on no other */
} guest_host_symbol;
extern const guest_host_symbol guest_host_symbols[];
extern const uint32_t guest_host_symbol_count;
/* Over the sources that say what a module and the host mean to each other, and the architecture. */
extern const char guest_abi_identity[];

/* Continues PostgreSQL's CRC-32C in `*crc` over `size` bytes; 0: this processor has no instruction
 * for it, and nothing was done. */
int guest_crc32c(uint32_t* crc, const uint8_t* bytes, uint32_t size);

/* In place of wasm_rt_allocate_funcref_table in a fused module. */
void guest_place_table(void* base, wasm_rt_funcref_table_t* table, uint32_t elements,
                       uint32_t max_elements);

/* memory.fill of a large range that lies in the memory. */
void guest_large_fill(void* start, uint32_t value, uint64_t size);

/* What translate.py puts into functions of the main module: the clock, waiting without spinning,
 * and a step before PostgreSQL acts on interrupts. */
uint64_t guest_wall_clock(void); /* microseconds since 1970 */
uint32_t guest_nanosleep(struct w2c_env* env, uint32_t request, uint32_t remaining);
/* In front of WaitLatch: waits until the latch is set or the timeout (ms) is over, and returns what
 * is left of it. */
uint32_t guest_wait_latch(struct w2c_env* env, uint32_t latch, uint32_t events, uint32_t timeout);
void guest_before_interrupts(struct w2c_env* env);
/* How deep the stack is (bytes) for PostgreSQL's max_stack_depth: `depth`, what is used of the one
 * in linear memory, or what the native one says, if that is more. */
uint32_t guest_stack_depth(struct w2c_env* env, uint32_t depth);

/* What translate.py puts into functions of the main module so that its processes know each other:
 * they go to the process's emscripten::Kernel. A process without one is alone, as before. */
uint32_t guest_getpid(struct w2c_env* env);
uint32_t guest_kill(struct w2c_env* env, uint32_t pid, uint32_t signal); /* as kill(2) */
/* In front of each look at a byte that a loop without end around a semaphore waits for
 * (Emscripten's semaphores do nothing): returns when the byte at `address` may be zero. */
void guest_wait_byte(struct w2c_env* env, uint32_t address);
/* In front of WaitEventSetWait: how many events have occurred; UINT32_MAX: the guest waits by
 * itself. */
uint32_t guest_wait_event_set(struct w2c_env* env, uint32_t set, uint32_t timeout,
                              uint32_t occurred, uint32_t count, uint32_t activity);
/* In front of RequestCheckpoint; 0: the guest makes one by itself. */
uint32_t guest_request_checkpoint(struct w2c_env* env, uint32_t flags);
/* In front of set_max_safe_fds, which main calls when shared memory is there; 0: it goes on. */
uint32_t guest_park(struct w2c_env* env);

/* Called in place of a function that no module defines (PGlite's main module does not carry what
 * some of its own conversion libraries import). Does not return. */
WASM_RT_NO_RETURN void guest_missing_function(struct w2c_env* env, const char* name);

/* A function that a side module imports and the main module has not: that of another side module,
 * loaded by now. Where nobody has it, as guest_missing_function. */
typedef struct guest_function {
  wasm_rt_function_ptr_t function; /* its first parameter is `instance` */
  void* instance;
} guest_function;
guest_function guest_find_function(struct w2c_env* env, const char* name, wasm_rt_func_type_t type);

/* invoke_SIGNATURE (emscripten/invoke.h) for a signature that the program has not: `call` makes the
 * call with what is in `frame`. A longjmp leaves `frame` as it is. */
void guest_invoke(struct w2c_env* env, wasm_rt_func_type_t type, uint32_t index,
                  void (*call)(void* frame, guest_function function), void* frame);

#ifdef __cplusplus
}
#endif

#endif /* PGLITE_WASM_GUEST_MODULE_H_ */
