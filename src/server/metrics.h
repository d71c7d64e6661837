// What a server does, for Prometheus: GET /metrics in its text format, GET /healthz.
#ifndef PGLITE_SERVER_METRICS_H_
#define PGLITE_SERVER_METRICS_H_

#include <pglite/cluster.h>
#include <pglite/status.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "server/connection.h"

namespace pglite::server {

class Metrics {
 public:
  // Listens on "HOST:PORT"; nobody is answered before start(). `traffic` outlives it. Failures as
  // Server::listen().
  static Status open(boost::asio::io_context& io, const std::string& address,
                     const Traffic& traffic, std::unique_ptr<Metrics>* out);
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Answers from now on. `cluster` outlives it.
  void start(Cluster& cluster);

 private:
  Metrics(boost::asio::io_context& io, const Traffic& traffic)
      : acceptor_(io), pause_(io), traffic_(traffic) {}

  void accept();
  // The page; kEngineGone and others: the cluster does not answer.
  Status page(std::string* out);

  friend class MetricsRequest;

  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  const Traffic& traffic_;
  Cluster* cluster_ = nullptr;
  std::chrono::system_clock::time_point start_time_ = std::chrono::system_clock::now();
};

}  // namespace pglite::server

#endif  // PGLITE_SERVER_METRICS_H_
