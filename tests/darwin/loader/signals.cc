#include <pthread.h>
#include <signal.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "darwin.h"

namespace pglite::loader {

namespace {

// By macOS's number. Linux has no SIGEMT and no SIGINFO; two that nobody uses play them.
constexpr std::array<int, darwin::kSignals> kSignals = {
    0,       SIGHUP,  SIGINT,    SIGQUIT, SIGILL,   SIGTRAP, SIGABRT, SIGSTKFLT,
    SIGFPE,  SIGKILL, SIGBUS,    SIGSEGV, SIGSYS,   SIGPIPE, SIGALRM, SIGTERM,
    SIGURG,  SIGSTOP, SIGTSTP,   SIGCONT, SIGCHLD,  SIGTTIN, SIGTTOU, SIGIO,
    SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, SIGPWR,  SIGUSR1, SIGUSR2};

constexpr auto kActionFlags = std::to_array<std::pair<int, int>>({
    {SA_ONSTACK, 0x1},
    {SA_RESTART, 0x2},
    {static_cast<int>(SA_RESETHAND), 0x4},
    {SA_NOCLDSTOP, 0x8},
    {SA_NODEFER, 0x10},
    {SA_NOCLDWAIT, 0x20},
});

int failed(int error) {
  program_errno() = to_darwin_error(error);
  return -1;
}

sigset_t from_darwin_mask(uint32_t mask) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal = 1; signal < darwin::kSignals; ++signal) {
    if ((mask >> (signal - 1) & 1) != 0) sigaddset(&set, from_darwin_signal(signal));
  }
  return set;
}

uint32_t to_darwin_mask(const sigset_t& set) {
  uint32_t mask = 0;
  for (int signal = 1; signal < darwin::kSignals; ++signal) {
    if (sigismember(&set, from_darwin_signal(signal)) == 1) mask |= 1U << (signal - 1);
  }
  return mask;
}

// What the program has set; read by handlers.
std::array<darwin::SignalAction, darwin::kSignals>& actions() {
  static std::array<darwin::SignalAction, darwin::kSignals> all{};
  return all;
}

bool is_handler(const void* handler) {
  return handler != reinterpret_cast<void*>(SIG_DFL) && handler != reinterpret_cast<void*>(SIG_IGN);
}

constexpr auto kRegisters = std::to_array<std::pair<int, uint64_t darwin::Registers::*>>({
    {REG_RAX, &darwin::Registers::rax},
    {REG_RBX, &darwin::Registers::rbx},
    {REG_RCX, &darwin::Registers::rcx},
    {REG_RDX, &darwin::Registers::rdx},
    {REG_RDI, &darwin::Registers::rdi},
    {REG_RSI, &darwin::Registers::rsi},
    {REG_RBP, &darwin::Registers::rbp},
    {REG_RSP, &darwin::Registers::rsp},
    {REG_R8, &darwin::Registers::r8},
    {REG_R9, &darwin::Registers::r9},
    {REG_R10, &darwin::Registers::r10},
    {REG_R11, &darwin::Registers::r11},
    {REG_R12, &darwin::Registers::r12},
    {REG_R13, &darwin::Registers::r13},
    {REG_R14, &darwin::Registers::r14},
    {REG_R15, &darwin::Registers::r15},
    {REG_RIP, &darwin::Registers::rip},
    {REG_EFL, &darwin::Registers::rflags},
});

// macOS tells memory that may not be touched (SIGBUS) from memory that is not there (SIGSEGV).
int signal_of(const siginfo_t& information) {
  if (information.si_signo == SIGSEGV && information.si_code == SEGV_ACCERR) {
    return darwin::kSigBus;
  }
  return to_darwin_signal(information.si_signo);
}

int code_of(const siginfo_t& information) {
  constexpr int kUser = 0x10001;
  constexpr int kAddressError = 2;  // BUS_ADRERR
  if (information.si_code <= 0) return kUser;
  return signal_of(information) == darwin::kSigBus ? kAddressError : information.si_code;
}

void deliver(int /*signal*/, siginfo_t* information, void* given) {
  const int error_before = errno;
  auto& here = *static_cast<ucontext_t*>(given);
  const int signal = signal_of(*information);
  const darwin::SignalAction action = actions()[static_cast<size_t>(signal)];
  if (!is_handler(action.handler)) {
    // One of the two that share a signal of Linux's has none: the fault comes again, and kills.
    struct sigaction standard{};
    standard.sa_handler = SIG_DFL;
    sigaction(information->si_signo, &standard, nullptr);
    return;
  }
  darwin::SignalInformation told{};
  told.signal = signal;
  told.code = code_of(*information);
  if (information->si_code <= 0 || information->si_signo == SIGCHLD) {
    told.process = information->si_pid;
    told.user = information->si_uid;
    told.status = information->si_signo == SIGCHLD ? information->si_status : 0;
  } else {
    told.address = information->si_addr;
  }
  darwin::MachineContext machine{};
  machine.fault_address = reinterpret_cast<uintptr_t>(told.address);
  for (const auto& [index, field] : kRegisters) {
    machine.registers.*field = static_cast<uint64_t>(here.uc_mcontext.gregs[index]);
  }
  darwin::Context context{};
  context.mask = to_darwin_mask(here.uc_sigmask);
  context.machine_size = sizeof machine;
  context.machine = &machine;
  reinterpret_cast<void (*)(int, void*, void*)>(action.handler)(signal, &told, &context);
  // The program's errno is its handlers' to keep.
  for (const auto& [index, field] : kRegisters) {
    here.uc_mcontext.gregs[index] = static_cast<greg_t>(machine.registers.*field);
  }
  errno = error_before;
}

int install(int signal, const darwin::SignalAction& wanted) {
  struct sigaction here{};
  here.sa_mask = from_darwin_mask(wanted.mask);
  for (const auto& [linux, there] : kActionFlags) {
    if ((wanted.flags & there) != 0) here.sa_flags |= linux;
  }
  if (is_handler(wanted.handler)) {
    here.sa_sigaction = deliver;
    here.sa_flags |= SA_SIGINFO;
  } else {
    here.sa_handler = reinterpret_cast<void (*)(int)>(wanted.handler);
  }
  return sigaction(signal, &here, nullptr);
}

int set_action(int signal, const darwin::SignalAction* wanted, darwin::SignalAction* before) {
  const int here = from_darwin_signal(signal);
  if (here == 0) return failed(EINVAL);
  darwin::SignalAction& action = actions()[static_cast<size_t>(signal)];
  struct sigaction now{};
  if (sigaction(here, nullptr, &now) != 0) return noted(-1);
  // Nobody has set one: what was inherited counts.
  if ((now.sa_flags & SA_SIGINFO) == 0 && !is_handler(action.handler)) {
    action.handler = reinterpret_cast<void*>(now.sa_handler);
  }
  const darwin::SignalAction old = action;
  if (wanted != nullptr) {
    action = *wanted;
    if (install(here, *wanted) != 0) {
      action = old;
      return noted(-1);
    }
    // Linux has SIGSEGV for most of what is SIGBUS there.
    if (signal == darwin::kSigBus && is_handler(wanted->handler)) install(SIGSEGV, *wanted);
  }
  if (before != nullptr) *before = old;
  return 0;
}

void* set_handler(int signal, void* handler) {
  constexpr int kRestart = 0x2;
  const darwin::SignalAction wanted{.handler = handler, .mask = 0, .flags = kRestart};
  darwin::SignalAction before{};
  return set_action(signal, &wanted, &before) == 0 ? before.handler
                                                   : reinterpret_cast<void*>(SIG_ERR);
}

int set_mask(int how, const uint32_t* wanted, uint32_t* before) {
  if (wanted != nullptr && (how < 1 || how > 3)) return EINVAL;
  sigset_t set;
  sigset_t old;
  if (wanted != nullptr) set = from_darwin_mask(*wanted);
  const int error = pthread_sigmask(how - 1, wanted == nullptr ? nullptr : &set, &old);
  if (error == 0 && before != nullptr) *before = to_darwin_mask(old);
  return to_darwin_error(error);
}
int set_process_mask(int how, const uint32_t* wanted, uint32_t* before) {
  const int error = set_mask(how, wanted, before);
  if (error == 0) return 0;
  program_errno() = error;
  return -1;
}

int set_stack(const darwin::SignalStack* wanted, darwin::SignalStack* before) {
  constexpr int kDisable = 4;
  constexpr int kOnStack = 1;
  constexpr size_t kLeast = 32768;
  stack_t old{};
  stack_t stack{};
  if (wanted != nullptr) {
    const bool is_off = (wanted->flags & kDisable) != 0;
    if (!is_off && wanted->size < kLeast) return failed(ENOMEM);
    stack = {.ss_sp = wanted->start, .ss_flags = is_off ? SS_DISABLE : 0, .ss_size = wanted->size};
  }
  if (sigaltstack(wanted == nullptr ? nullptr : &stack, &old) != 0) return noted(-1);
  if (before != nullptr) {
    *before = {.start = old.ss_sp,
               .size = old.ss_size,
               .flags = ((old.ss_flags & SS_DISABLE) != 0 ? kDisable : 0) |
                        ((old.ss_flags & SS_ONSTACK) != 0 ? kOnStack : 0)};
  }
  return 0;
}

// 0 asks whether there is such a process.
int here_or_none(int signal) {
  return signal == 0 ? 0 : from_darwin_signal(signal) == 0 ? -1 : from_darwin_signal(signal);
}
int send(pid_t process, int signal) {
  return noted(kill(process, here_or_none(signal)));
}
int send_to_thread(pthread_t thread, int signal) {
  return to_darwin_error(pthread_kill(thread, here_or_none(signal)));
}
int send_to_self(int signal) {
  return noted(raise(here_or_none(signal)));
}

// jmp_buf has 148 bytes: what a call leaves as it was, the stack behind the return, the address,
// and how numbers are rounded. Masks are not kept by these two.
extern "C" void pglite_loader_setjmp();
extern "C" void pglite_loader_longjmp();
asm(R"(
    .text
    .globl pglite_loader_setjmp
    .type pglite_loader_setjmp, @function
pglite_loader_setjmp:
    movq %rbx, (%rdi)
    movq %rbp, 8(%rdi)
    movq %r12, 16(%rdi)
    movq %r13, 24(%rdi)
    movq %r14, 32(%rdi)
    movq %r15, 40(%rdi)
    leaq 8(%rsp), %rax
    movq %rax, 48(%rdi)
    movq (%rsp), %rax
    movq %rax, 56(%rdi)
    stmxcsr 64(%rdi)
    fnstcw 68(%rdi)
    xorl %eax, %eax
    ret
    .size pglite_loader_setjmp, . - pglite_loader_setjmp

    .globl pglite_loader_longjmp
    .type pglite_loader_longjmp, @function
pglite_loader_longjmp:
    movl %esi, %eax
    testl %eax, %eax
    jnz 1f
    incl %eax
1:
    movq (%rdi), %rbx
    movq 8(%rdi), %rbp
    movq 16(%rdi), %r12
    movq 24(%rdi), %r13
    movq 32(%rdi), %r14
    movq 40(%rdi), %r15
    ldmxcsr 64(%rdi)
    fldcw 68(%rdi)
    movq 48(%rdi), %rsp
    jmpq *56(%rdi)
    .size pglite_loader_longjmp, . - pglite_loader_longjmp
)");

}  // namespace

int to_darwin_signal(int signal) {
  const auto* const found = std::ranges::find(kSignals, signal);
  return found == kSignals.end() ? 0 : static_cast<int>(found - kSignals.begin());
}

int from_darwin_signal(int signal) {
  return signal > 0 && signal < darwin::kSignals ? kSignals[static_cast<size_t>(signal)] : 0;
}

Exports signal_exports() {
  static const auto exports = std::to_array<Export>({
      {"sigaction", code(set_action)},
      {"signal", code(set_handler)},
      {"pthread_sigmask", code(set_mask)},
      {"sigprocmask", code(set_process_mask)},
      {"sigaltstack", code(set_stack)},
      {"kill", code(send)},
      {"pthread_kill", code(send_to_thread)},
      {"raise", code(send_to_self)},
      {"_setjmp", reinterpret_cast<const void*>(&pglite_loader_setjmp)},
      {"_longjmp", reinterpret_cast<const void*>(&pglite_loader_longjmp)},
  });
  return exports;
}

}  // namespace pglite::loader
