// invoke_SIG, longjmp, exit and traps, with host functions in the real module's table as the guest
// code between them.
#include "emscripten/invoke.h"

#include "process_test_util.h"

extern "C" {
extern const char wasm_func_type_v_v[];
extern const char wasm_func_type_i_v[];
extern const char wasm_func_type_i_i[];
extern const char wasm_func_type_ii_i[];
}

namespace pglite::emscripten {
namespace {

class InvokeTest : public ProcessTest {
 public:
  // A table entry of type (i32) -> i32 that runs `body`.
  using Body = uint32_t (*)(InvokeTest& test, uint32_t argument);
  uint32_t entry(Body body) {
    struct Context {
      InvokeTest* test;
      Body body;
    };
    contexts.push_back(std::make_shared<Context>(Context{this, body}));
    uint32_t (*const function)(void*, uint32_t) = [](void* context, uint32_t argument) {
      auto& self = *static_cast<Context*>(context);
      return self.body(*self.test, argument);
    };
    return add(wasm_func_type_i_i, reinterpret_cast<wasm_rt_function_ptr_t>(function),
               contexts.back().get());
  }
  uint32_t add(wasm_rt_func_type_t type, wasm_rt_function_ptr_t function, void* context) {
    wasm_rt_funcref_t element{};
    element.func_type = type;
    element.func = function;
    element.module_instance = context;
    return wasm_rt_grow_funcref_table(env()->table, 1, element);
  }
  uint32_t invoke_entry(uint32_t index, uint32_t argument = 0) {
    return invoke<uint32_t, uint32_t>(env(), wasm_func_type_i_i, index, argument);
  }
  // As the guest's longjmp.
  void guest_longjmp() {
    process->function<void(uint32_t, uint32_t)>("emscripten_longjmp")(scratch, 1);
  }
  uint32_t stack_pointer() { return *env()->stack_pointer; }

  std::vector<std::shared_ptr<void>> contexts;
  std::string order;
};

TEST_F(InvokeTest, CallsTheTableEntry) {
  const uint32_t twice = entry([](InvokeTest&, uint32_t argument) { return 2 * argument; });
  uint32_t result = 0;
  on_guest_stack([&] { result = invoke_entry(twice, 21); });
  EXPECT_EQ(result, 42U);
}

TEST_F(InvokeTest, LongjmpReturnsToTheInnermostInvoke) {
  const uint32_t thrower = entry([](InvokeTest& test, uint32_t) -> uint32_t {
    test.process->function<uint32_t(uint32_t)>("_emscripten_stack_alloc")(4096);
    test.guest_longjmp();
    test.order += "not reached";
    return 1;
  });
  static uint32_t inner;
  inner = thrower;
  const uint32_t outer = entry([](InvokeTest& test, uint32_t) -> uint32_t {
    const uint32_t before = test.stack_pointer();
    EXPECT_EQ(test.invoke_entry(inner), 0U);
    EXPECT_EQ(test.stack_pointer(), before);
    test.order += "caught ";
    return 7;
  });
  uint32_t result = 0;
  on_guest_stack([&] {
    result = invoke_entry(outer);
    order += "returned";
  });
  EXPECT_EQ(result, 7U);
  EXPECT_EQ(order, "caught returned");
}

TEST_F(InvokeTest, LongjmpManyTimesLeaksNoGuestStack) {
  const uint32_t thrower = entry([](InvokeTest& test, uint32_t) -> uint32_t {
    test.process->function<uint32_t(uint32_t)>("_emscripten_stack_alloc")(65536);
    test.guest_longjmp();
    return 1;
  });
  const uint32_t before = stack_pointer();
  on_guest_stack([&] {
    for (int i = 0; i < 10'000; ++i) invoke_entry(thrower);
  });
  EXPECT_EQ(stack_pointer(), before);
}

TEST_F(InvokeTest, LongjmpWithoutASetjmpIsATrap) {
  EXPECT_STREQ(end_of([&] { guest_longjmp(); }).trap, "longjmp without a setjmp");
}

TEST_F(InvokeTest, ExitPassesInvokesBy) {
  const uint32_t exiting = entry([](InvokeTest& test, uint32_t status) -> uint32_t {
    w2c_env_exit(test.env(), status);
    return 0;
  });
  const uint32_t before = stack_pointer();
  const wasm::Outcome outcome = end_of([&] {
    process->function<uint32_t(uint32_t)>("_emscripten_stack_alloc")(4096);
    invoke_entry(exiting, 99);
    order += "not reached";
  });
  EXPECT_TRUE(outcome.exited(99));
  EXPECT_EQ(order, "");
  EXPECT_EQ(stack_pointer(), before);
}

// The frame of the invoke that the exit dropped is gone; a longjmp must not go there.
TEST_F(InvokeTest, AnExitDropsTheLongjmpTargets) {
  const uint32_t exiting = entry([](InvokeTest& test, uint32_t status) -> uint32_t {
    w2c_env_exit(test.env(), status);
    return 0;
  });
  wasm::Outcome outcome;
  process->run([&] {
    outcome = process->execution().protect([&] { invoke_entry(exiting, 99); });
    EXPECT_TRUE(outcome.exited(99));
    EXPECT_EQ(process->execution().invoke_target, nullptr);
    outcome = process->call([&] { guest_longjmp(); });
  });
  EXPECT_STREQ(outcome.trap, "longjmp without a setjmp");
}

TEST_F(InvokeTest, ALongjmpDoesNotLeaveAHostsCallOfItsOwn) {
  const uint32_t host = entry([](InvokeTest& test, uint32_t) -> uint32_t {
    const wasm::Outcome outcome = test.process->call([&] { test.guest_longjmp(); });
    EXPECT_STREQ(outcome.trap, "longjmp without a setjmp");
    test.order += "host went on";
    return 3;
  });
  uint32_t result = 0;
  on_guest_stack([&] { result = invoke_entry(host); });
  EXPECT_EQ(result, 3U);
  EXPECT_EQ(order, "host went on");
}

TEST_F(InvokeTest, AHostileIndexIsATrap) {
  for (const uint32_t index : {0u, 0x7fffffffu, 0xffffffffu, env()->table->size}) {
    const wasm::Outcome outcome = end_of([&] { invoke_entry(index); });
    EXPECT_STREQ(outcome.trap, "indirect call of a missing or mistyped function") << index;
  }
  const uint32_t index = entry([](InvokeTest&, uint32_t argument) { return argument; });
  const wasm::Outcome outcome = end_of([&] { invoke<void>(env(), wasm_func_type_v_v, index); });
  EXPECT_STREQ(outcome.trap, "indirect call of a missing or mistyped function");
}

TEST_F(InvokeTest, ASignalHandlerIsCheckedToo) {
  for (const uint32_t index :
       {0u, 0xffffffffu, entry([](InvokeTest&, uint32_t argument) { return argument; })}) {
    const wasm::Outcome outcome = end_of([&] { w2c_env_0x5F_call_sighandler(env(), index, 14); });
    EXPECT_STREQ(outcome.trap, "indirect call of a missing or mistyped function") << index;
  }
}

// The guest's own code: qsort calls back through the table.
TEST_F(InvokeTest, ALongjmpComesThroughGuestFrames) {
  const uint32_t size = env()->table->size;
  uint32_t (*const throw_it)(void*, uint32_t, uint32_t) = [](void* context, uint32_t, uint32_t) {
    static_cast<InvokeTest*>(context)->guest_longjmp();
    return 0u;
  };
  const uint32_t compare =
      add(wasm_func_type_ii_i, reinterpret_cast<wasm_rt_function_ptr_t>(throw_it), this);
  EXPECT_EQ(compare, size);
  const uint32_t sorter = entry([](InvokeTest& test, uint32_t function) -> uint32_t {
    test.process->function<void(uint32_t, uint32_t, uint32_t, uint32_t)>("qsort")(test.scratch, 100,
                                                                                  4, function);
    return 1;
  });
  uint32_t result = 1;
  on_guest_stack([&] { result = invoke_entry(sorter, compare); });
  EXPECT_EQ(result, 0U);
}

TEST_F(InvokeTest, GuestCodeOutOfBoundsIsATrapAndTheGuestGoesOn) {
  const auto strlen_of = process->function<uint32_t(uint32_t)>("strlen");
  const wasm::Outcome outcome = end_of([&] { strlen_of(0xfffffff0); });
  EXPECT_STREQ(outcome.trap, "out of bounds memory access");
  EXPECT_GE(outcome.trap_address, 0xfffffff0U);
  const uint32_t address = text("still there");
  uint32_t length = 0;
  on_guest_stack([&] { length = strlen_of(address); });
  EXPECT_EQ(length, 11U);
}

TEST_F(InvokeTest, AbortAndAssertAreTraps) {
  EXPECT_STREQ(end_of([&] { w2c_env_0x5Fabort_js(env()); }).trap, "abort() was called");
  text("x > 0");
  text("file.c", 100);
  const wasm::Outcome outcome =
      end_of([&] { w2c_env_0x5F_assert_fail(env(), scratch, scratch + 100, 12, 0xfffffff0); });
  EXPECT_STREQ(outcome.trap, "an assertion failed");
  ASSERT_EQ(log.size(), 1U);
  EXPECT_EQ(log[0], "assertion failed in the guest: x > 0 at file.c:12 in ?");
}

// Two processes at once: initdb runs postgres from within a callback.
TEST_F(InvokeTest, AProcessRunsAnother) {
  const uint32_t nested = entry([](InvokeTest& test, uint32_t status) -> uint32_t {
    auto other = test.make_process();
    wasm::Outcome outcome;
    other->run([&] { outcome = other->call([&] { w2c_env_exit(&other->env(), status); }); });
    EXPECT_TRUE(outcome.exited(static_cast<int>(status)));
    other->run([&] {
      outcome = other->call([&] { other->function<uint32_t(uint32_t)>("strlen")(0xfffffff0); });
    });
    EXPECT_STREQ(outcome.trap, "out of bounds memory access");
    return 11;
  });
  uint32_t result = 0;
  on_guest_stack([&] { result = invoke_entry(nested, 5); });
  EXPECT_EQ(result, 11U);
}

}  // namespace
}  // namespace pglite::emscripten
