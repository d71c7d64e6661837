#include "postgres/sessions/client.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "emscripten/import_result.h"
#include "os/wipe.h"
#include "postgres/guest/postgres_process.h"
#include "postgres/sessions/channel_binding.h"
#include "postgres/sessions/postmaster.h"
#include "wasm/guest_memory.h"

namespace pglite::postgres {

using wasm::GuestPtr;

Client::Client(Postmaster& postmaster, int32_t pid, const SocketAddress& address)
    : Child(postmaster, BackendType::kBackend, pid), address_(address) {
  if (!address_.certificate_hash.empty()) {
    bound_channel_ = bound_channel(address_.certificate_hash);
  }
}

Status Client::make(Postmaster& postmaster, int32_t pid, const SocketAddress& address,
                    std::unique_ptr<Client>* out) {
  std::unique_ptr<Client> client(new Client(postmaster, pid, address));
  // BackendStartupData: CAC_OK, and no times, which are for a log of how long it took.
  Status status = client->open(std::string(kLayout.startup_data_size, '\0'));
  if (status.ok()) *out = std::move(client);
  return status;
}

namespace {

// Drops the first `*used` bytes, unless more than these would have to move for it: a buffer that is
// never empty stays small all the same.
void drop(std::string* buffer, size_t* used) {
  if (*used < buffer->size() - *used) return;
  buffer->erase(0, *used);
  *used = 0;
}

}  // namespace

void Client::send(std::string_view bytes) {
  if (bytes.empty()) return;
  wants_input_ = false;
  drop(&input_, &read_);
  input_ += bytes;
  task().wake();
}

void Client::close_input() {
  input_ends_ = true;
  task().wake();
}

void Client::take(size_t size) {
  const bool was_full = output().size() >= kOutputLimit;
  taken_ += std::min(size, output().size());
  if (was_full && output().size() < kOutputLimit) task().wake();
}

emscripten::Callback Client::callback(std::string_view name) {
  const auto make_callback = [&](auto* function) {
    return emscripten::Callback{wasm_func_type_ii_i,
                                reinterpret_cast<wasm_rt_function_ptr_t>(function), this};
  };
  if (name == kReadInput) return make_callback(read_input);
  if (name == kWriteOutput) return make_callback(write_output);
  return Child::callback(name);
}

// The socket that a postmaster hands to its child.
void Client::before_main() {
  // Numbers of the guest's C library.
  constexpr uint16_t kUnix = 1;
  constexpr uint16_t kInet = 2;
  constexpr uint16_t kInet6 = 10;
  constexpr uint32_t kDescriptor = 1;
  free_memory_.emplace(process());
  postmaster_.give_access_rules(process(), address_.is_outside);
  std::string socket(kLayout.client_socket_size, '\0');
  const auto put = [&](uint32_t at, const void* bytes, size_t size) {
    std::memcpy(socket.data() + at, bytes, size);
  };
  put(0, &kDescriptor, sizeof kDescriptor);
  const uint32_t family_at = kLayout.client_socket_family;
  const bool is_v6 = address_.bytes.size() == 16;
  const uint16_t family = address_.bytes.empty() ? kUnix : is_v6 ? kInet6 : kInet;
  put(family_at, &family, sizeof family);
  uint32_t length = sizeof family;
  if (!address_.bytes.empty()) {
    // struct sockaddr_in and sockaddr_in6.
    const std::array<uint8_t, 2> port = {static_cast<uint8_t>(address_.port >> 8),
                                         static_cast<uint8_t>(address_.port)};
    put(family_at + 2, port.data(), port.size());
    put(family_at + (is_v6 ? 8 : 4), address_.bytes.data(), address_.bytes.size());
    length = is_v6 ? 28 : 16;
  }
  put(kLayout.client_socket_length, &length, sizeof length);
  set_variable(symbols::kMyClientSocket, push_bytes(socket));
  if (!bound_channel_.empty()) offer_channel_binding();
  // PGlite's PostgresMain leaves out the first ReadyForQuery.
  set_flag(symbols::kReadyForQueryIsDue, true);
}

uint32_t Client::socket_events(uint32_t events) {
  if (events & kLayout.wait_socket_readable) wants_input_ = unread() == 0;
  uint32_t has = 0;
  if (unread() != 0 || input_ends_) has |= kLayout.wait_socket_readable;
  if (output().size() < kOutputLimit || is_orphan) has |= kLayout.wait_socket_writable;
  if (input_ends_) has |= kLayout.wait_socket_closed;
  return has;
}

// A session whose client makes a pause gives back what a large query of its took, as that of a
// program alone does (upkeep/maintenance.h).
uint32_t Client::wait_event_set(emscripten::Process& process, uint32_t set, int32_t timeout,
                                uint32_t occurred, uint32_t count, uint32_t activity) {
  FreeMemory* const memory = free_memory_ ? &*free_memory_ : nullptr;
  if (timeout < 0 && memory != nullptr && memory->may_be_large()) {
    constexpr int32_t kPause = 500;  // milliseconds
    const uint32_t found = Child::wait_event_set(process, set, kPause, occurred, count, activity);
    if (found != 0) return found;
    if (wants_input()) memory->give_back();
  }
  return Child::wait_event_set(process, set, timeout, occurred, count, activity);
}

// PostgreSQL has the functions in a constant, of which this process's memory has a copy of its own.
void Client::offer_channel_binding() {
  const uint32_t mechanism = process().data_address(symbols::kScramMechanism);
  const auto replace = [&](uint32_t at, const char* name, wasm_rt_func_type_t type,
                           auto* function) {
    store(mechanism + at,
          process().add_callback(name,
                                 {type, reinterpret_cast<wasm_rt_function_ptr_t>(function), this}));
  };
  replace(kLayout.sasl_get_mechanisms, "get_mechanisms", wasm_func_type_ii_v, get_mechanisms);
  replace(kLayout.sasl_init, "begin_scram", wasm_func_type_iii_i, begin_scram);
  replace(kLayout.sasl_exchange, "exchange_scram", wasm_func_type_iiiiii_i, exchange_scram);
}

// The three are called by PostgreSQL, and leave by its longjmp where it raises an error.

void Client::get_mechanisms(void* self, uint32_t port, uint32_t buffer) {
  auto& client = *static_cast<Client*>(self);
  emscripten::Process& process = client.process();
  process.execution().need_host_stack();
  const uint32_t stack_pointer = *process.env().stack_pointer;
  const uint32_t name = process.push_string(kScramPlus);
  find_symbol(process, symbols::kAppendToStringInfo)(buffer, name, kScramPlus.size() + 1);
  *process.env().stack_pointer = stack_pointer;
  find_symbol(process, symbols::kScramGetMechanisms)(port, buffer);
}

uint32_t Client::begin_scram(void* self, uint32_t port, uint32_t mechanism, uint32_t secret) {
  auto& client = *static_cast<Client*>(self);
  emscripten::Process& process = client.process();
  process.execution().need_host_stack();
  const auto init = find_symbol(process, symbols::kScramInit);
  const auto chosen = process.memory().c_string(mechanism);
  if (!chosen || *chosen != kScramPlus) return init(port, mechanism, secret);
  const uint32_t stack_pointer = *process.env().stack_pointer;
  const uint32_t state = init(port, process.push_string(kScramPlain), secret);
  *process.env().stack_pointer = stack_pointer;
  // From here on PostgreSQL looks for itself that the client says so, too, and for which type.
  (void)process.memory().store(GuestPtr<uint8_t>{state + kLayout.scram_is_bound}, 1);
  return state;
}

uint32_t Client::exchange_scram(void* self, uint32_t state, uint32_t input, uint32_t size,
                                uint32_t output, uint32_t output_size, uint32_t log_detail) {
  auto& client = *static_cast<Client*>(self);
  emscripten::Process& process = client.process();
  process.execution().need_host_stack();
  const wasm::GuestMemory memory = process.memory();
  const auto text = memory.c_string(input);
  // Without input, or with a NUL in it, it is for PostgreSQL to refuse.
  if (input != 0 && text && !text->empty() && text->size() == size) {
    const uint32_t step = client.load(state + kLayout.scram_step);
    const bool is_bound =
        memory.load(GuestPtr<uint8_t>{state + kLayout.scram_is_bound}).value_or(0) != 0;
    if (step == kLayout.scram_step_init && !is_bound && text->front() == 'y') {
      return client.refuse_scram(
          output, "SCRAM channel binding negotiation error",
          "The client supports SCRAM channel binding but thinks the server does not.  "
          "However, this server does support channel binding.");
    }
    if (step == kLayout.scram_step_salt_sent && is_bound) {
      return client.end_scram(state, input, size, output, output_size, log_detail);
    }
  }
  return find_symbol(process, symbols::kScramExchange)(state, input, size, output, output_size,
                                                       log_detail);
}

uint32_t Client::end_scram(uint32_t state, uint32_t input, uint32_t size, uint32_t output,
                           uint32_t output_size, uint32_t log_detail) {
  const wasm::GuestMemory memory = process().memory();
  const auto exchange = find_symbol(process(), symbols::kScramExchange);
  const auto message = memory.bytes(input, size + 1);
  if (!message) return refuse_scram(output, "invalid SCRAM exchange state", nullptr);
  const std::span<char> text(reinterpret_cast<char*>(message->data()), size);
  const auto channel = channel_of({text.data(), text.size()});
  // It is malformed, and PostgreSQL says so before it looks at the binding.
  if (!channel) return exchange(state, input, size, output, output_size, log_detail);
  if (*channel != bound_channel_) {
    return refuse_scram(output, "SCRAM channel binding check failed", nullptr);
  }
  const auto key = [&](uint32_t at) { return memory.bytes(state + at, kSha256Size); };
  const auto said = [&](uint32_t at) { return memory.c_string(load(state + at)); };
  const auto stored_key = key(kLayout.scram_stored_key);
  const auto server_key = key(kLayout.scram_server_key);
  const auto client_first = said(kLayout.scram_client_first_bare);
  const auto server_first = said(kLayout.scram_server_first);
  if (!stored_key || !server_key || !client_first || !server_first) {
    return refuse_scram(output, "invalid SCRAM exchange state", nullptr);
  }
  const auto bytes_of = [](std::span<const std::byte> bytes) {
    return std::span<const uint8_t, kSha256Size>(reinterpret_cast<const uint8_t*>(bytes.data()),
                                                 kSha256Size);
  };
  ScramSignature signature;
  const size_t unbound = unbind(text,
                                {.client_first_bare = *client_first,
                                 .server_first = *server_first,
                                 .stored_key = bytes_of(*stored_key),
                                 .server_key = bytes_of(*server_key)},
                                &signature);
  text[unbound] = '\0';
  (void)memory.store(GuestPtr<uint8_t>{state + kLayout.scram_is_bound}, 0);
  (void)memory.store(GuestPtr<char>{state + kLayout.scram_binding_flag}, 'n');
  const uint32_t result =
      exchange(state, input, static_cast<uint32_t>(unbound), output, output_size, log_detail);
  if (result == kLayout.sasl_exchange_success) {
    const auto answer = memory.bytes(load(output), load(output_size));
    // The client finds out where there is none.
    if (answer) {
      replace_signature({reinterpret_cast<char*>(answer->data()), answer->size()}, signature);
    }
  }
  os::wipe(signature.data(), signature.size());
  return result;
}

uint32_t Client::refuse_scram(uint32_t output, const char* message, const char* detail) {
  raise_error(process(),
              {.sqlstate = make_sqlstate("28000"), .message = message, .detail = detail});
  store(output, 0);
  return kLayout.sasl_exchange_failure;
}

uint32_t Client::fail(std::errc error) {
  const auto errno_location = find_symbol(process(), symbols::kErrnoLocation);
  store(errno_location(), emscripten::guest_errno(error));
  return UINT32_MAX;
}

uint32_t Client::read_input(void* self, uint32_t buffer, uint32_t size) {
  auto& client = *static_cast<Client*>(self);
  client.process().execution().need_host_stack();
  if (client.unread() == 0) return client.input_ends_ ? 0 : client.would_block();
  const auto target = client.process().memory().bytes(buffer, size);
  if (!target) return 0;
  const size_t count = std::min<size_t>(size, client.unread());
  std::memcpy(target->data(), client.input_.data() + client.read_, count);
  client.read_ += count;
  return static_cast<uint32_t>(count);
}

uint32_t Client::write_output(void* self, uint32_t buffer, uint32_t size) {
  auto& client = *static_cast<Client*>(self);
  client.process().execution().need_host_stack();
  // Nobody listens any more: PostgreSQL gives up what it is doing.
  if (client.is_orphan) return client.fail(std::errc::broken_pipe);
  if (client.output().size() >= kOutputLimit) return client.would_block();
  // A message may be far larger than the limit.
  const auto count =
      static_cast<uint32_t>(std::min<size_t>(size, kOutputLimit - client.output().size()));
  const auto source = client.process().memory().bytes(buffer, count);
  if (!source) return 0;
  try {
    drop(&client.output_, &client.taken_);
    client.output_.append(reinterpret_cast<const char*>(source->data()), source->size());
    client.postmaster_.note_output();
  } catch (const std::bad_alloc&) {
    return client.would_block();
  }
  return count;
}

}  // namespace pglite::postgres
