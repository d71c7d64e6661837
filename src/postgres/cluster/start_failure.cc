// PostgreSQL's messages are matched as they stand in its sources: lc_messages is C at start.
#include "postgres/cluster/start_failure.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <vector>

#include "postgres/version.h"

namespace pglite::postgres {
namespace {

using Kind = StartFailure::Kind;

struct Line {
  std::string_view severity;  // "FATAL", ...; empty: not of PostgreSQL's logger
  std::string_view text;
};

// "2026-11-23 17:07:11.564 UTC [42] PANIC:  could not ..."
Line parse(std::string_view line) {
  for (const std::string_view severity :
       {"LOG", "WARNING", "ERROR", "FATAL", "PANIC", "DETAIL", "HINT", "CONTEXT"}) {
    const std::string mark = "] " + std::string(severity) + ":  ";
    const size_t at = line.find(mark);
    if (at != std::string_view::npos) return {severity, line.substr(at + mark.size())};
  }
  return {{}, line};
}

bool contains_one_of(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::ranges::any_of(
      parts, [&](std::string_view part) { return text.find(part) != std::string_view::npos; });
}

// What a start says in any case.
bool is_noise(std::string_view text) {
  constexpr std::array<std::string_view, 10> kBeginnings = {"database system ",
                                                            "redo ",
                                                            "invalid record length ",
                                                            "checkpoint ",
                                                            "starting ",
                                                            "shutting down",
                                                            "entering standby mode",
                                                            "consistent recovery state ",
                                                            "syncing data",
                                                            "invalid checkpoint record"};
  return std::ranges::any_of(kBeginnings, [&](auto begin) { return text.starts_with(begin); });
}

// What ended the start, and the lines that say more about it.
struct Cause {
  std::string fatal;  // with its severity
  std::string more;
};

Cause find_cause(std::span<const std::string> log) {
  constexpr size_t kMostLines = 3;
  std::vector<std::string> before;
  Cause cause;
  for (const std::string& entry : log) {
    const Line line = parse(entry);
    const std::string text(line.text);
    if (cause.fatal.empty()) {
      if (line.severity == "FATAL" || line.severity == "PANIC") {
        cause.fatal = std::string(line.severity) + ":  " + text;
      } else if (line.severity.empty() ? text.starts_with("postgres: ") : !is_noise(text)) {
        before.push_back(text);
      }
    } else if (line.severity == "DETAIL" || line.severity == "CONTEXT") {
      before.push_back(text);
    } else {
      break;  // PostgreSQL shutting down
    }
  }
  const size_t skipped = before.size() - std::min(before.size(), kMostLines);
  for (size_t i = skipped; i < before.size(); ++i) {
    cause.more += (cause.more.empty() ? "" : "; ") + before[i];
  }
  return cause;
}

Kind kind_of(const std::string& text) {
  if (contains_one_of(text, {"I/O error", "Permission denied", "Read-only file system",
                             "No space left", "Quota exceeded", "No file descriptors available",
                             "input in flex scanner failed"})) {
    return Kind::kUnreadable;
  }
  if (contains_one_of(text, {"global/pg_control", "control file", "PG_CONTROL_VERSION",
                             "CATALOG_VERSION_NO"})) {
    return Kind::kControlFile;
  }
  if (contains_one_of(text, {"configuration file", "pg_hba.conf", "pg_ident.conf"})) {
    return Kind::kConfiguration;
  }
  if (contains_one_of(
          text, {"checkpoint record", "WAL ", "pg_wal", "redo location", "requested timeline"})) {
    return Kind::kWal;
  }
  if (contains_one_of(
          text,
          {"could not open file", "could not read file", "could not access status", "is missing",
           "is not a valid data directory", "incorrect checksum", "invalid page in block",
           "could not open directory", "could not read blocks", "invalid data in file"})) {
    return Kind::kFiles;
  }
  return Kind::kOther;
}

std::string advice(Kind kind, const std::string& path) {
  const std::string restore = "restore a backup (\"pglite-port restore\")";
  const std::string reset = restore +
                            ", or save what can be saved with \"pglite-port repair "
                            "--reset-wal -D " +
                            path + "\" (docs/durability.md)";
  switch (kind) {
    case Kind::kWal:
      return "its WAL (pg_wal) is damaged or incomplete: " + reset;
    case Kind::kControlFile:
      return "its control file (global/pg_control) is damaged or missing: " + reset;
    case Kind::kConfiguration:
      return "correct the file";
    case Kind::kFiles:
      return "files of it are damaged or missing: " + restore;
    case Kind::kUnreadable:
      return "see to the disk and to the files' permissions, then open it again";
    case Kind::kOther:
      break;
  }
  return {};
}

std::string on_the_host(std::string text, std::string_view path) {
  for (size_t at = 0; (at = text.find(kDataDirectory, at)) != std::string::npos;) {
    text.replace(at, kDataDirectory.size(), path);
    at += path.size();
  }
  return text;
}

}  // namespace

StartFailure explain_start_failure(std::string_view path, std::span<const std::string> log,
                                   const Status& failure) {
  const Cause cause = find_cause(log);
  StartFailure result;
  result.kind = kind_of(cause.fatal + "\n" + cause.more);
  result.status = failure;
  if (result.kind == Kind::kOther) return result;
  result.reason = cause.fatal;
  if (!cause.more.empty()) {
    result.reason += cause.fatal.empty() ? cause.more : " (" + cause.more + ")";
  }
  result.reason = on_the_host(result.reason, path);
  const std::string message = "data directory \"" + std::string(path) +
                              "\": PostgreSQL did not start: " + result.reason + "; " +
                              advice(result.kind, std::string(path));
  result.status =
      result.kind == Kind::kUnreadable ? Status::io_error(message) : Status::incompatible(message);
  return result;
}

}  // namespace pglite::postgres
