#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "darwin.h"

namespace pglite::loader {

namespace {

constexpr int kDarwinInet6 = 30;
constexpr int kSocketLevel = 0xffff;
constexpr int kNoSigPipe = 0x1022;

constexpr auto kSocketOptions = std::to_array<std::pair<int, int>>({
    {SO_ACCEPTCONN, 0x2},
    {SO_REUSEADDR, 0x4},
    {SO_KEEPALIVE, 0x8},
    {SO_BROADCAST, 0x20},
    {SO_LINGER, 0x1080},
    {SO_REUSEPORT, 0x200},
    {SO_SNDBUF, 0x1001},
    {SO_RCVBUF, 0x1002},
    {SO_ERROR, 0x1007},
    {SO_TYPE, 0x1008},
});
constexpr auto kTcpOptions = std::to_array<std::pair<int, int>>({
    {TCP_NODELAY, 0x1},
    {TCP_KEEPIDLE, 0x10},
    {TCP_KEEPINTVL, 0x101},
    {TCP_KEEPCNT, 0x102},
});
constexpr auto kIpv6Options = std::to_array<std::pair<int, int>>({{IPV6_V6ONLY, 27}});

int failed(int error) {
  program_errno() = to_darwin_error(error);
  return -1;
}

int family_here(int family) {
  return family == kDarwinInet6 ? AF_INET6 : family;
}

// An address begins with its length and its family, a byte each.
struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Address from_darwin(const void* given, socklen_t length) {
  Address address;
  if (given == nullptr) return address;
  address.length = std::min<socklen_t>(length, sizeof address.storage);
  std::memcpy(&address.storage, given, address.length);
  const int family = static_cast<const uint8_t*>(given)[1];
  address.storage.ss_family = static_cast<sa_family_t>(family_here(family));
  return address;
}

void to_darwin(const Address& address, void* given, socklen_t* length) {
  if (given == nullptr) return;
  std::array<uint8_t, sizeof(sockaddr_storage)> bytes{};
  std::memcpy(bytes.data(), &address.storage, bytes.size());
  // An unnamed socket of Unix's has 16 bytes there.
  const auto size = std::max<socklen_t>(address.length,
                                        address.storage.ss_family == AF_UNIX ? 16 : address.length);
  const int family = address.storage.ss_family;
  bytes[0] = static_cast<uint8_t>(size);
  bytes[1] = static_cast<uint8_t>(family == AF_INET6 ? kDarwinInet6 : family);
  std::memcpy(given, bytes.data(), std::min(*length, size));
  *length = size;
}

// Those of whose peer's end no SIGPIPE tells.
bool& is_silent(int fd) {
  static std::array<bool, 65536> silent{};
  return silent[static_cast<size_t>(fd) % silent.size()];
}

int open_socket(int family, int type, int protocol) {
  const int fd = socket(family_here(family), type, protocol);
  if (fd >= 0) is_silent(fd) = false;
  return noted(fd);
}

int accept_from(int listener, void* address, socklen_t* length) {
  Address peer{.storage = {}, .length = sizeof peer.storage};
  const int fd = accept(listener, peer.get(), &peer.length);
  if (fd < 0) return noted(fd);
  to_darwin(peer, address, length);
  // As BSD's, it is like the listener.
  const int flags = fcntl(listener, F_GETFL);
  if ((flags & O_NONBLOCK) != 0) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  is_silent(fd) = is_silent(listener);
  return fd;
}

int bind_to(int fd, const void* address, socklen_t length) {
  Address here = from_darwin(address, length);
  return noted(bind(fd, here.get(), here.length));
}
int connect_to(int fd, const void* address, socklen_t length) {
  Address here = from_darwin(address, length);
  return noted(connect(fd, here.get(), here.length));
}
int name_of(int fd, void* address, socklen_t* length) {
  Address name{.storage = {}, .length = sizeof name.storage};
  if (getsockname(fd, name.get(), &name.length) != 0) return noted(-1);
  to_darwin(name, address, length);
  return 0;
}
int peer_of(int fd, void* address, socklen_t* length) {
  Address name{.storage = {}, .length = sizeof name.storage};
  if (getpeername(fd, name.get(), &name.length) != 0) return noted(-1);
  to_darwin(name, address, length);
  return 0;
}

std::optional<std::pair<int, int>> option_here(int level, int option) {
  std::span<const std::pair<int, int>> options;
  if (level == kSocketLevel) options = kSocketOptions;
  if (level == IPPROTO_TCP) options = kTcpOptions;
  if (level == IPPROTO_IPV6) options = kIpv6Options;
  for (const auto& [here, there] : options) {
    if (there == option) return std::pair(level == kSocketLevel ? SOL_SOCKET : level, here);
  }
  std::fprintf(stderr, "loader: socket option %#x of level %#x is not known\n", option, level);
  return std::nullopt;
}

int set_option(int fd, int level, int option, const void* value, socklen_t size) {
  if (level == kSocketLevel && option == kNoSigPipe) {
    is_silent(fd) = *static_cast<const int*>(value) != 0;
    return 0;
  }
  const auto here = option_here(level, option);
  if (!here) return failed(ENOPROTOOPT);
  return noted(setsockopt(fd, here->first, here->second, value, size));
}
int get_option(int fd, int level, int option, void* value, socklen_t* size) {
  const auto here = option_here(level, option);
  if (!here) return failed(ENOPROTOOPT);
  const int result = getsockopt(fd, here->first, here->second, value, size);
  if (result == 0 && here->first == SOL_SOCKET && here->second == SO_ERROR) {
    int& error = *static_cast<int*>(value);
    if (error != 0) error = to_darwin_error(error);
  }
  return noted(result);
}

int message_flags(int flags) {
  constexpr auto kFlags = std::to_array<std::pair<int, int>>({
      {MSG_OOB, 0x1},
      {MSG_PEEK, 0x2},
      {MSG_DONTROUTE, 0x4},
      {MSG_WAITALL, 0x40},
      {MSG_DONTWAIT, 0x80},
      {MSG_NOSIGNAL, 0x80000},
  });
  int here = 0;
  for (const auto& [linux, there] : kFlags) {
    if ((flags & there) != 0) here |= linux;
  }
  return here;
}
int send_flags(int fd, int flags) {
  return message_flags(flags) | (is_silent(fd) ? MSG_NOSIGNAL : 0);
}

ssize_t send_to(int fd, const void* bytes, size_t size, int flags) {
  return noted(send(fd, bytes, size, send_flags(fd, flags)));
}
ssize_t receive(int fd, void* bytes, size_t size, int flags) {
  return noted(recv(fd, bytes, size, message_flags(flags)));
}
ssize_t receive_from(int fd, void* bytes, size_t size, int flags, void* address,
                     socklen_t* length) {
  Address peer{.storage = {}, .length = sizeof peer.storage};
  const ssize_t count = recvfrom(fd, bytes, size, message_flags(flags), peer.get(), &peer.length);
  if (count >= 0) to_darwin(peer, address, length);
  return noted(count);
}

// What is sent beside the bytes is left out.
ssize_t send_message(int fd, const darwin::Message* message, int flags) {
  Address peer = from_darwin(message->name, message->name_length);
  msghdr here{};
  here.msg_name = message->name == nullptr ? nullptr : peer.get();
  here.msg_namelen = peer.length;
  here.msg_iov = message->parts;
  here.msg_iovlen = static_cast<size_t>(message->part_count);
  return noted(sendmsg(fd, &here, send_flags(fd, flags)));
}
ssize_t receive_message(int fd, darwin::Message* message, int flags) {
  Address peer;
  msghdr here{};
  here.msg_name = message->name == nullptr ? nullptr : peer.get();
  here.msg_namelen = sizeof peer.storage;
  here.msg_iov = message->parts;
  here.msg_iovlen = static_cast<size_t>(message->part_count);
  const ssize_t count = recvmsg(fd, &here, message_flags(flags));
  if (count < 0) return noted(count);
  peer.length = here.msg_namelen;
  to_darwin(peer, message->name, &message->name_length);
  message->control_length = 0;
  message->flags = here.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? 0x10 : 0;
  return count;
}

int peer_user(int fd, uid_t* user, gid_t* group) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return noted(-1);
  *user = peer.uid;
  *group = peer.gid;
  return 0;
}

const char* address_text(int family, const void* address, char* text, socklen_t size) {
  const char* const result = inet_ntop(family_here(family), address, text, size);
  if (result == nullptr) note_error();
  return result;
}
int address_of_text(int family, const char* text, void* address) {
  return noted(inet_pton(family_here(family), text, address));
}

}  // namespace

Exports socket_exports() {
  static const auto exports = std::to_array<Export>({
      {"socket", code(open_socket)},
      {"accept", code(accept_from)},
      {"bind", code(bind_to)},
      {"connect", code(connect_to)},
      {"listen", wrapped<&listen>()},
      {"shutdown", wrapped<&shutdown>()},
      {"getsockname", code(name_of)},
      {"getpeername", code(peer_of)},
      {"setsockopt", code(set_option)},
      {"getsockopt", code(get_option)},
      {"send", code(send_to)},
      {"recv", code(receive)},
      {"recvfrom", code(receive_from)},
      {"sendmsg", code(send_message)},
      {"recvmsg", code(receive_message)},
      {"getpeereid", code(peer_user)},
      {"inet_ntop", code(address_text)},
      {"inet_pton", code(address_of_text)},
      {"getservbyname", wrapped<&getservbyname>()},
      {"if_indextoname", wrapped<&if_indextoname>()},
      {"if_nametoindex", wrapped<&if_nametoindex>()},
  });
  return exports;
}

}  // namespace pglite::loader
