#include "emscripten/process.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

#include "emscripten/invoke.h"

extern "C" {
extern const char wasm_func_type_i_v[];
}

namespace pglite::emscripten {

std::unique_ptr<Process> Process::create(ProcessConfig config, std::string* error) {
  try {
    std::unique_ptr<Process> process(new Process(std::move(config)));
    wasm::Outcome outcome;
    process->run([&] {
      outcome = process->execution_.protect([&] {
        process->place_main_module();
        process->main_->instantiate(process->instance(), &process->env_);
      });
    });
    if (!outcome.returned()) {
      *error = std::string("the module cannot be instantiated: ") +
               (outcome.trap != nullptr ? outcome.trap : "it exited");
      return nullptr;
    }
    process->instantiated_ = true;
    if (!process->bind_main_module(error)) return nullptr;
    for (int fd = 0; const char* name : {"/dev/stdin", "/dev/stdout", "/dev/stderr"}) {
      vfs::OpenFlags flags;
      flags.read = fd == 0;
      flags.write = fd != 0;
      auto file = process->filesystem().open(name, flags, 0);
      if (file) {
        auto open = std::make_shared<vfs::OpenFile>();
        open->file = std::move(*file);
        open->path = name;
        open->readable = flags.read;
        open->writable = flags.write;
        (void)process->descriptors_.open(std::move(open), fd);
      }
      ++fd;
    }
    const auto relocations = process->function<void()>("__wasm_apply_data_relocs");
    const auto constructors = process->function<void()>("__wasm_call_ctors");
    process->run([&] {
      outcome = process->call([&] {
        if (relocations) relocations();
        constructors();
      });
    });
    if (!outcome.returned()) {
      *error = "the module's constructors failed";
      return nullptr;
    }
    return process;
  } catch (const std::bad_alloc&) {
    *error =
        "not enough address space for a guest (8 GiB of reservation and a 256 MiB stack): check "
        "RLIMIT_AS and vm.overcommit_memory";
    return nullptr;
  }
}

// As Emscripten's JavaScript lays it out: data, stack, heap, and the first table entry left free
// for the null function. A stack of 64 KiB, as there, would grow into the data unnoticed.
void Process::place_main_module() {
  constexpr uint32_t kDataStart = 1024;
  constexpr uint32_t kStackSize = uint32_t{1} << 20;
  constexpr uint32_t kTableStart = 1;
  if (main_->table != nullptr) return;
  const uint32_t alignment = std::max(uint32_t{1} << main_->memory_align, uint32_t{16});
  const uint32_t data_end =
      (kDataStart + main_->memory_size + alignment - 1) / alignment * alignment;
  stack_pointer_ = data_end + kStackSize;
  env_.memory_base = kDataStart;
  env_.table_base = kTableStart;
  env_.stack_pointer = &stack_pointer_;
  wasm_rt_allocate_funcref_table(&table_, kTableStart + main_->table_size, GUEST_TABLE_CAPACITY);
  env_.table = &table_;
  for (uint32_t i = 0; i < main_->got_import_count; ++i) {
    if (main_->got_imports[i].name != std::string_view("__heap_base")) {
      execution_.trap("the module needs a symbol that nobody has");
    }
    got_[i] = stack_pointer_;
  }
}

bool Process::bind_main_module(std::string* error) {
  env_.main = instance();
  if (env_.memory == nullptr) env_.memory = main_->memory(env_.main);
  // Found once, as signal handlers and other threads use it. Memory grows in place.
  const uint32_t flag = data_address("InterruptPending");
  const auto bytes = memory().bytes(flag, sizeof(uint32_t));
  if (flag != 0 && flag % sizeof(uint32_t) == 0 && bytes) {
    interrupt_flag_ = reinterpret_cast<uint32_t*>(bytes->data());
  }
  if (env_.table == &table_) return true;
  env_.table = main_->table(env_.main);
  const guest_export* stack_pointer = wasm::find_export(*main_, "__stack_pointer");
  if (stack_pointer == nullptr || stack_pointer->global == nullptr) {
    *error = "the module exports no __stack_pointer";
    return false;
  }
  env_.stack_pointer = stack_pointer->global(env_.main);
  return true;
}

Process::Process(ProcessConfig config)
    : config_(std::move(config)), main_(config_.main), descriptors_(config_.descriptor_limit) {
  got_.resize(main_->got_import_count);
  if (main_->memory_max_pages != 0) {
    memory_.emplace(main_->memory_min_pages, main_->memory_max_pages);
    env_.memory = memory_->get();
  } else {
    memory_.emplace();
  }
  execution_.memory = &*memory_;
  if (!main_->fused) {
    instance_ =
        std::make_unique<std::max_align_t[]>(main_->instance_size / sizeof(std::max_align_t) + 1);
  }
  env_.process = this;
  env_.invoke_target = &execution_.invoke_target;
  env_.got = got_.data();
}

Process::~Process() {
  interrupt_timer.remove();  // it stores into the memory that goes now
  for (const auto& library : libraries_) library->module->release(library->instance.get());
  if (instantiated_) main_->release(instance());
  if (table_.data != nullptr) wasm_rt_free_funcref_table(&table_);
}

wasm::Outcome Process::call_main(const std::vector<std::string>& arguments) {
  const auto main = function<uint32_t(uint32_t, uint32_t)>("__main_argc_argv");
  const auto allocate = function<uint32_t(uint32_t)>("_emscripten_stack_alloc");
  wasm::Outcome outcome;
  uint32_t argv = 0;
  const auto count = static_cast<uint32_t>(arguments.size() + 1);
  outcome = call([&] {
    argv = allocate((count + 1) * 4);
    uint32_t slot = argv;
    const auto store = [&](uint32_t value) {
      if (!memory().store(wasm::GuestPtr<uint32_t>{slot}, value)) {
        wasm_rt_trap(WASM_RT_TRAP_OOB);
      }
      slot += 4;
    };
    store(push_string(config_.program));
    for (const std::string& argument : arguments) store(push_string(argument));
    store(0);
  });
  if (!outcome.returned()) return outcome;
  // Not call(): PostgreSQL leaves main by exit(99) and goes on living with the arguments on the
  // stack, so the stack pointer must stay below them.
  const uint32_t stack_pointer = *env_.stack_pointer;
  int result = 0;
  outcome = execution_.protect([&] { result = static_cast<int>(main(count, argv)); });
  *env_.stack_pointer = stack_pointer;
  if (outcome.returned()) {
    outcome.kind = wasm::Outcome::Kind::kExited;
    outcome.exit_status = result;
  }
  return outcome;
}

uint32_t Process::push_string(std::string_view text) {
  const auto allocate = function<uint32_t(uint32_t)>("_emscripten_stack_alloc");
  const uint32_t address = allocate(static_cast<uint32_t>(text.size() + 1));
  auto target = memory().bytes(address, static_cast<uint32_t>(text.size() + 1));
  if (!target) wasm_rt_trap(WASM_RT_TRAP_OOB);
  std::memcpy(target->data(), text.data(), text.size());
  (*target)[text.size()] = std::byte{0};
  return address;
}

uint32_t Process::data_address(const char* name) const {
  const guest_export* found = wasm::find_export(*main_, name);
  return found != nullptr && found->global != nullptr ? *found->global(env_.main) : 0;
}

void Process::run(const std::function<void()>& f) {
  const NoSuspension to_its_end(*this);
  interrupt_timer.attend();
  const bool done = execution_.run(f);
  interrupt_timer.rest();
  if (done) return;
  std::fputs("pglite-port: a defect of this program: a guest was suspended in Process::run\n",
             stderr);
  std::abort();
}

std::optional<double> Process::next_timer() const {
  std::optional<double> next;
  for (const auto& timer : timers) {
    if (timer && (!next || *timer < *next)) next = timer;
  }
  return next;
}

void Process::send_signal(int signal) {
  signals.add(signal);
  interrupt(this);
}

void Process::interrupt(void* process) {
  uint32_t* const flag = static_cast<Process*>(process)->interrupt_flag_;
  if (flag != nullptr) std::atomic_ref(*flag).store(1);
}

// Nothing in these frames needs its destructor: the guest's code may jump away.
bool Process::deliver_signals() {
  bool delivered = false;
  const double now = monotonic_milliseconds();
  const auto timeout = function<void(uint32_t, double)>("_emscripten_timeout");
  for (uint32_t which = 0; which < 3; ++which) {
    std::optional<double>& due = timers[which];
    if (due && *due <= now) {
      due.reset();
      if (timeout) timeout(which, now);  // raises the timer's signal in the guest
      delivered = true;
    }
  }
  if (signals.empty()) return delivered;
  // struct sigaction: the handler, then mask, flags and restorer.
  constexpr uint32_t kSigactionSize = 140;
  const auto sigaction = function<uint32_t(uint32_t, uint32_t, uint32_t)>("sigaction");
  const auto allocate = function<uint32_t(uint32_t)>("_emscripten_stack_alloc");
  if (!sigaction || !allocate) return delivered;
  // It knows which signals the guest blocks, and keeps those for later.
  const auto raise = function<uint32_t(uint32_t)>("raise");
  while (const int signal = signals.take()) {
    const uint32_t stack_pointer = *env_.stack_pointer;
    const uint32_t action = allocate(kSigactionSize);
    sigaction(static_cast<uint32_t>(signal), 0, action);
    const auto handler = memory().load(wasm::GuestPtr<uint32_t>{action});
    *env_.stack_pointer = stack_pointer;
    const wasm_rt_funcref_t* entry = handler ? table_entry(*handler, wasm_func_type_i_v) : nullptr;
    if (entry != nullptr && raise) {
      raise(static_cast<uint32_t>(signal));
    } else if (entry != nullptr) {
      reinterpret_cast<void (*)(void*, uint32_t)>(entry->func)(entry->module_instance,
                                                               static_cast<uint32_t>(signal));
    }
    delivered = true;
  }
  return delivered;
}

void Process::wait(WaitFor what) {
  execution_.need_host_stack();
  what.has_end = what.due < WaitFor::kNoEnd;
  if (const auto timer = next_timer()) what.due = std::min(what.due, *timer);
  kernel().wait(*this, what);
}

uint32_t Process::grow_table(const wasm_rt_funcref_t& entry, uint32_t count, TableGrowth growth) {
  growth_.push_back(std::move(growth));
  const uint32_t index = wasm_rt_grow_funcref_table(env_.table, count, entry);
  if (index == UINT32_MAX) growth_.pop_back();
  return index;
}

uint32_t Process::add_callback(std::string_view name, const Callback& callback) {
  wasm_rt_funcref_t entry{};
  entry.func_type = callback.type;
  entry.func = callback.function;
  entry.module_instance = callback.context;
  const uint32_t index =
      grow_table(entry, 1, {.kind = TableGrowth::Kind::kCallback, .name = std::string(name)});
  if (index == UINT32_MAX) wasm_rt_trap(WASM_RT_TRAP_OOB);
  return index;
}

const wasm_rt_funcref_t* Process::table_entry(uint32_t index, wasm_rt_func_type_t type) const {
  if (index >= env_.table->size) return nullptr;
  const wasm_rt_funcref_t& entry = env_.table->data[index];
  if (entry.func == nullptr || !is_same_type(entry.func_type, type)) return nullptr;
  return &entry;
}

void Process::missing_function(const char* name) {
  if (config_.on_missing_function) config_.on_missing_function(*this, name);
  execution_.trap("call of a function that no module defines");
}

}  // namespace pglite::emscripten
