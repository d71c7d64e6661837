#include "cli/prompt/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/prompt/prompt.h"

namespace pglite::cli {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

class SmallCatalogue : public Catalogue {
 public:
  Names keywords() override { return {"select", "set", "from", "order", "where"}; }
  Names relations(const std::string& schema) override {
    if (schema.empty()) return {"author", "book", "\"Odd\""};
    return schema == "app" ? Names{"child"} : Names{};
  }
  Names columns(const Relation& relation) override {
    if (relation.name == "book" && relation.schema.empty()) return {"id", "title", "price"};
    if (relation.name == "child" && relation.schema == "app") return {"x"};
    return {};
  }
  Names functions(const std::string& schema) override {
    return schema.empty() ? Names{"lower", "now"} : Names{};
  }
  Names schemas() override { return {"app", "public"}; }
  Names databases() override { return {"postgres", "shop"}; }
  Names roles() override { return {"alice", "bob"}; }
  Names settings() override { return {"search_path", "work_mem"}; }
};

std::vector<std::string> candidates(const std::string& line, const std::string& statement = {}) {
  SmallCatalogue catalogue;
  const Completion completion = complete(statement, line, catalogue);
  EXPECT_LE(completion.begin, line.size());
  return completion.candidates;
}

TEST(Completion, KeywordsInTheCaseThatIsTyped) {
  EXPECT_THAT(candidates("sel"), ElementsAre("select"));
  EXPECT_THAT(candidates("SEL"), ElementsAre("SELECT"));
  EXPECT_THAT(candidates("select 1 fr"), ElementsAre("from"));
  EXPECT_THAT(candidates("select 1; sel"), ElementsAre("select"));
  // A statement begins with some of them only.
  EXPECT_THAT(candidates("whe"), IsEmpty());
}

TEST(Completion, RelationsWhereTheyStand) {
  EXPECT_THAT(candidates("select * from "),
              ElementsAre("\"Odd\"", "app.", "author", "book", "public."));
  EXPECT_THAT(candidates("select * from bo"), ElementsAre("book"));
  EXPECT_THAT(candidates("select * from author a, bo"), ElementsAre("book"));
  EXPECT_THAT(candidates("insert into BO"), ElementsAre("book"));
  EXPECT_THAT(candidates("select * from app."), ElementsAre("app.child"));
  EXPECT_THAT(candidates("select * from \"O"), ElementsAre("\"Odd\""));
  EXPECT_THAT(candidates("bo", "select *\nfrom\n"), ElementsAre("book"));
}

TEST(Completion, ColumnsOfWhatTheStatementNames) {
  EXPECT_THAT(candidates("select * from book where ti"), ElementsAre("title"));
  EXPECT_THAT(candidates("select * from book b where b."),
              ElementsAre("b.id", "b.price", "b.title"));
  EXPECT_THAT(candidates("select * from book as b, app.child c where c."), ElementsAre("c.x"));
  EXPECT_THAT(candidates("update book set "), ElementsAre("id", "price", "title"));
  EXPECT_THAT(candidates("select app.child."), ElementsAre("app.child.x"));
  EXPECT_THAT(candidates("insert into book (pr"), ElementsAre("price"));
}

TEST(Completion, FunctionsAndOtherNames) {
  EXPECT_THAT(candidates("select lo"), ElementsAre("lower("));
  EXPECT_THAT(candidates("set s"), ElementsAre("search_path"));
  EXPECT_THAT(candidates("drop schema "), ElementsAre("app", "public"));
  EXPECT_THAT(candidates("drop database sh"), ElementsAre("shop"));
  EXPECT_THAT(candidates("alter table t owner to "), ElementsAre("alice", "bob"));
}

TEST(Completion, NothingWithinStringsAndComments) {
  EXPECT_THAT(candidates("select 'sel"), IsEmpty());
  EXPECT_THAT(candidates("select 1 -- sel"), IsEmpty());
  EXPECT_THAT(candidates("select /* sel"), IsEmpty());
}

TEST(Completion, CommandsAndTheirArguments) {
  EXPECT_THAT(candidates("\\d"), AllOf(Contains("\\dt"), Contains("\\d"), Not(Contains("\\x"))));
  EXPECT_THAT(candidates("\\d bo"), ElementsAre("book"));
  EXPECT_THAT(candidates("\\dt app."), ElementsAre("app.child"));
  EXPECT_THAT(candidates("\\c sh"), ElementsAre("shop"));
  EXPECT_THAT(candidates("\\x "), ElementsAre("auto", "off", "on"));
  EXPECT_THAT(candidates("\\copy bo"), ElementsAre("book"));
  EXPECT_THAT(candidates("\\copy book f"), ElementsAre("from"));
  EXPECT_THAT(candidates("\\i /dev/nul"), ElementsAre("/dev/null"));
  EXPECT_THAT(candidates("\\copy book to /dev/nul"), ElementsAre("/dev/null"));
}

TEST(Completion, CommonBeginning) {
  EXPECT_EQ(common_beginning({}), "");
  EXPECT_EQ(common_beginning({"title"}), "title");
  EXPECT_EQ(common_beginning({"author", "author_id"}), "author");
  // U+00E4 and U+00E5 begin with the same byte.
  EXPECT_EQ(common_beginning({"h\u00e4", "h\u00e5"}), "h");
}

TEST(PromptText, ShowsWhatIsOpenAndTheTransaction) {
  using Open = StatementReader::Open;
  EXPECT_EQ(prompt_text("db", Open::kNothing, 'I', true), "db=# ");
  EXPECT_EQ(prompt_text("db", Open::kNothing, 'I', false), "db=> ");
  EXPECT_EQ(prompt_text("db", Open::kNothing, 'T', true), "db=*# ");
  EXPECT_EQ(prompt_text("db", Open::kStatement, 'E', true), "db-!# ");
  EXPECT_EQ(prompt_text("db", Open::kString, 'I', true), "db'# ");
  EXPECT_EQ(prompt_text("db", Open::kIdentifier, 'I', true), "db\"# ");
  EXPECT_EQ(prompt_text("db", Open::kDollar, 'I', true), "db$# ");
  EXPECT_EQ(prompt_text("db", Open::kComment, 'I', true), "db*# ");
  EXPECT_EQ(prompt_text("db", Open::kParenthesis, 'I', true), "db(# ");
}

}  // namespace
}  // namespace pglite::cli
