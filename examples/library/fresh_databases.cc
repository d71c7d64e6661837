// "Migrate once, then a fresh database for each test", in C++: a snapshot that databases are
// started from, also as a file.
#include <pglite/instance.h>
#include <pglite/snapshot.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>

namespace {

void check(const pglite::Status& status) {
  if (status.ok()) return;
  std::cerr << status.message() << "\n";
  std::exit(status.exit_code());
}

uint32_t number(std::string_view bytes, size_t size) {
  uint32_t value = 0;
  for (size_t i = 0; i < size; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

// The first value of the first row. The API speaks PostgreSQL's protocol; a Query message is a
// letter, its length and the text (manual, "Message Formats"). pglite.h has pglite_query(), for
// whoever wants less of it.
std::string ask(pglite::Instance& db, const std::string& sql) {
  const auto length = static_cast<uint32_t>(sql.size() + 5);
  std::string request = "Q";
  for (int shift = 24; shift >= 0; shift -= 8) request += static_cast<char>(length >> shift);
  request += sql + '\0';
  std::string answer;
  check(db.exec_protocol(request, [&](std::string_view bytes) { answer += bytes; }));
  for (std::string_view rest = answer; rest.size() >= 5;) {
    const size_t end = 1 + number(rest.substr(1), 4);
    if (rest[0] == 'E') return "error";
    // DataRow: two bytes for the number of values, then the length and the bytes of each
    if (rest[0] == 'D') return std::string(rest.substr(11, number(rest.substr(7), 4)));
    rest.remove_prefix(end);
  }
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  std::unique_ptr<pglite::Instance> migrated;
  check(pglite::Instance::open({}, &migrated));  // memory://
  ask(*migrated,
      "create table account (name text, balance int); insert into account values ('a', 10)");

  std::shared_ptr<const pglite::Snapshot> snapshot;
  check(migrated->snapshot(&snapshot));
  if (argc > 1) {
    check(snapshot->save(argv[1]));
    check(pglite::Snapshot::load(argv[1], &snapshot));
  }

  pglite::Options options;
  options.snapshot = snapshot;
  for (int test = 1; test <= 3; ++test) {
    std::unique_ptr<pglite::Instance> db;
    check(pglite::Instance::open(options, &db));
    std::cout << ask(*db, "update account set balance = balance + " + std::to_string(test) +
                              " returning balance")
              << "\n";
    check(db->close());
  }
  std::cout << ask(*migrated, "select balance from account") << "\n";
  check(migrated->close());
  return 0;
}
