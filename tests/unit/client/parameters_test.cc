#include "client/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <vector>

#include "client/password_file.h"

namespace pglite::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Optional;

class ParametersTest : public ::testing::Test {
 protected:
  ParametersTest() {
    home = std::filesystem::temp_directory_path().string() + "/parameters." +
           std::to_string(::getpid());
    std::filesystem::create_directories(home);
    environment["HOME"] = home;
    sources.environment = [this](const char* name) -> const char* {
      const auto found = environment.find(name);
      return found == environment.end() ? nullptr : found->second.c_str();
    };
    sources.warn = [this](std::string_view line) { warnings.emplace_back(line); };
  }
  ~ParametersTest() override { std::filesystem::remove_all(home); }

  Status read(const std::string& url) {
    sources.url = url;
    return read_parameters(sources, &parameters);
  }
  void expect_good(const std::string& url) {
    const Status status = read(url);
    EXPECT_TRUE(status.ok()) << url << ": " << status.message();
  }
  std::string refusal(const std::string& url) {
    const Status status = read(url);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << url;
    return status.message();
  }
  void write(const std::string& name, const std::string& content, mode_t mode = 0600) const {
    std::filesystem::create_directories(std::filesystem::path(home + "/" + name).parent_path());
    std::ofstream(home + "/" + name) << content;
    ASSERT_EQ(::chmod((home + "/" + name).c_str(), mode), 0);
  }

  std::string home;
  std::map<std::string, std::string> environment;
  ParameterSources sources;
  Parameters parameters;
  std::vector<std::string> warnings;
};

TEST_F(ParametersTest, Defaults) {
  expect_good("postgres://alice@h");
  EXPECT_EQ(parameters.host, "h");
  EXPECT_EQ(parameters.port, 5432);
  EXPECT_EQ(parameters.user, "alice");
  EXPECT_EQ(parameters.database, "alice");
  EXPECT_EQ(parameters.password, std::nullopt);
  EXPECT_EQ(parameters.tls, TlsMode::kPrefer);
  EXPECT_EQ(parameters.channel_binding, ChannelBinding::kPrefer);
  EXPECT_EQ(parameters.connect_timeout.count(), 0);
  EXPECT_FALSE(parameters.direct_tls);
  EXPECT_THAT(warnings, IsEmpty());
}

TEST_F(ParametersTest, TheUrlThenOptionsThenTheEnvironment) {
  environment = {{"PGUSER", "env"},       {"PGDATABASE", "envdb"}, {"PGPORT", "1"},
                 {"PGPASSWORD", "envpw"}, {"PGHOST", "envhost"},   {"PGAPPNAME", "envapp"},
                 {"USER", "me"}};
  expect_good("postgres://");
  EXPECT_EQ(parameters.place(), "envhost:1");
  EXPECT_EQ(parameters.user, "env");
  EXPECT_EQ(parameters.database, "envdb");
  EXPECT_THAT(parameters.password, Optional(std::string("envpw")));
  EXPECT_EQ(parameters.application_name, "envapp");
  sources.user = "option";
  sources.database = "optiondb";
  expect_good("postgres://");
  EXPECT_EQ(parameters.user, "option");
  EXPECT_EQ(parameters.database, "optiondb");
  expect_good("postgres://u:p@h:2/d");
  EXPECT_EQ(parameters.user, "u");
  EXPECT_EQ(parameters.database, "d");
  EXPECT_EQ(parameters.place(), "h:2");
  EXPECT_THAT(parameters.password, Optional(std::string("p")));
}

TEST_F(ParametersTest, WhoRunsThis) {
  EXPECT_THAT(refusal("postgres://h"), HasSubstr("names no user"));
  environment["USER"] = "me";
  expect_good("postgres://h");
  EXPECT_EQ(parameters.user, "me");
}

TEST_F(ParametersTest, Places) {
  expect_good("postgres://u@[::1]");
  EXPECT_EQ(parameters.place(), "[::1]:5432");
  expect_good("postgres://u@%2Ftmp:77/d");
  EXPECT_EQ(parameters.place(), "/tmp/.s.PGSQL.77");
  EXPECT_TRUE(parameters.is_unix_socket());
  EXPECT_THAT(refusal("postgres://u@h/?host=a,b"), HasSubstr("several hosts"));
}

TEST_F(ParametersTest, PortsAreNotShown) {
  for (const char* url : {"postgres://u:secret/x@h", "postgres://u@h:0", "postgres://u@h:65536",
                          "postgres://u@h:1x"}) {
    EXPECT_THAT(refusal(url), HasSubstr("no number from 1 to 65535")) << url;
    EXPECT_THAT(refusal(url), Not(HasSubstr("secret")));
  }
}

TEST_F(ParametersTest, UnknownParameters) {
  EXPECT_THAT(refusal("postgres://u@h?sslcert=x"),
              HasSubstr("'sslcert', which is not known; accepted are host, "));
  EXPECT_THAT(refusal("postgres://u@h?Sslmode=x"), HasSubstr("'Sslmode'"));
  EXPECT_THAT(refusal("postgres://u@h?sslmode=strict"),
              HasSubstr("sslmode is 'strict'; accepted is disable, allow, prefer,"));
  EXPECT_THAT(refusal("postgres://u@h?channel_binding=on"), HasSubstr("channel_binding is 'on'"));
  EXPECT_THAT(refusal("postgres://u@h?sslnegotiation=x"),
              HasSubstr("accepted is postgres, direct"));
  EXPECT_THAT(refusal("postgres://u@h?connect_timeout=1s"), HasSubstr("a number of seconds"));
}

TEST_F(ParametersTest, Tls) {
  expect_good("postgres://u@h?sslmode=disable");
  EXPECT_EQ(parameters.tls, TlsMode::kDisable);
  EXPECT_THAT(refusal("postgres://u@h?sslnegotiation=direct"),
              HasSubstr("accepted is require, verify-ca or verify-full"));
  expect_good(
      "postgres://"
      "u@h?sslnegotiation=direct&sslmode=require&channel_binding=require&connect_timeout=7");
  EXPECT_TRUE(parameters.direct_tls);
  EXPECT_EQ(parameters.channel_binding, ChannelBinding::kRequire);
  EXPECT_EQ(parameters.connect_timeout.count(), 7);
}

TEST_F(ParametersTest, Authorities) {
  const Status missing = read("postgres://u@h?sslmode=verify-full");
  EXPECT_EQ(missing.code(), StatusCode::kIoError);
  EXPECT_THAT(missing.message(), HasSubstr(home + "/.postgresql/root.crt is not there"));
  EXPECT_EQ(read("postgres://u@h?sslmode=verify-ca&sslrootcert=/nonexistent").code(),
            StatusCode::kIoError);
  write(".postgresql/root.crt", "");
  for (const char* mode : {"verify-ca", "verify-full", "require", "prefer"}) {
    expect_good(std::string("postgres://u@h?sslmode=") + mode);
    EXPECT_EQ(parameters.root_certificate, home + "/.postgresql/root.crt") << mode;
  }
  expect_good("postgres://u@h?sslrootcert=system");
  EXPECT_EQ(parameters.tls, TlsMode::kVerifyFull);
  EXPECT_EQ(parameters.root_certificate, "system");
  EXPECT_THAT(refusal("postgres://u@h?sslrootcert=system&sslmode=verify-ca"),
              HasSubstr("accepted is verify-full"));
}

TEST_F(ParametersTest, PasswordFile) {
  write(".pgpass", "h:5432:d:u:from file\n");
  expect_good("postgres://u@h/d");
  EXPECT_THAT(parameters.password, Optional(std::string("from file")));
  expect_good("postgres://u:given@h/d");
  EXPECT_THAT(parameters.password, Optional(std::string("given")));
  expect_good("postgres://u@h:5433/d");
  EXPECT_EQ(parameters.password, std::nullopt);
  write("other", "localhost:*:*:*:socket\n");
  expect_good("postgres://u@%2Ftmp/d?passfile=" + home + "/other");
  EXPECT_THAT(parameters.password, Optional(std::string("socket")));
  environment["PGPASSFILE"] = home + "/nonexistent";
  expect_good("postgres://u@h/d");
  EXPECT_EQ(parameters.password, std::nullopt);
  EXPECT_THAT(warnings, IsEmpty());
}

TEST_F(ParametersTest, PasswordFileThatOthersMayRead) {
  write(".pgpass", "*:*:*:*:secret\n", 0640);
  expect_good("postgres://u@h/d");
  EXPECT_EQ(parameters.password, std::nullopt);
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("others than its owner have access")));
  warnings.clear();
  expect_good("postgres://u@h/d?passfile=/dev/zero");
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("is ignored")));
}

TEST(PasswordFile, Lines) {
  const PasswordKey key{"h", "1", "d:b", "u\\x"};
  const char* content =
      "# h:1:d\\:b:u\\\\x:comment\n"
      "\n"
      "h:1:d\\:b\n"
      "h:2:*:*:other port\n"
      "\\*:1:*:*:a star\n"
      "h:*:d\\:b:u\\\\x:p\\:w\\\\ :x\r\n"
      "*:*:*:*:late\n";
  EXPECT_THAT(find_password(content, key), Optional(std::string("p:w\\ :x")));
  EXPECT_THAT(find_password("*:*:*:*:", key), Optional(std::string()));
  EXPECT_EQ(find_password("*:*:*", key), std::nullopt);
  EXPECT_EQ(find_password("", key), std::nullopt);
}

}  // namespace
}  // namespace pglite::client
