// Connections to servers that are scripts: what a good one does is tested against real ones
// (tests/integration/test_urls.py).
#include "client/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "client/resolve.h"
#include "wire/backend_message.h"
#include "wire/byte_order.h"
#include "wire/frontend_message.h"

namespace pglite::client {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string greeting() {
  return wire::authentication_ok() + wire::parameter_status("server_version", "18.6") +
         wire::backend_key_data(7, "keyx") + wire::ready_for_query('I');
}

std::string hello() {
  wire::ErrorFields fields;
  fields.message = "hello";
  return wire::notice_response(fields);
}

// One end of a connection, as a script sees it.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t size = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (size <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(size));
    }
  }
  // A packet without a type, or a message. Empty: the client has gone.
  std::string packet(bool has_type) const {
    const size_t head = has_type ? 5 : 4;
    std::string bytes = take(head);
    if (bytes.size() < head) return {};
    return bytes + take(wire::load_u32(bytes.data() + head - 4) - 4);
  }
  void drain() const {
    while (!take(1).empty()) {
    }
  }

 private:
  std::string take(size_t size) const {
    if (size == 0) return {};
    std::string bytes(size, '\0');
    const ssize_t got = ::recv(fd_, bytes.data(), size, MSG_WAITALL);
    bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return bytes;
  }
  int fd_;
};

// Listens on a Unix socket, or on TCP where the test wants to be asked for TLS; one script for each
// connection, in order.
class ScriptedServer {
 public:
  using Script = std::function<void(const Peer& peer)>;
  ScriptedServer(bool tcp, std::vector<Script> scripts)
      : directory_(std::filesystem::temp_directory_path().string() + "/server." +
                   std::to_string(::getpid())) {
    Address address;
    if (tcp) {
      std::vector<Address> addresses;
      EXPECT_TRUE(resolve("127.0.0.1", 1, {}, &addresses).ok());
      address = addresses.at(0);
      reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port = 0;
      parameters.host = "127.0.0.1";
    } else {
      ::mkdir(directory_.c_str(), 0700);
      parameters.host = directory_;
      parameters.port = 5432;
      ::unlink(parameters.place().c_str());
      EXPECT_TRUE(unix_socket_address(parameters.place(), &address).ok());
    }
    parameters.user = parameters.database = "alice";
    parameters.password = "secret";
    listener_ = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address.storage), address.size), 0);
    EXPECT_EQ(::listen(listener_, 8), 0);
    if (tcp) {
      socklen_t size = sizeof address.storage;
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address.storage), &size);
      parameters.port = ntohs(reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port);
    }
    thread_ = std::thread([this, scripts = std::move(scripts)] {
      for (const Script& script : scripts) {
        const int fd = ::accept(listener_, nullptr, nullptr);
        if (fd < 0) return;
        script(Peer(fd));
        ::close(fd);
      }
    });
  }
  ~ScriptedServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    if (parameters.is_unix_socket()) {
      ::unlink(parameters.place().c_str());
      ::rmdir(directory_.c_str());
    }
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  Status open(std::unique_ptr<Connection>* connection) const {
    return Connection::open(parameters, connection);
  }

  Parameters parameters;

 private:
  std::string directory_;
  int listener_;
  std::thread thread_;
};

// What is said of a server that answers the startup packet with `bytes` and closes the connection.
Status opened_with(const std::string& bytes) {
  const ScriptedServer server(false, {[&](const Peer& peer) {
                                peer.packet(false);
                                peer.send(bytes);
                              }});
  std::unique_ptr<Connection> connection;
  return server.open(&connection);
}

TEST(Connection, RunsRequests) {
  const ScriptedServer server(
      false, {[](const Peer& peer) {
        EXPECT_THAT(peer.packet(false), HasSubstr("alice"));
        peer.send(greeting() + hello());
        EXPECT_EQ(peer.packet(true), wire::query("select 1"));
        peer.send(wire::command_complete("SELECT 1") + wire::ready_for_query('I'));
        EXPECT_EQ(peer.packet(true), wire::terminate());
      }});
  std::unique_ptr<Connection> connection;
  const Status status = server.open(&connection);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(connection->reported("server_version"), "18.6");
  EXPECT_EQ(connection->reported("other"), "");
  std::string answer;
  const auto sink = [&](std::string_view bytes) { answer += bytes; };
  ASSERT_TRUE(connection->exec(wire::query("select 1"), sink).ok());
  EXPECT_EQ(answer, hello() + wire::command_complete("SELECT 1") + wire::ready_for_query('I'));
  // How the session began, as if it began now.
  answer.clear();
  ASSERT_TRUE(connection->exec(wire::ssl_request() + wire::startup_packet({}), sink).ok());
  EXPECT_EQ(answer,
            "N" + wire::authentication_ok() + wire::parameter_status("server_version", "18.6") +
                wire::backend_key_data(0, std::string(4, '\0')) + wire::ready_for_query('I'));
  EXPECT_EQ(connection->exec("no message", sink).code(), StatusCode::kInvalidArgument);
}

TEST(Connection, Copy) {
  const ScriptedServer server(
      false, {[](const Peer& peer) {
        peer.packet(false);
        peer.send(greeting());
        peer.packet(true);
        peer.send(wire::message('G', std::string(3, '\0')));
        EXPECT_EQ(peer.packet(true), wire::copy_data("1\n"));
        EXPECT_EQ(peer.packet(true), wire::copy_done());
        peer.send(wire::command_complete("COPY 1") + wire::ready_for_query('I'));
      }});
  std::unique_ptr<Connection> connection;
  ASSERT_TRUE(server.open(&connection).ok());
  std::string answer;
  const auto sink = [&](std::string_view bytes) { answer += bytes; };
  ASSERT_TRUE(connection->exec(wire::query("copy t from stdin"), sink).ok());
  EXPECT_EQ(answer, wire::message('G', std::string(3, '\0')));
  // Nothing is waited for here.
  ASSERT_TRUE(connection->exec(wire::copy_data("1\n"), sink).ok());
  answer.clear();
  ASSERT_TRUE(connection->exec(wire::copy_done(), sink).ok());
  EXPECT_EQ(answer, wire::command_complete("COPY 1") + wire::ready_for_query('I'));
}

TEST(Connection, WritesWhileItReads) {
  // Neither side reads before it has written all: more than the socket's buffers hold.
  const std::string large(size_t{8} << 20, 'x');
  const ScriptedServer server(false, {[&](const Peer& peer) {
                                peer.packet(false);
                                peer.send(greeting());
                                peer.send(wire::message('D', large));
                                EXPECT_EQ(peer.packet(true).size(), large.size() + 6);
                                peer.send(wire::ready_for_query('I'));
                              }});
  std::unique_ptr<Connection> connection;
  ASSERT_TRUE(server.open(&connection).ok());
  size_t size = 0;
  size_t most = 0;
  ASSERT_TRUE(connection
                  ->exec(wire::query(large),
                         [&](std::string_view bytes) {
                           size += bytes.size();
                           most = std::max(most, bytes.size());
                         })
                  .ok());
  EXPECT_EQ(size, large.size() + 5 + 6);
  EXPECT_LE(most, size_t{64} << 10);
}

TEST(Connection, Refusals) {
  Status status = opened_with(wire::error_response("FATAL", "3D000", "no such database"));
  EXPECT_EQ(status.code(), StatusCode::kSessionEnded);
  EXPECT_THAT(status.message(), HasSubstr("FATAL: no such database (3D000)"));
  status = opened_with(wire::error_response("FATAL", "28P01", "wrong password"));
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(opened_with("").message(), HasSubstr("closed the connection"));
}

TEST(Connection, WhatIsNoServer) {
  for (const std::string& bytes :
       {std::string("HTTP/1.1 400 Bad Request\r\n\r\n"), std::string("220 mail\r\n"),
        std::string(64, '\0'), std::string("R\xff\xff\xff\xff\0\0\0\0", 9),
        std::string("R\0\0\0\3\0\0\0\0", 9), wire::ready_for_query('I'),
        wire::authentication_ok() + wire::authentication_ok()}) {
    const Status status = opened_with(bytes);
    EXPECT_EQ(status.code(), StatusCode::kEngineGone) << bytes << status.message();
  }
}

// What becomes of a request that is answered with `bytes`, and then the connection ends.
Status answered_with(const std::string& bytes, std::string* answer) {
  const ScriptedServer server(false, {[&](const Peer& peer) {
                                peer.packet(false);
                                peer.send(greeting());
                                peer.packet(true);
                                peer.send(bytes);
                              }});
  std::unique_ptr<Connection> connection;
  EXPECT_TRUE(server.open(&connection).ok());
  const auto sink = [&](std::string_view part) { *answer += part; };
  Status status = connection->exec(wire::query("x"), sink);
  EXPECT_FALSE(connection->exec(wire::query("x"), sink).ok()) << "it is over";
  return status;
}

TEST(Connection, TheServerGoesAway) {
  std::string answer;
  Status status = answered_with(wire::command_complete("SELECT 1"), &answer);
  EXPECT_EQ(status.code(), StatusCode::kDisconnected);
  EXPECT_THAT(status.message(), HasSubstr("is lost: the server closed the connection"));
  EXPECT_EQ(answer, wire::command_complete("SELECT 1"));
  answer.clear();
  const std::string last_words = wire::error_response("FATAL", "57P01", "terminated");
  status = answered_with(last_words, &answer);
  EXPECT_EQ(status.code(), StatusCode::kSessionEnded);
  EXPECT_THAT(status.message(), HasSubstr("FATAL: terminated (57P01)"));
  EXPECT_EQ(answer, last_words);
  EXPECT_EQ(answered_with(last_words.substr(0, 20), &answer).code(), StatusCode::kDisconnected);
}

TEST(Connection, AnswersThatAreNone) {
  for (const std::string& bytes : {std::string("garbage"), std::string("D\x7f\xff\xff\xff", 5),
                                   std::string("Z\0\0\0\0", 5), wire::authentication_ok()}) {
    std::string answer;
    EXPECT_EQ(answered_with(bytes, &answer).code(), StatusCode::kEngineGone) << bytes;
    EXPECT_THAT(answer, IsEmpty());
  }
}

TEST(Connection, AsksForTls) {
  const auto refuse = [](const Peer& peer) {
    EXPECT_EQ(peer.packet(false), wire::ssl_request());
    peer.send("N");
    peer.packet(false);
    peer.send(greeting());
    peer.drain();
  };
  ScriptedServer server(true, {refuse, refuse});
  std::unique_ptr<Connection> connection;
  EXPECT_TRUE(server.open(&connection).ok());
  connection.reset();
  server.parameters.tls = TlsMode::kRequire;
  const Status status = server.open(&connection);
  EXPECT_EQ(status.code(), StatusCode::kIoError);
  EXPECT_THAT(status.message(), HasSubstr("the server has no TLS"));
}

TEST(Connection, AnErrorInPlaceOfTlsIsNotShown) {
  // Anybody in between may have said it (CVE-2024-10977).
  ScriptedServer server(true, {[](const Peer& peer) {
                          peer.packet(false);
                          peer.send(wire::error_response("FATAL", "XX000", "call this number"));
                          peer.drain();
                        }});
  server.parameters.tls = TlsMode::kRequire;
  std::unique_ptr<Connection> connection;
  const Status status = server.open(&connection);
  EXPECT_EQ(status.code(), StatusCode::kEngineGone);
  EXPECT_THAT(status.message(), ::testing::Not(HasSubstr("number")));
}

TEST(Connection, PlainBytesBehindTheOfferOfTls) {
  // CVE-2021-23222
  ScriptedServer server(true, {[](const Peer& peer) {
                          peer.packet(false);
                          peer.send("S" + greeting());
                          peer.drain();
                        }});
  server.parameters.tls = TlsMode::kRequire;
  std::unique_ptr<Connection> connection;
  EXPECT_EQ(server.open(&connection).code(), StatusCode::kIoError);
}

TEST(Connection, APasswordIsNotGivenAwayForTheOtherMode) {
  // A server that refuses the password is not asked again without TLS, one without a rule is.
  const auto refuse = [](const char* sqlstate) {
    return [sqlstate](const Peer& peer) {
      peer.packet(false);
      peer.send(wire::error_response("FATAL", sqlstate, "no"));
    };
  };
  for (const auto& [sqlstate, reaches_tls] : {std::pair{"28P01", false}, {"28000", true}}) {
    bool asked_for_tls = false;
    {
      ScriptedServer server(true, {refuse(sqlstate), [&](const Peer& peer) {
                                     asked_for_tls = peer.packet(false) == wire::ssl_request();
                                   }});
      server.parameters.tls = TlsMode::kAllow;
      std::unique_ptr<Connection> connection;
      EXPECT_EQ(server.open(&connection).ok(), false);
    }
    EXPECT_EQ(asked_for_tls, reaches_tls) << sqlstate;
  }
}

TEST(Connection, Cancels) {
  std::string request;
  {
    const ScriptedServer server(false, {[&](const Peer& peer) {
                                          peer.packet(false);
                                          peer.send(greeting());
                                        },
                                        [&](const Peer& peer) { request = peer.packet(false); }});
    std::unique_ptr<Connection> connection;
    ASSERT_TRUE(server.open(&connection).ok());
    connection->canceller().cancel(std::chrono::seconds(30));
  }
  EXPECT_EQ(request, wire::cancel_request(7, 0x6b657978));
}

TEST(Connection, ThereIsNoServer) {
  Parameters parameters;
  parameters.user = "alice";
  parameters.host = "/nonexistent";
  std::unique_ptr<Connection> connection;
  Status status = Connection::open(parameters, &connection);
  EXPECT_EQ(status.code(), StatusCode::kIoError);
  EXPECT_EQ(status.message(),
            "cannot connect to /nonexistent/.s.PGSQL.5432: No such file or directory");
  parameters.host = "/" + std::string(200, 'x');
  EXPECT_EQ(Connection::open(parameters, &connection).code(), StatusCode::kInvalidArgument);
  parameters.host = "127.0.0.1";
  parameters.port = 1;
  EXPECT_EQ(Connection::open(parameters, &connection).message(),
            "cannot connect to 127.0.0.1:1: Connection refused");
}

TEST(Connection, ASilentServerIsLeft) {
  ScriptedServer server(false, {[](const Peer& peer) { peer.drain(); }});
  server.parameters.connect_timeout = std::chrono::seconds(1);
  std::unique_ptr<Connection> connection;
  const Status status = server.open(&connection);
  EXPECT_EQ(status.code(), StatusCode::kIoError);
  EXPECT_THAT(status.message(), HasSubstr("Connection timed out"));
}

}  // namespace
}  // namespace pglite::client
