#include "server/metrics.h"

#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <memory>
#include <vector>

#include "server/address.h"
#include "server/listen.h"
#include "server/statement.h"

namespace pglite::server {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

using boost::system::error_code;

namespace {

constexpr std::chrono::seconds kPatience{10};
// After accept() failed.
constexpr std::chrono::milliseconds kAcceptPause{100};

// One row a sample: name, labels, value. All are PostgreSQL's own statistics.
constexpr std::string_view kSamples = R"sql(
SELECT 'pglite_sessions', format('state="%s"', coalesce(state, 'starting')), count(*)::text
  FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
  GROUP BY state
UNION ALL
SELECT 'pglite_waiting_sessions', format('type="%s",event="%s"', wait_event_type, wait_event),
       count(*)::text
  FROM pg_stat_activity WHERE backend_type = 'client backend' AND wait_event IS NOT NULL
  GROUP BY wait_event_type, wait_event
UNION ALL
SELECT v.name,
       format('database="%s"',
              replace(replace(replace(datname, '\', '\\'), '"', '\"'), chr(10), '\n')),
       v.value::text
  FROM pg_stat_database, LATERAL (VALUES
    ('pglite_transactions_committed_total', xact_commit),
    ('pglite_transactions_rolled_back_total', xact_rollback),
    ('pglite_blocks_read_total', blks_read), ('pglite_blocks_hit_total', blks_hit),
    ('pglite_rows_returned_total', tup_returned), ('pglite_rows_inserted_total', tup_inserted),
    ('pglite_rows_updated_total', tup_updated), ('pglite_rows_deleted_total', tup_deleted),
    ('pglite_deadlocks_total', deadlocks), ('pglite_temporary_bytes_total', temp_bytes),
    ('pglite_database_size_bytes', pg_database_size(datid))) AS v(name, value)
  WHERE datname IS NOT NULL
UNION ALL
SELECT v.name, '', v.value::text FROM pg_stat_checkpointer, LATERAL (VALUES
    ('pglite_checkpoints_timed_total', num_timed), ('pglite_checkpoints_requested_total', num_requested),
    ('pglite_checkpoints_done_total', num_done), ('pglite_checkpoint_buffers_written_total', buffers_written))
    AS v(name, value)
UNION ALL
SELECT v.name, '', v.value::text FROM pg_stat_wal, LATERAL (VALUES
    ('pglite_wal_records_total', wal_records::numeric), ('pglite_wal_bytes_total', wal_bytes))
    AS v(name, value)
ORDER BY 1, 2)sql";

void append(std::string* page, std::string_view name, std::string_view labels,
            std::string_view value, std::string* last_name) {
  if (name != *last_name) {
    const bool is_counter = name.ends_with("_total");
    *page += "# TYPE " + std::string(name) + (is_counter ? " counter\n" : " gauge\n");
    *last_name = name;
  }
  *page += name;
  if (!labels.empty()) *page += "{" + std::string(labels) + "}";
  *page += " " + std::string(value) + "\n";
}

}  // namespace

// One request, and its answer; the connection is closed after it.
class MetricsRequest : public std::enable_shared_from_this<MetricsRequest> {
 public:
  MetricsRequest(asio::ip::tcp::socket socket, Metrics& metrics)
      : stream_(std::move(socket)), metrics_(metrics) {}

  void start() {
    stream_.expires_after(kPatience);
    http::async_read(stream_, buffer_, request_,
                     [self = shared_from_this()](const error_code& error, size_t) {
                       if (!error) self->answer();
                     });
  }

 private:
  void answer() {
    response_.version(request_.version());
    response_.keep_alive(false);
    response_.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
    const std::string_view target(request_.target().data(), request_.target().size());
    std::string body;
    if (request_.method() != http::verb::get && request_.method() != http::verb::head) {
      response_.result(http::status::method_not_allowed);
      body = "only GET is accepted\n";
    } else if (target == "/healthz" || target == "/metrics") {
      const Status status = metrics_.page(&body);
      if (!status.ok()) {
        response_.result(http::status::service_unavailable);
        body = status.message() + "\n";
      } else if (target == "/healthz") {
        body = "ok\n";
      }
    } else {
      response_.result(http::status::not_found);
      body = "there are /metrics and /healthz\n";
    }
    response_.body() = std::move(body);
    response_.prepare_payload();
    if (request_.method() == http::verb::head) response_.body().clear();
    http::async_write(stream_, response_, [self = shared_from_this()](const error_code&, size_t) {
      error_code ignored;
      self->stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    });
  }

  beast::tcp_stream stream_;
  Metrics& metrics_;
  beast::flat_buffer buffer_{8192};
  http::request<http::empty_body> request_;
  http::response<http::string_body> response_;
};

Status Metrics::open(asio::io_context& io, const std::string& address, const Traffic& traffic,
                     std::unique_ptr<Metrics>* out) {
  std::vector<asio::ip::tcp::endpoint> endpoints;
  Status status = parse_endpoints(address, &endpoints);
  if (!status.ok()) return status;
  std::unique_ptr<Metrics> metrics(new Metrics(io, traffic));
  status = listen_on(endpoints.front(), &metrics->acceptor_);
  if (!status.ok()) return status;
  *out = std::move(metrics);
  return {};
}

void Metrics::start(Cluster& cluster) {
  cluster_ = &cluster;
  accept();
}

void Metrics::accept() {
  acceptor_.async_accept([this](const error_code& error, asio::ip::tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (!error) {
      std::make_shared<MetricsRequest>(std::move(socket), *this)->start();
      return accept();
    }
    // Out of descriptors or memory.
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](const error_code& cancelled) {
      if (!cancelled) accept();
    });
  });
}

Status Metrics::page(std::string* out) {
  std::string last;
  const auto number = [](auto value) { return std::to_string(value); };
  append(out, "pglite_connections_accepted_total", "", number(traffic_.accepted), &last);
  append(out, "pglite_connections_refused_total", "", number(traffic_.refused), &last);
  append(out, "pglite_received_bytes_total", "", number(traffic_.bytes_in), &last);
  append(out, "pglite_sent_bytes_total", "", number(traffic_.bytes_out), &last);
  const auto since =
      std::chrono::duration_cast<std::chrono::seconds>(start_time_.time_since_epoch());
  append(out, "pglite_start_time_seconds", "", number(since.count()), &last);

  return run_statement(*cluster_, {}, kSamples, [&](const Row& row) {
    if (row.size() != 3) return;
    append(out, row[0].value_or(""), row[1].value_or(""), row[2].value_or("0"), &last);
  });
}

}  // namespace pglite::server
