#include "cli/variables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pglite::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::IsEmpty;

std::vector<std::string> unknown(std::vector<const char*> environment) {
  environment.push_back(nullptr);
  return unknown_variables(environment.data(),
                           {"PGLITE_DATA_DIR", "PGLITE_DATABASE", "PGLITE_DEBUG", "PGLITE_RUN"});
}

TEST(Variables, KnownOnesAndThoseOfOthersAreFine) {
  EXPECT_THAT(unknown({}), IsEmpty());
  EXPECT_THAT(unknown({"PGLITE_DATA_DIR=x", "PGLITE_DEBUG=1=2", "PATH=/", "PGLITE=1", "NPGLITE_X=1",
                       "PGLITE_PORT=/bin/x", "PGLITE_NPM_DIR=y", "PGLITE_EX_ARCHIVE=z", "odd"}),
              IsEmpty());
  EXPECT_THAT(unknown({"PGLITE_DATADIR=", "PGLITE_NOTHING"}), IsEmpty());
}

TEST(Variables, TheNearestIsNamed) {
  const auto nearest = [](const char* name) { return unknown({name}).at(0); };
  EXPECT_EQ(nearest("PGLITE_DATADIR=x"),
            "the variable PGLITE_DATADIR is not known, and has no effect; the nearest is "
            "PGLITE_DATA_DIR");
  EXPECT_THAT(nearest("PGLITE_DBEUG=1"), EndsWith("PGLITE_DEBUG"));       // neighbours exchanged
  EXPECT_THAT(nearest("PGLITE_DATABSE=x"), EndsWith("PGLITE_DATABASE"));  // a letter left out
  EXPECT_THAT(nearest("PGLITE_DATABASES=x"), EndsWith("PGLITE_DATABASE"));
  EXPECT_THAT(nearest("PGLITE_RUM=x"), EndsWith("PGLITE_RUN"));
  EXPECT_THAT(nearest("PGLITE_TELEPHONE=x"), EndsWith("no effect"));
  EXPECT_THAT(nearest("PGLITE_=x"), EndsWith("no effect"));
}

TEST(Variables, EachIsNamedOnce) {
  EXPECT_THAT(unknown({"PGLITE_Z=1", "PGLITE_DEBUG=1", "PGLITE_DEBUGG=1"}),
              ElementsAre(EndsWith("PGLITE_DEBUG"), EndsWith("no effect")));
}

}  // namespace
}  // namespace pglite::cli
