#include "postgres/sessions/verify.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postgres/guest/session_sql.h"
#include "postgres/sessions/channel_binding.h"
#include "wire/byte_order.h"
#include "wire/frontend_message.h"
#include "wire/message.h"

namespace pglite::postgres {

namespace {

class SessionVerification {
 public:
  explicit SessionVerification(PostmasterConfig config) : config_(std::move(config)) {}

  Status run() {
    config_.access_rules =
        "host all verify_scram all scram-sha-256\n"
        "host all all all trust\n";
    config_.settings.emplace_back("wal_level=logical");
    status_ = Postmaster::start(std::move(config_), &postmaster_);
    if (!status_.ok()) return status_;
    first_ = connect({});
    // 192.0.2.7, which is nobody's.
    second_ = connect({.is_outside = true, .bytes = {192, 0, 2, 7}, .port = 4711});
    if (!status_.ok()) return status_;
    addresses();
    waits();
    signals();
    checkpoints();
    workers();
    decoding();
    conversions();
    channel_binding();
    if (status_.ok()) status_ = postmaster_->shut_down();
    return status_;
  }

 private:
  void expect(bool right, std::string_view fact) {
    if (right || !status_.ok()) return;
    status_ = Status::incompatible("PostgreSQL's processes are not as layout.h describes them: " +
                                   std::string(fact));
  }

  // Runs the server until `done`, for some seconds at most.
  template <class Done>
  bool run_until(Done done) {
    constexpr double kPatience = 20'000;
    const double end = emscripten::monotonic_milliseconds() + kPatience;
    postmaster_->scheduler().begin_slices();
    while (!done() && postmaster_->failure().ok() && emscripten::monotonic_milliseconds() < end) {
      if (postmaster_->run_next()) continue;
      postmaster_->wake_event().clear();
      if (postmaster_->scheduler().has_ready()) continue;
      postmaster_->sleep_until(std::min(postmaster_->next_due().value_or(end), end));
    }
    postmaster_->scheduler().end_slices();
    return done();
  }

  Status exec(Client& client, std::string_view request, const ResponseSink& sink) {
    client.send(request);
    const bool answered = run_until([&] { return client.ended() || client.wants_input(); });
    sink(client.output());
    client.take(client.output().size());
    if (!postmaster_->failure().ok()) return postmaster_->failure();
    return answered ? Status() : Status::incompatible("a session does not answer");
  }

  Client* connect(const SocketAddress& address) {
    Client* client = nullptr;
    if (status_.ok()) status_ = postmaster_->connect(address, &client);
    if (!status_.ok()) return nullptr;
    const std::pair<std::string_view, std::string_view> parameters[] = {{"user", kInitialName},
                                                                        {"database", kInitialName}};
    run(*client, wire::startup_packet(parameters), nullptr);
    return client;
  }

  void run(Client& client, std::string_view messages, SqlResult* result) {
    if (!status_.ok()) return;
    status_ = run_messages([&](std::string_view request,
                               const ResponseSink& sink) { return exec(client, request, sink); },
                           messages, result);
  }

  std::string value(Client& client, const std::string& sql) {
    SqlResult result;
    run(client, wire::query(sql), &result);
    if (result.rows.empty() || result.rows[0].empty()) return {};
    return result.rows[0][0];
  }

  std::string wait_event_of_second() {
    return value(*first_,
                 "SELECT wait_event_type || ':' || wait_event FROM pg_stat_activity WHERE "
                 "pid = " +
                     std::to_string(second_->pid()));
  }

  void addresses() {
    expect(value(*first_, "SELECT inet_client_addr() IS NULL") == "t", "ClientSocket.raddr");
    expect(value(*second_, "SELECT inet_client_addr() || ':' || inet_client_port()") ==
               "192.0.2.7/32:4711",
           "ClientSocket.raddr");
    expect(value(*first_, "SELECT pg_backend_pid()") == std::to_string(first_->pid()),
           "MyProcPid of a child");
    expect(value(*first_, "SELECT now() - pg_postmaster_start_time() BETWEEN '0s' AND '1 hour'") ==
               "t",
           "PgStartTime");
  }

  void waits() {
    expect(wait_event_of_second() == "Client:ClientRead", "WaitEventSet or my_wait_event_info");
    (void)value(*first_, "SELECT pg_advisory_lock(1)");
    second_->send(wire::query("SELECT pg_advisory_lock(1)"));
    expect(run_until([&] { return !second_->wants_input() && second_->task().waiting(); }),
           "a session does not wait for a lock");
    expect(wait_event_of_second() == "Lock:advisory", "my_wait_event_info");
    (void)value(*first_, "SELECT pg_advisory_unlock(1)");
    expect(run_until([&] { return second_->wants_input(); }), "Latch.maybe_sleeping or owner_pid");
    second_->take(second_->output().size());
  }

  void signals() {
    second_->send(wire::query("SELECT pg_sleep(100)"));
    (void)run_until([&] { return second_->task().waiting(); });
    (void)value(*first_, "SELECT pg_cancel_backend(" + std::to_string(second_->pid()) + ")");
    expect(run_until([&] { return second_->wants_input(); }), "a cancel does not reach a session");
    second_->take(second_->output().size());
  }

  void checkpoints() {
    const std::string done = "SELECT num_done FROM pg_stat_checkpointer";
    const std::string before = value(*first_, done);
    (void)value(*first_, "CREATE TABLE verify_checkpoint (n int); CHECKPOINT");
    expect(value(*first_, done) != before, "CheckpointerShmemStruct");
  }

  // A worker's start needs the registration, its pid the leader; both come and go with the query.
  void workers() {
    (void)value(*first_, "SET debug_parallel_query = on; SET max_parallel_workers_per_gather = 2");
    SqlResult plan;
    run(*first_, wire::query("EXPLAIN (ANALYZE, COSTS OFF) SELECT count(*) FROM pg_class"), &plan);
    expect(std::ranges::any_of(plan.rows,
                               [](const auto& row) {
                                 return !row.empty() && row[0].ends_with("Workers Launched: 1");
                               }),
           "BackgroundWorkerSlot or BackgroundWorker");
    expect(value(*first_,
                 "RESET debug_parallel_query; SELECT count(*) FROM pg_stat_activity WHERE "
                 "backend_type = 'parallel worker'") == "0",
           "BackgroundWorkerSlot.pid");
  }

  // The offsets and numbers of aot/supplement, by what comes out.
  void decoding() {
    (void)value(
        *first_,
        "CREATE TABLE verify_decoding (a int PRIMARY KEY, b text); "
        "CREATE PUBLICATION verify_decoding FOR TABLE verify_decoding (a, b) WHERE (a > 0)");
    (void)value(*first_, "SELECT pg_create_logical_replication_slot('verify', 'pgoutput')");
    (void)value(*first_, "INSERT INTO verify_decoding VALUES (1, 'x'), (0, 'y')");
    (void)value(*first_, "UPDATE verify_decoding SET a = 2, b = NULL WHERE a = 1");
    const std::string found = value(
        *first_,
        "SELECT string_agg(replace(encode(data, 'hex'), "
        "lpad(to_hex('verify_decoding'::regclass::oid::int), 8, '0'), 'id'), ' ') "
        "FROM pg_logical_slot_get_binary_changes('verify', NULL, NULL, 'proto_version', '1', "
        "'publication_names', 'verify_decoding') WHERE substr(data, 1, 1) IN ('R', 'I', 'U')");
    // public.verify_decoding with replica identity 'd', then a: int4 and of the key, b: text.
    const std::string relation =
        "52id7075626c6963007665726966795f6465636f64696e67006400020161000000"
        "0017ffffffff00620000000019ffffffff";
    const std::string insert = "49id4e0002740000000131740000000178";
    const std::string update = "55id4b00027400000001316e4e00027400000001326e";
    expect(found == relation + ' ' + insert + ' ' + update, "aot/supplement: " + found);
    (void)value(*first_, "SELECT pg_drop_replication_slot('verify')");
  }

  void conversions() {
    expect(value(*first_,
                 "SELECT convert('\\xc3a9', 'UTF8', 'LATIN2') || '\\x2b' || "
                 "convert('\\xa4a2', 'EUC_JP', 'UTF8')") == "\\xe92be38182",
           "aot/supplement: conversions between encodings");
  }

  std::string talk(Client& client, std::string_view request) {
    std::string answer;
    if (status_.ok()) {
      status_ = exec(client, request, [&](std::string_view bytes) { answer += bytes; });
    }
    return answer;
  }

  // struct scram_state, and what is put around PostgreSQL's SCRAM, by a client whose channel is
  // bound. It knows no password, only the key that is made of one.
  void channel_binding() {
    Sha256 key;
    key.fill('k');
    Sha256 server_key;
    server_key.fill('s');
    const auto base64 = [](const Sha256& bytes) {
      std::string text(base64_size(bytes.size()), '\0');
      encode_base64(bytes, text);
      return text;
    };
    const std::string stored =
        value(*first_, "SELECT encode(sha256(repeat('k', 32)::bytea), 'base64')");
    (void)value(*first_, "CREATE ROLE verify_scram LOGIN PASSWORD 'SCRAM-SHA-256$1:c2FsdA==$" +
                             stored + ":" + base64(server_key) + "'");
    Sha256 stored_key{};
    expect(decode_base64(stored, stored_key), "SHA-256 of PostgreSQL's");
    Client* client = nullptr;
    if (status_.ok()) {
      status_ = postmaster_->connect(
          {.is_outside = true, .bytes = {192, 0, 2, 8}, .port = 4711, .certificate_hash = "hash"},
          &client);
    }
    if (!status_.ok()) return;

    const std::pair<std::string_view, std::string_view> parameters[] = {{"user", "verify_scram"},
                                                                        {"database", kInitialName}};
    constexpr size_t kHead = 9;  // of an authentication request
    const std::string offer = talk(*client, wire::startup_packet(parameters));
    const std::string_view both("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0", 34);
    expect(offer.size() > kHead && offer.substr(kHead) == both, "pg_be_sasl_mech.get_mechanisms");
    const std::string first = "n=,r=nonce";
    const std::string message = "p=tls-server-end-point,," + first;
    std::string chosen;
    wire::append_string(chosen, kScramPlus);
    wire::append_u32(chosen, static_cast<uint32_t>(message.size()));
    std::string server_first = talk(*client, wire::message('p', chosen + message));
    server_first.erase(0, kHead);
    expect(server_first.starts_with("r=nonce"),
           "pg_be_sasl_mech.init, or scram_state.channel_binding_in_use");

    const std::string without_proof =
        "c=" + bound_channel("hash") + "," + server_first.substr(0, server_first.find(','));
    const auto sign = [&](const Sha256& with) {
      return hmac_sha256(with, {first, ",", server_first, ",", without_proof});
    };
    const Sha256 signature = sign(stored_key);
    for (size_t i = 0; i < key.size(); ++i) key[i] ^= signature[i];
    const std::string end = talk(*client, wire::message('p', without_proof + ",p=" + base64(key)));
    expect(end.starts_with('R') && client->wants_input(),
           "scram_state.StoredKey, cbind_flag, client_first_message_bare or server_first_message");
    expect(end.find("v=" + base64(sign(server_key))) != std::string::npos, "scram_state.ServerKey");
  }

  PostmasterConfig config_;
  std::unique_ptr<Postmaster> postmaster_;
  Client* first_ = nullptr;
  Client* second_ = nullptr;
  Status status_;
};

}  // namespace

Status verify_sessions(PostmasterConfig config) {
  return SessionVerification(std::move(config)).run();
}

}  // namespace pglite::postgres
