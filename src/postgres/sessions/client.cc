#include "postgres/sessions/client.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "emscripten/import_result.h"
#include "postgres/guest/postgres_process.h"
#include "postgres/sessions/postmaster.h"

namespace pglite::postgres {

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
