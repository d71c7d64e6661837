#include "client/resolve.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

namespace pglite::client {
namespace {

struct Answer {
  bool done = false;
  int status = ARES_SUCCESS;
  std::vector<Address> addresses;
};

std::string numbers_of(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET) {
    const auto* const v4 = reinterpret_cast<const sockaddr_in*>(address);
    inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
  } else if (address->sa_family == AF_INET6) {
    const auto* const v6 = reinterpret_cast<const sockaddr_in6*>(address);
    inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
  }
  return text;
}

void on_answer(void* context, int status, int /*timeouts*/, ares_addrinfo* result) {
  auto& answer = *static_cast<Answer*>(context);
  answer.done = true;
  answer.status = status;
  if (result == nullptr) return;
  const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owner(result,
                                                                           ares_freeaddrinfo);
  for (const ares_addrinfo_node* node = result->nodes; node != nullptr; node = node->ai_next) {
    Address address;
    if (node->ai_addrlen > sizeof address.storage) continue;
    std::memcpy(&address.storage, node->ai_addr, node->ai_addrlen);
    address.size = node->ai_addrlen;
    address.text = numbers_of(node->ai_addr);
    const bool is_known =
        std::ranges::find(answer.addresses, address.text, &Address::text) != answer.addresses.end();
    if (!is_known) answer.addresses.push_back(std::move(address));
  }
}

// Waits for what c-ares waits for, once.
void wait_and_process(ares_channel channel, const Deadline& deadline) {
  std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> sockets;
  const auto bits = static_cast<unsigned>(
      ares_getsock(channel, sockets.data(), static_cast<int>(sockets.size())));
  std::array<pollfd, ARES_GETSOCK_MAXNUM> polled{};
  nfds_t count = 0;
  for (unsigned i = 0; i < sockets.size(); ++i) {
    const int events = (ARES_GETSOCK_READABLE(bits, i) ? POLLIN : 0) |
                       (ARES_GETSOCK_WRITABLE(bits, i) ? POLLOUT : 0);
    if (events != 0) polled[count++] = {sockets[i], static_cast<short>(events), 0};
  }
  timeval own{1, 0};
  const timeval* const next = ares_timeout(channel, &own, &own);
  int wait = static_cast<int>(next->tv_sec * 1000 + next->tv_usec / 1000) + 1;
  if (deadline) wait = std::min(wait, milliseconds_until(deadline));
  ::poll(polled.data(), count, wait);
  ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // what is due
  for (nfds_t i = 0; i < count; ++i) {
    const bool readable = (polled[i].revents & (POLLIN | POLLERR | POLLHUP)) != 0;
    const bool writable = (polled[i].revents & POLLOUT) != 0;
    ares_process_fd(channel, readable ? polled[i].fd : ARES_SOCKET_BAD,
                    writable ? polled[i].fd : ARES_SOCKET_BAD);
  }
}

}  // namespace

int milliseconds_until(const Deadline& deadline) {
  if (!deadline) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(*deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1'000'000'000));
}

Status resolve(const std::string& host, uint16_t port, const Deadline& deadline,
               std::vector<Address>* addresses) {
  const auto failed = [&](const std::string& why) {
    return Status::io_error("cannot find the address of \"" + host + "\": " + why);
  };
  ares_options options{};
  options.tries = 2;  // as the C library
  ares_channel channel = nullptr;
  int status = ares_init_options(&channel, &options, ARES_OPT_TRIES);
  if (status != ARES_SUCCESS) return failed(ares_strerror(status));
  Answer answer;  // outlives the channel
  const std::unique_ptr<ares_channeldata, decltype(&ares_destroy)> owner(channel, ares_destroy);
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = ARES_AI_NUMERICSERV;
  ares_getaddrinfo(channel, host.c_str(), std::to_string(port).c_str(), &hints, on_answer, &answer);
  while (!answer.done) {
    if (deadline && milliseconds_until(deadline) == 0) {
      ares_cancel(channel);  // calls on_answer
      return failed("it took longer than connect_timeout");
    }
    wait_and_process(channel, deadline);
  }
  if (answer.status != ARES_SUCCESS) return failed(ares_strerror(answer.status));
  if (answer.addresses.empty()) return failed("it has none");
  *addresses = std::move(answer.addresses);
  return {};
}

Status unix_socket_address(const std::string& path, Address* address) {
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  if (path.size() >= sizeof local.sun_path) {
    return Status::invalid_argument("the path " + path + " is too long for a Unix socket; it has " +
                                    std::to_string(sizeof local.sun_path - 1) +
                                    " bytes at the most");
  }
  std::memcpy(local.sun_path, path.c_str(), path.size() + 1);
  std::memcpy(&address->storage, &local, sizeof local);
  address->size = sizeof local;
  address->text = path;
  return {};
}

}  // namespace pglite::client
