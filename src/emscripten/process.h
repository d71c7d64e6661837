// A guest program as Emscripten's runtime sees it: a main module, the side modules it has opened,
// one memory, one table, open descriptors, an environment, a working directory.
//
// A Process owns all of that. The file system is shared: initdb and the postgres processes it
// starts are separate processes over one tree. Nothing here knows PostgreSQL.
//
// Guest code may be entered only inside run() (which puts it on the guest stack) and below a
// protected call; call() and the wrappers that function() returns do the latter.
#ifndef PGLITE_EMSCRIPTEN_PROCESS_H_
#define PGLITE_EMSCRIPTEN_PROCESS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "emscripten/kernel.h"
#include "emscripten/process_state.h"
#include "emscripten/signal_set.h"
#include "os/timer.h"
#include "vfs/descriptor_table.h"
#include "vfs/filesystem.h"
#include "wasm/execution.h"
#include "wasm/guest_memory.h"
#include "wasm/guest_module.h"
#include "wasm/linear_memory.h"
#include "wasm/module_registry.h"
#include "wasm/module_store.h"

namespace pglite::emscripten {

class Process;

// An exported guest function with its C++ signature: R(Args...). Call it below a protected call.
template <class Signature>
class GuestFunction;

template <class R, class... Args>
class GuestFunction<R(Args...)> {
 public:
  GuestFunction() = default;
  GuestFunction(void* instance, wasm_rt_function_ptr_t function)
      : instance_(instance), function_(reinterpret_cast<R (*)(void*, Args...)>(function)) {}
  explicit operator bool() const { return function_ != nullptr; }
  // Calling an empty one is the caller's mistake.
  R operator()(Args... arguments) const {
    // NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage)
    return function_(instance_, arguments...);
  }

 private:
  void* instance_ = nullptr;
  R (*function_)(void*, Args...) = nullptr;
};

// A host function that guest code can call through its table. `function`'s first parameter is
// `context`, the others are as in `type`.
struct Callback {
  wasm_rt_func_type_t type = nullptr;
  wasm_rt_function_ptr_t function = nullptr;
  void* context = nullptr;
};

// Where a snapshot's pages of linear memory come from.
class PageSource {
 public:
  virtual ~PageSource() = default;
  // Puts the snapshot's pages into `memory`, which is zero and large enough; through its map_file()
  // where the source can be mapped.
  virtual bool fill(wasm::LinearMemory& memory) const = 0;
};

// Why a process could not be restored.
struct RestoreError {
  // True: the snapshot is to blame. False: the host has not the memory for a guest.
  bool is_damaged = true;
  std::string message;
};

struct ProcessConfig {
  const guest_module* main = nullptr;
  std::string program;                   // argv[0]
  std::vector<std::string> environment;  // "NAME=value"
  std::shared_ptr<vfs::FileSystem> filesystem;
  int descriptor_limit = vfs::DescriptorTable::kDefaultLimit;
  // Whether socket() gives out Unix-domain sockets. They carry nothing: it is for a program whose C
  // library hands what it sends to a callback, and asks another for what it receives
  // (pgl_set_rw_cbs).
  bool has_sockets = false;
  // Whether a file of this path must not be replaced by a rename, which then fails with EEXIST.
  bool (*is_never_replaced)(std::string_view path) = nullptr;
  // Where libraries come from; null: those that are linked in.
  std::shared_ptr<wasm::ModuleStore> modules;
  // Called when the guest calls a function that no module defines, on the guest stack. If it
  // returns, the guest traps.
  std::function<void(Process&, const char* name)> on_missing_function;
  // The system that the process lives in; null: it is alone (SleepingKernel). Must outlive the
  // process.
  Kernel* kernel = nullptr;
  // For PostgreSQL as one of many processes; null: it does as PGlite has it. Must outlive the
  // process.
  ProgramHooks* hooks = nullptr;
  // What getpid() says. Emscripten's only process is 42.
  int32_t pid = 42;
  // Diagnostics about the guest that are nobody's output (an abort's message), one line each.
  std::function<void(std::string_view)> log;
};

class Process {
 public:
  // Makes the memory and instantiates the main module; opens descriptors 0, 1, 2 on /dev/stdin,
  // /dev/stdout, /dev/stderr where the file system has them. Null and `*error` set when the guest
  // cannot be made.
  static std::unique_ptr<Process> create(ProcessConfig config, std::string* error);
  // A process as save() described it, with its memory from `pages`. `callback` gives the callbacks
  // by name; a name it does not know is an error. Null and `*error` set when there is none.
  //
  // `state` and the pages may be anybody's. A state that no process can have been in is refused
  // before anything is built from it; memory is the guest's, and as little trusted as the guest.
  static std::unique_ptr<Process> restore(ProcessConfig config, std::string_view state,
                                          const PageSource& pages,
                                          const std::function<Callback(std::string_view)>& callback,
                                          RestoreError* error);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Everything but the linear memory, for restore() in a process of the same build. The guest must
  // be at rest: no guest frame on the stack. False when something is open that a name cannot find
  // again (an unlinked file), and what it is in `*error`.
  bool save(std::string* state, std::string* error);

  // --- Running guest code ---

  wasm::Execution& execution() { return execution_; }
  // Runs `f` on the guest stack to its end; a guest that waits in it holds up the caller. The
  // program is aborted where a task is suspended (Execution::run). `f` may not be suspended: use
  // execution() for what may.
  void run(const std::function<void()>& f);
  // While one lives, nothing that runs in the process may be suspended.
  class NoSuspension {
   public:
    explicit NoSuspension(Process& process)
        : process_(process), before_(std::exchange(process.may_suspend_, false)) {}
    ~NoSuspension() { process_.may_suspend_ = before_; }
    NoSuspension(const NoSuspension&) = delete;
    NoSuspension& operator=(const NoSuspension&) = delete;

   private:
    Process& process_;
    bool before_;
  };
  // Whether what runs on the guest stack may be suspended: host functions that wait ask.
  [[nodiscard]] bool may_suspend() const { return may_suspend_; }

  // On the guest stack: calls into the guest; a trap or exit inside ends here, with the guest's own
  // stack pointer as it was before.
  template <class F>
  wasm::Outcome call(F&& f) {
    const uint32_t stack_pointer = *env_.stack_pointer;
    const wasm::Outcome outcome = execution_.protect(static_cast<F&&>(f));
    if (!outcome.returned()) *env_.stack_pointer = stack_pointer;
    return outcome;
  }

  // main(argc, argv), with program as argv[0]. On the guest stack. The arguments stay on the guest
  // stack when main is left by exit, as programs that stay alive after main need them.
  wasm::Outcome call_main(const std::vector<std::string>& arguments);

  // The export `name` of the main module, empty if there is none of that name. The caller vouches
  // for the signature.
  template <class Signature>
  GuestFunction<Signature> function(const char* name) const {
    const guest_export* found = wasm::find_export(*main_, name);
    if (found == nullptr || found->function == nullptr) return {};
    return {env_.main, found->function};
  }
  // The address of exported data; 0 if there is none of that name.
  [[nodiscard]] uint32_t data_address(const char* name) const;

  // Gives the guest a host function: a table index it can call. `name` is how a snapshot refers to
  // it. Traps when the table is full.
  uint32_t add_callback(std::string_view name, const Callback& callback);
  // The table entry `index` if it is a function of that type, else null.
  const wasm_rt_funcref_t* table_entry(uint32_t index, wasm_rt_func_type_t type) const;

  // On the guest stack: copies `text` with a NUL to the guest's stack; freed with the frame.
  uint32_t push_string(std::string_view text);

  // --- What the imports work on ---

  static Process& of(w2c_env* env) { return *static_cast<Process*>(env->process); }
  static Process& of(w2c_wasi__snapshot__preview1* env) {
    return of(reinterpret_cast<w2c_env*>(env));
  }

  [[nodiscard]] wasm::GuestMemory memory() const { return wasm::GuestMemory(env_.memory); }
  [[nodiscard]] wasm_rt_memory_t* linear_memory() const { return env_.memory; }
  // The owner of it, for mapping into it.
  // NOLINTNEXTLINE(bugprone-unchecked-optional-access): the constructor makes it
  wasm::LinearMemory& memory_owner() { return *memory_; }
  [[nodiscard]] w2c_env& env() { return env_; }
  vfs::FileSystem& filesystem() { return *config_.filesystem; }
  [[nodiscard]] bool has_sockets() const { return config_.has_sockets; }
  [[nodiscard]] bool is_never_replaced(std::string_view path) const {
    return config_.is_never_replaced != nullptr && config_.is_never_replaced(path);
  }
  vfs::DescriptorTable& descriptors() { return descriptors_; }
  [[nodiscard]] const std::vector<std::string>& environment() const { return config_.environment; }
  std::string working_directory = "/";
  uint32_t umask = 0;
  // False: the guest's heap must do with the memory that is there.
  bool memory_may_grow = true;

  // One-shot timers of setitimer, by `which`: when they are due (CLOCK_MONOTONIC, ms).
  std::optional<double> timers[3];
  // The first of them.
  [[nodiscard]] std::optional<double> next_timer() const;
  // Sets the interrupt flag when the first of them is due, in the thread that runs the guest. It
  // attends while guest code runs.
  os::Timer interrupt_timer{os::Timer::Calls::kGoOn, interrupt, this};
  // The guest's flag that makes it look up. Guest code that computes gives the host no chance to
  // look at the clock. PostgreSQL, however, looks at its InterruptPending all the time; once it is
  // set it calls ProcessInterrupts. That clears the flag, unless interrupts are held off, and then
  // calls guest_before_interrupts, which delivers the timers that are due and signals. Null for a
  // guest without. Async-signal-safe.
  [[nodiscard]] uint32_t* interrupt_flag() const { return interrupt_flag_; }

  // Signals for the guest. It runs its handlers when it looks up (guest_before_interrupts), and
  // when it waits: first those of the timers that are due, then those of the signals here, the
  // lowest number first. A signal without a handler is dropped.
  SignalSet signals;
  // Adds `signal` to them and makes a computing guest look up. From any thread and from signal
  // handlers, while the process exists: the caller has to see to that.
  void send_signal(int signal);
  // Runs the handlers of what is due; whether there was anything. On the guest stack, below a
  // protected call. A handler may leave by a jump: what is left of the signals stays for the next
  // time.
  bool deliver_signals();

  [[nodiscard]] int32_t pid() const { return config_.pid; }
  Kernel& kernel() { return config_.kernel != nullptr ? *config_.kernel : sleeping_; }
  [[nodiscard]] ProgramHooks* hooks() { return config_.hooks; }

  // A file that the guest has mapped with MAP_SHARED and that the system cannot map for it
  // (vfs::File::mappable_descriptor): its contents were copied to guest memory, and are written
  // back when it is unmapped. A restored process has forgotten those of the saved one.
  struct CopiedMap {
    uint32_t address = 0;
    uint32_t length = 0;
    uint64_t offset = 0;  // in the file
    std::shared_ptr<vfs::OpenFile> file;
  };
  std::vector<CopiedMap> copied_maps;
  // Whether the process is one of many, which are to see what it writes to a map. Where that cannot
  // be, it gets no map.
  [[nodiscard]] bool shares_maps() const { return parks || config_.hooks != nullptr; }

  // Set: main() ends in set_max_safe_fds(), by exit(kExitParked). Shared memory is made there, and
  // no process uses it yet. Ending it clears the flag.
  bool parks = false;
  static constexpr int kExitParked = 98;

  // On the guest stack: lets the kernel wait. `what.due` is when the guest's own wait ends; the
  // timers are looked at here. The caller then delivers the signals and looks for itself.
  void wait(WaitFor what);

  [[noreturn]] void missing_function(const char* name);
  void log(std::string_view line) {
    if (config_.log) config_.log(line);
  }

  // dlopen and dlsym (dynamic_linking.cc). On the guest stack, below a protected call.
  bool open_library(uint32_t handle);
  uint32_t find_symbol(uint32_t handle, std::string_view symbol, uint32_t* new_index);
  // The function that a library exports under that name and type; the first that was loaded wins.
  [[nodiscard]] std::optional<guest_function> library_function(std::string_view name,
                                                               wasm_rt_func_type_t type) const;

 private:
  struct Library {
    std::string path;
    std::string failure;  // non-empty: it could not be linked, and why
    const guest_module* module;
    std::unique_ptr<std::max_align_t[]> instance;
    std::vector<uint32_t> got;
    w2c_env env;
  };
  explicit Process(ProcessConfig config);

  // Sets the interrupt flag of `process`.
  static void interrupt(void* process);

  // Places a main module that is linked when it is loaded, as a side module is: Emscripten's
  // JavaScript gives it memory, table and stack. Below a protected call.
  void place_main_module();

  // The main module's instance, as its functions get it.
  void* instance() {
    return main_->fused ? env_.memory->data : static_cast<void*>(instance_.get());
  }
  // Common to create() and restore(): what instantiating left to be found.
  bool bind_main_module(std::string* error);
  uint32_t grow_table(const wasm_rt_funcref_t& entry, uint32_t count, TableGrowth growth);

  // The steps of dlopen (dynamic_linking.cc). Some work on the host only, the others call into the
  // guest; no function does both, but for those that hold nothing while they do.
  [[nodiscard]] std::string library_path(uint32_t handle) const;
  [[nodiscard]] Library* find_library(uint32_t handle) const;
  const guest_module* recognise_library(uint32_t handle);
  Library* link_library(uint32_t handle);
  std::unique_ptr<Library> make_library(const std::string& path, const guest_module* module) const;
  Library* add_library(uint32_t handle, const guest_module* module, uint32_t memory_base);
  // Looks the library's GOT up: in the main module, in the libraries that were loaded before it and
  // in itself. The symbol that nobody has, or null. May trap.
  const char* fill_got(Library& library);
  void enter_handle(uint32_t handle, Library* library);
  // The table index of an exported function, the same one at every call.
  // `library` is an index into libraries_, -1 for the main module.
  uint32_t function_address(int32_t library, const guest_export& export_);
  [[nodiscard]] int32_t index_of(const Library& library) const;
  // Gives dl_error_ to the guest's dlerror(). Calls into the guest.
  void report_dl_error();

  // The parts of a state (process_snapshot.cc).
  void save_libraries(ProcessState* state) const;
  bool save_files(ProcessState* state, std::string* error);
  bool save_description(const vfs::OpenFile& open, ProcessState::Description* out,
                        std::string* error);
  // The steps of restore(). Each returns false with `*error` set, and needs those before it.
  bool restore_memory(const ProcessState& state, RestoreError* error);
  bool restore_main_module(const ProcessState& state, RestoreError* error);
  void restore_libraries(const ProcessState& state);
  [[nodiscard]] const guest_export& export_of(const TableGrowth& growth) const;
  bool table_entries(const ProcessState& state,
                     const std::function<Callback(std::string_view)>& callback,
                     std::vector<wasm_rt_funcref_t>* entries, RestoreError* error);
  bool restore_table(const ProcessState& state,
                     const std::function<Callback(std::string_view)>& callback,
                     RestoreError* error);
  bool restore_library_globals(const ProcessState& state, RestoreError* error);
  bool restore_symbols(const ProcessState& state, RestoreError* error);
  bool restore_files(const ProcessState& state, RestoreError* error);

  ProcessConfig config_;
  const guest_module* main_;
  wasm::Execution execution_;
  // The main module's memory. Where the module owns one, it gets it from here when it is
  // instantiated.
  std::optional<wasm::LinearMemory> memory_;
  wasm_rt_funcref_table_t table_{};               // where the main module imports its table
  uint32_t stack_pointer_ = 0;                    // and its stack pointer
  std::unique_ptr<std::max_align_t[]> instance_;  // of a main module that is not fused
  w2c_env env_{};
  uint32_t* interrupt_flag_ = nullptr;
  bool may_suspend_ = true;
  SleepingKernel sleeping_;
  bool instantiated_ = false;
  vfs::DescriptorTable descriptors_;

  std::vector<uint32_t> got_;  // the main module's
  // Functions added to the table, by library (one module may be open under two paths) and export.
  std::map<std::pair<int32_t, const guest_export*>, uint32_t> addresses_;
  std::vector<std::unique_ptr<Library>> libraries_;  // in the order they were loaded
  std::unordered_map<uint32_t, Library*> handles_;
  std::vector<TableGrowth> growth_;
  // What dlerror() is to say. A member, because it must outlive calls into the guest, which may
  // never come back to the function that made them.
  std::string dl_error_;
};

}  // namespace pglite::emscripten

#endif  // PGLITE_EMSCRIPTEN_PROCESS_H_
