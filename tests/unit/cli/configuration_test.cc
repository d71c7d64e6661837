#include "cli/configuration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/settings.h"

namespace pglite::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class CommandLineTest : public ::testing::Test {
 protected:
  CommandLineTest() {
    for (const char* variable : kVariables) ::unsetenv(variable);
  }
  ~CommandLineTest() override {
    for (const char* variable : kVariables) ::unsetenv(variable);
  }

  CommandLine parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "pglite-port");
    return parse_command_line(static_cast<int>(arguments.size()), arguments.data(),
                              {"0.1.0", "0.5.16", "18.6"}, program_directory);
  }

  // The message; it must be one line.
  std::string error(std::vector<const char*> arguments) {
    const CommandLine line = parse(std::move(arguments));
    EXPECT_EQ(line.status.exit_code(), 64);
    EXPECT_THAT(line.status.message(), Not(HasSubstr("\n")));
    return line.status.message();
  }

  Configuration good(std::vector<const char*> arguments) {
    const CommandLine line = parse(std::move(arguments));
    EXPECT_TRUE(line.status.ok()) << line.status.message();
    EXPECT_FALSE(line.text.has_value());
    return line.configuration;
  }

  static constexpr const char* kVariables[] = {
      "PGLITE_WASM_PATH",   "PGLITE_DATA_DIR",     "PGLITE_USERNAME",   "PGLITE_DATABASE",
      "PGLITE_DEBUG",       "PGLITE_FRAMING",      "PGLITE_DURABILITY", "PGLITE_OPTIONS",
      "PGLITE_SQL_COMMAND", "PGLITE_SQL_FILE",     "PGLITE_SQL_FORMAT", "PGLITE_DUMP_FILE",
      "PGLITE_DUMP_GZIP",   "PGLITE_RESTORE_FILE", "PGLITE_AUTOVACUUM", "PGLITE_DUMP_SQL",
      "PGLITE_STDIN_END"};
  std::string program_directory = "/nonexistent";
};

TEST_F(CommandLineTest, Defaults) {
  const Configuration configuration = good({});
  EXPECT_EQ(configuration.command, Command::kPort);
  EXPECT_EQ(configuration.framing, port::Framing::kAuto);
  EXPECT_EQ(configuration.engine.data_dir, "memory://");
  EXPECT_EQ(configuration.engine.username, "postgres");
  EXPECT_EQ(configuration.engine.database, "postgres");
  EXPECT_EQ(configuration.engine.durability, Durability::kDefault);
  EXPECT_EQ(configuration.engine.debug, 0);
  EXPECT_EQ(configuration.engine.wasm_path, "");
  EXPECT_THAT(configuration.engine.settings, IsEmpty());
}

TEST_F(CommandLineTest, Flags) {
  const Configuration configuration =
      good({"-D", "/x", "-U", "u", "-d", "d", "--durability=relaxed", "-o", "-c a=b", "--debug",
            "5", "--wasm", "/m.wasm", "--framing", "line", "port"});
  EXPECT_EQ(configuration.command, Command::kPort);
  EXPECT_EQ(configuration.engine.data_dir, "/x");
  EXPECT_EQ(configuration.engine.username, "u");
  EXPECT_EQ(configuration.engine.database, "d");
  EXPECT_EQ(configuration.engine.durability, Durability::kRelaxed);
  EXPECT_THAT(configuration.engine.settings, ElementsAre("a=b"));
  EXPECT_EQ(configuration.engine.debug, 5);
  EXPECT_EQ(configuration.engine.wasm_path, "/m.wasm");
  EXPECT_EQ(configuration.framing, port::Framing::kLine);
}

TEST_F(CommandLineTest, VariablesAndWhoWins) {
  ::setenv("PGLITE_DATA_DIR", "file:///y", 1);
  ::setenv("PGLITE_DEBUG", "2", 1);
  ::setenv("PGLITE_FRAMING", "packet4", 1);
  ::setenv("PGLITE_DURABILITY", "off", 1);
  ::setenv("PGLITE_OPTIONS", "--work-mem=4MB", 1);
  ::setenv("PGLITE_USERNAME", "", 1);
  const Configuration configuration = good({"--debug", "1"});
  EXPECT_EQ(configuration.engine.data_dir, "file:///y");
  EXPECT_EQ(configuration.engine.debug, 1);
  EXPECT_EQ(configuration.framing, port::Framing::kPacket4);
  EXPECT_EQ(configuration.engine.durability, Durability::kOff);
  EXPECT_THAT(configuration.engine.settings, ElementsAre("work_mem=4MB"));
  EXPECT_EQ(configuration.engine.username, "postgres") << "empty is as not set";
}

TEST_F(CommandLineTest, Sql) {
  const Configuration configuration =
      good({"sql", "-c", "select 1", "-D", "./x", "-c", "-- two", "--format", "json"});
  EXPECT_EQ(configuration.command, Command::kSql);
  EXPECT_THAT(configuration.sql.commands, ElementsAre("select 1", "-- two"));
  EXPECT_EQ(configuration.sql.display.format, Format::kJson);
  EXPECT_EQ(configuration.engine.data_dir, "./x");
  EXPECT_EQ(good({"sql", "-f", "-"}).sql.file, "-");
  EXPECT_THAT(error({"sql", "-c", "x", "-f", "y"}), HasSubstr("exclude each other"));
  EXPECT_THAT(error({"sql", "--format", "xml"}),
              "--format (PGLITE_SQL_FORMAT) is 'xml'; accepted is table, unaligned, csv or json");
}

TEST_F(CommandLineTest, UrlsOfServers) {
  constexpr const char* kUrl = "postgres://u:p%40ss@h/d";
  for (const std::vector<const char*>& arguments :
       std::vector<std::vector<const char*>>{{"sql", kUrl},
                                             {"sql", "-D", kUrl},
                                             {"-D", kUrl, "sql", "-c", "select 1"},
                                             {"sql", "-c", "select 1", kUrl},
                                             {"dump", "--sql", kUrl},
                                             {"dump", "-o", "x", "--sql", "-D", kUrl}}) {
    const Configuration configuration = good(arguments);
    EXPECT_TRUE(configuration.is_of_server());
    EXPECT_EQ(configuration.server_url.url, kUrl);
    EXPECT_EQ(configuration.server_url.user, "") << "the default is for directories";
    EXPECT_EQ(configuration.engine.data_dir, "memory://");
  }
  const Configuration named = good({"sql", kUrl, "-U", "alice", "-d", "shop"});
  EXPECT_EQ(named.server_url.user, "alice");
  EXPECT_EQ(named.server_url.database, "shop");
  EXPECT_FALSE(good({"sql"}).is_of_server());
  ::setenv("PGLITE_DATA_DIR", "./x", 1);
  EXPECT_EQ(good({"sql", kUrl}).server_url.url, kUrl);
  EXPECT_FALSE(good({"sql"}).is_of_server());
  ::setenv("PGLITE_DATA_DIR", kUrl, 1);
  EXPECT_EQ(good({"sql"}).server_url.url, kUrl);
  EXPECT_THAT(error({"port"}), HasSubstr("is the URL of a server"));
  ::unsetenv("PGLITE_DATA_DIR");
}

TEST_F(CommandLineTest, UrlsThatAreRefused) {
  constexpr const char* kUrl = "postgres://u:p%40ss@h/d";
  EXPECT_THAT(error({"sql", "-D", "./x", kUrl}), HasSubstr("exclude each other"));
  EXPECT_THAT(error({"dump", kUrl}), HasSubstr("accepted is dump --sql"));
  EXPECT_THAT(error({"sql", kUrl, "--snapshot", "x"}), HasSubstr("--snapshot (PGLITE_SNAPSHOT)"));
  EXPECT_THAT(error({"sql", kUrl, "-o", "-c a=b"}), HasSubstr("-o (PGLITE_OPTIONS) is not for"));
  EXPECT_THAT(error({"sql", "x"}), HasSubstr("takes options and the postgres:// URL of a server"));
  for (const std::vector<const char*>& arguments :
       std::vector<std::vector<const char*>>{{"initdb", "-D", kUrl},
                                             {"initdb", kUrl},
                                             {kUrl},
                                             {"sql", kUrl, kUrl},
                                             {"sql", "-D", "mysql://u:p%40ss@h"},
                                             {"restore", "-D", kUrl}}) {
    EXPECT_THAT(error(arguments), Not(HasSubstr("p%40ss")));
  }
}

TEST_F(CommandLineTest, SqlVariables) {
  ::setenv("PGLITE_SQL_COMMAND", "select 2", 1);
  ::setenv("PGLITE_SQL_FORMAT", "csv", 1);
  EXPECT_THAT(good({"sql"}).sql.commands, ElementsAre("select 2"));
  EXPECT_EQ(good({"sql"}).sql.display.format, Format::kCsv);
  EXPECT_THAT(good({"sql", "-f", "x.sql"}).sql.commands, IsEmpty()) << "the flag wins";
  ::setenv("PGLITE_SQL_FILE", "y.sql", 1);
  EXPECT_THAT(error({"sql"}), HasSubstr("exclude each other"));
  EXPECT_THAT(good({"sql", "-c", "x"}).sql.file, "");
}

TEST_F(CommandLineTest, Initdb) {
  EXPECT_EQ(good({"initdb", "-D", "x"}).command, Command::kInitdb);
  EXPECT_THAT(error({"initdb"}), StartsWith("initdb needs a directory"));
}

TEST_F(CommandLineTest, StdinEnd) {
  EXPECT_FALSE(good({}).stdin_end);
  EXPECT_TRUE(good({"--stdin-end"}).stdin_end);
  EXPECT_TRUE(good({"serve", "--stdin-end"}).stdin_end);
  ::setenv("PGLITE_STDIN_END", "1", 1);
  EXPECT_TRUE(good({"port"}).stdin_end);
  ::setenv("PGLITE_STDIN_END", "eof", 1);
  EXPECT_EQ(error({}), "--stdin-end (PGLITE_STDIN_END) is 'eof'; accepted is 1 or 0");
}

TEST_F(CommandLineTest, Dump) {
  Configuration configuration = good({"dump", "-D", "x", "-o", "y.tar"});
  EXPECT_EQ(configuration.command, Command::kDump);
  EXPECT_EQ(configuration.backup.file, "y.tar");
  EXPECT_EQ(configuration.backup.compression, Compression::kNone);
  EXPECT_THAT(configuration.engine.settings, IsEmpty());
  EXPECT_EQ(good({"dump", "-D", "x", "--gzip"}).backup.compression, Compression::kGzip);
  EXPECT_EQ(good({"-o", "-c a=b", "dump", "-D", "x"}).engine.settings.size(), 1U);
  ::setenv("PGLITE_DUMP_FILE", "z", 1);
  ::setenv("PGLITE_DUMP_GZIP", "0", 1);
  configuration = good({"dump", "-D", "x"});
  EXPECT_EQ(configuration.backup.file, "z");
  EXPECT_EQ(configuration.backup.compression, Compression::kNone);
  EXPECT_EQ(good({"dump", "-D", "x", "--gzip"}).backup.compression, Compression::kGzip);
  ::setenv("PGLITE_DUMP_GZIP", "zip", 1);
  EXPECT_EQ(error({"dump", "-D", "x"}), "--gzip (PGLITE_DUMP_GZIP) is 'zip'; accepted is 1 or 0");
  EXPECT_THAT(error({"dump"}), StartsWith("--gzip"));
  ::setenv("PGLITE_DUMP_GZIP", "1", 1);
  EXPECT_THAT(error({"dump"}), StartsWith("dump needs a directory to read"));
}

TEST_F(CommandLineTest, ServeFromSnapshotsAndItsLog) {
  EXPECT_EQ(good({"serve"}).engine.log_format, LogFormat::kText);
  EXPECT_EQ(good({"serve", "--log-format", "json"}).engine.log_format, LogFormat::kJson);
  EXPECT_THAT(error({"serve", "--log-format", "JSON"}),
              EndsWith("(PGLITE_LOG_FORMAT) is 'JSON'; accepted is text or json"));
  const Configuration both = good({"serve", "--snapshot", "a", "--save-snapshot", "b"});
  EXPECT_EQ(both.snapshot, "a");
  EXPECT_EQ(both.save_snapshot, "b");
  EXPECT_THAT(error({"serve", "-D", "./d", "--snapshot", "a"}),
              StartsWith("--snapshot (PGLITE_SNAPSHOT) needs the data directory memory://"));
}

TEST_F(CommandLineTest, DumpAsSql) {
  Configuration configuration =
      good({"dump", "--sql", "-D", "x", "-o", "y", "--", "-t", "-D", "--", "dump"});
  EXPECT_TRUE(configuration.backup.sql);
  EXPECT_THAT(configuration.backup.arguments, ElementsAre("-t", "-D", "--", "dump"));
  EXPECT_EQ(configuration.backup.file, "y");
  EXPECT_FALSE(configuration.engine.create);
  EXPECT_THAT(good({"dump", "--sql", "-D", "x", "--"}).backup.arguments, IsEmpty());
  EXPECT_EQ(good({"dump", "--sql", "--snapshot", "s"}).snapshot, "s");
  EXPECT_THAT(error({"dump", "--sql"}), EndsWith("or --snapshot"));
  EXPECT_THAT(error({"dump", "--snapshot", "s"}), StartsWith("dump needs a directory"));
  EXPECT_EQ(error({"dump", "-D", "x", "--", "-s"}),
            "unexpected argument '-s' behind --; accepted are options of pg_dump, for dump --sql");
  EXPECT_THAT(error({"--", "sql"}), StartsWith("unexpected argument 'sql' behind --"));
  EXPECT_THAT(error({"dump", "--sql", "-D", "x", "-s"}), StartsWith("unknown option '-s'"));
  EXPECT_TRUE(good({"dump", "-D", "x"}).engine.create);
  ::setenv("PGLITE_DUMP_SQL", "1", 1);
  EXPECT_TRUE(good({"dump", "-D", "x"}).backup.sql);
  EXPECT_FALSE(good({"sql"}).backup.sql);
}

TEST_F(CommandLineTest, Restore) {
  const Configuration configuration = good({"restore", "-D", "x", "-f", "y.tar"});
  EXPECT_EQ(configuration.command, Command::kRestore);
  EXPECT_EQ(configuration.backup.file, "y.tar");
  ::setenv("PGLITE_RESTORE_FILE", "z", 1);
  EXPECT_EQ(good({"restore", "-D", "x"}).backup.file, "z");
  EXPECT_THAT(error({"restore"}), StartsWith("restore needs a directory to create"));
}

TEST_F(CommandLineTest, HelpAndVersion) {
  EXPECT_EQ(parse({"--version"}).text, "pglite-port 0.1.0 (PGlite 0.5.16, PostgreSQL 18.6)\n");
  EXPECT_THAT(parse({"--help"}).text.value_or(""),
              AllOf(HasSubstr("PGLITE_DATA_DIR"), HasSubstr("initdb")));
  EXPECT_THAT(parse({"sql", "--help"}).text.value_or(""),
              AllOf(HasSubstr("--format"), HasSubstr("PGLITE_SQL_FILE")));
  EXPECT_EQ(parse({"-V"}).text, parse({"--version"}).text);
  EXPECT_EQ(parse({"-h"}).text, parse({"--help"}).text);
  EXPECT_EQ(parse({"help"}).text, parse({"--help"}).text);
  EXPECT_EQ(error({"help", "sql", "serve"}), "help takes one command; got 'serve', too");
  EXPECT_THAT(error({"help", "sqll"}), StartsWith("unknown command 'sqll'"));
}

TEST_F(CommandLineTest, HelpOfEachCommandFitsATerminalAndHasTheCommonOptions) {
  for (const char* command :
       {"port", "serve", "sql", "initdb", "dump", "restore", "repair", "compile"}) {
    const std::string text = parse({"help", command}).text.value_or("");
    EXPECT_EQ(parse({command, "-h"}).text, text);
    EXPECT_EQ(parse({"-D", "x", command, "--help"}).text, text);
    EXPECT_THAT(text, AllOf(HasSubstr("usage: pglite-port "), HasSubstr("--debug 0..5")));
    std::istringstream lines(text + parse({"help"}).text.value_or(""));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 79U) << line;
  }
  EXPECT_THAT(
      parse({"sql", "-h"}).text.value_or(""),
      AllOf(HasSubstr("-D, --data-dir DIR"), HasSubstr("[PGLITE_DATA_DIR]"), HasSubstr("-U, "),
            HasSubstr("-d, "), HasSubstr("--snapshot FILE"), Not(HasSubstr("--framing"))));
}

TEST_F(CommandLineTest, SaysWhatIsWrongAndWhatIsAccepted) {
  EXPECT_THAT(error({"--foo"}), AllOf(StartsWith("unknown option '--foo'; accepted are"),
                                      HasSubstr("-D/--data-dir"), HasSubstr("--framing")));
  EXPECT_THAT(error({"dump", "--sql", "--schema-only"}), HasSubstr("dump --sql -- --schema-only"));
  EXPECT_THAT(error({"sql", "--foo"}),
              AllOf(StartsWith("unknown option '--foo'"), HasSubstr("--format")));
  EXPECT_EQ(error({"postgres"}),
            "unknown command 'postgres'; accepted are port, serve, sql, initdb, dump, restore, "
            "repair, compile and help");
  EXPECT_THAT(error({"sql", "select 1"}), StartsWith("unexpected argument 'select 1'"));
  EXPECT_EQ(error({"--debug", "6"}),
            "--debug (PGLITE_DEBUG) is '6'; accepted is a level from 0 to 5");
  EXPECT_THAT(error({"--debug", "-1"}), HasSubstr("'-1'"));
  EXPECT_THAT(error({"--debug", "1x"}), HasSubstr("'1x'"));
  EXPECT_THAT(error({"--durability", "maybe"}), HasSubstr("accepted is full, relaxed or off"));
  EXPECT_TRUE(good({}).engine.autovacuum);
  EXPECT_FALSE(good({"--autovacuum", "off"}).engine.autovacuum);
  EXPECT_EQ(error({"--autovacuum", "1"}),
            "--autovacuum (PGLITE_AUTOVACUUM) is '1'; accepted is on or off");
  EXPECT_THAT(error({"--framing", "tcp"}), HasSubstr("accepted is auto, packet4, raw or line"));
  EXPECT_THAT(error({"-U", ""}), HasSubstr("--username (PGLITE_USERNAME) is ''"));
  EXPECT_THAT(error({"-d", std::string(64, 'x').c_str()}), HasSubstr("a name of 1 to 63 bytes"));
  EXPECT_THAT(error({"-D"}), HasSubstr("--data-dir"));
  EXPECT_THAT(error({"-o", "work_mem=1"}), HasSubstr("accepted is -c name=value"));
  ::setenv("PGLITE_FRAMING", "udp", 1);
  EXPECT_THAT(error({}), HasSubstr("--framing (PGLITE_FRAMING) is 'udp'"));
}

TEST_F(CommandLineTest, SettingsAddUp) {
  EXPECT_THAT(good({"-o", "-c a=b -c c=d", "-o", "-c 'e=f g'", "-o", "-c a=h"}).engine.settings,
              ElementsAre("a=b", "c=d", "e=f g", "a=h"));
}

TEST_F(CommandLineTest, UnknownVariablesAreWarnedOf) {
  ::setenv("PGLITE_DATADIR", "/x", 1);
  const CommandLine line = parse({"sql"});
  ::unsetenv("PGLITE_DATADIR");
  EXPECT_TRUE(line.status.ok());
  EXPECT_THAT(line.warnings, ElementsAre("the variable PGLITE_DATADIR is not known, and has no "
                                         "effect; the nearest is PGLITE_DATA_DIR"));
  EXPECT_THAT(parse({"sql"}).warnings, IsEmpty());
}

TEST_F(CommandLineTest, DefaultModuleIsTakenIfThere) {
  const std::filesystem::path root = std::filesystem::temp_directory_path() / "pglite-cli-test";
  std::filesystem::create_directories(root / "bin");
  std::filesystem::create_directories(root / "priv/pglite");
  program_directory = (root / "bin").string();
  EXPECT_EQ(good({}).engine.wasm_path, "");
  std::ofstream(root / "priv/pglite/pglite.wasm") << "x";
  EXPECT_EQ(good({}).engine.wasm_path, program_directory + "/../priv/pglite/pglite.wasm");
  ::setenv("PGLITE_WASM_PATH", "/other", 1);
  EXPECT_EQ(good({}).engine.wasm_path, "/other");
  std::filesystem::remove_all(root);
}

TEST(DataDir, Accepted) {
  std::string out;
  for (const auto& [text, expected] :
       std::vector<std::pair<std::string, std::string>>{{"memory://", "memory://"},
                                                        {"./x", "./x"},
                                                        {"/x", "/x"},
                                                        {"file://x", "file://x"},
                                                        {"file:///x", "file:///x"},
                                                        {"x", "./x"},
                                                        {"../x", "./../x"},
                                                        {"./a://b", "./a://b"},
                                                        {"./memory:", "./memory:"},
                                                        {"a/b:c", "./a/b:c"}}) {
    EXPECT_TRUE(parse_data_dir(text, &out).ok()) << text;
    EXPECT_EQ(out, expected);
  }
}

TEST(DataDir, Refused) {
  std::string out;
  const auto message = [&out](std::string_view text) {
    return parse_data_dir(text, &out).message();
  };
  EXPECT_THAT(message("idb://x"),
              HasSubstr("idb:// is storage of a browser; accepted are memory://"));
  EXPECT_THAT(message("opfs-ahp://x"), HasSubstr("opfs-ahp:// is storage of a browser"));
  EXPECT_THAT(message("s3://x"), HasSubstr("is 's3://x'; accepted are"));
  EXPECT_THAT(message("memory://x"), HasSubstr("accepted are"));
  EXPECT_THAT(message("file://"), HasSubstr("without a path"));
  for (const char* text : {"memory:", "file:data", "file:", "memory:/", "file:/x", "a:b", "C:x"}) {
    EXPECT_THAT(message(text), AllOf(HasSubstr("neither a URL nor a path; accepted are memory://"),
                                     HasSubstr(std::string("./") + text)));
  }
  EXPECT_THAT(message(""), HasSubstr("is empty"));
}

TEST(Settings, Accepted) {
  std::vector<std::string> settings;
  EXPECT_TRUE(
      parse_settings(R"( -c a=b  -cc=d --work-mem=1 -c 'x=y z' -c e="f \"g\"" -c h=i\ j -c k= )",
                     &settings)
          .ok());
  EXPECT_THAT(settings,
              ElementsAre("a=b", "c=d", "work_mem=1", "x=y z", "e=f \"g\"", "h=i j", "k="));
  settings.clear();
  EXPECT_TRUE(parse_settings("", &settings).ok());
  EXPECT_THAT(settings, IsEmpty());
}

TEST(Settings, Refused) {
  std::vector<std::string> settings;
  for (const auto& [text, expected] : std::vector<std::pair<std::string, std::string>>{
           {"-c", "-c lacks its name=value"},
           {"-c a", "'a' is not name=value"},
           {"-c =b", "'=b' is not name=value"},
           {"a=b", "'a=b' is not -c name=value"},
           {"-F", "'-F' is not -c name=value"},
           {"-c 'a=b", "the quote ' is not closed"},
           {"-c a=b\\", "a backslash stands at the end"}}) {
    EXPECT_EQ(parse_settings(text, &settings).message(), expected);
  }
}

}  // namespace
}  // namespace pglite::cli
