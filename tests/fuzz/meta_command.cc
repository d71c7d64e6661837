// psql's commands, and what Tab makes of a line.
#include "cli/prompt/meta_command.h"

#include <algorithm>

#include "cli/prompt/completion.h"
#include "cli/prompt/copy_command.h"
#include "cli/prompt/describe.h"
#include "cli/prompt/name_pattern.h"
#include "target.h"

namespace pglite::fuzz {

namespace {

class FixedCatalogue : public cli::Catalogue {
 public:
  Names keywords() override { return {"select", "from"}; }
  Names relations(const std::string&) override { return {"fruit", "\"Odd one\""}; }
  Names columns(const Relation&) override { return {"name", "n\xc3\xa4me"}; }
  Names functions(const std::string&) override { return {"lower"}; }
  Names schemas() override { return {"public"}; }
  Names databases() override { return {"postgres"}; }
  Names roles() override { return {"alice"}; }
  Names settings() override { return {"work_mem"}; }
};

}  // namespace

std::vector<std::string> seeds() {
  return {"\\dt+ app.\"A b\"* 'x\\n\\101' \\\\ select",
          "\\copy app.\"T\" (a, b) from '/dev/null''' with (format csv)",
          "\\copy (select ')' from t) to stdout",
          "select f.n from fruit as f, \"Odd one\" o where o.",
          "insert into fruit (na",
          "select 'open"};
}

}  // namespace pglite::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pglite::cli;
  const std::string line(reinterpret_cast<const char*>(data), size);
  const MetaCommand command = parse_meta_command("\\" + line);
  FUZZ_CHECK(command.size <= line.size() + 1);
  FUZZ_CHECK(command.name.size() + command.rest.size() == line.size());
  for (const std::string& argument : command.arguments) {
    (void)identifier_named(argument);
    (void)parse_name_pattern(argument);
  }
  const CopyCommand copy = parse_copy_command(line);
  FUZZ_CHECK(copy.error.empty() != copy.sql.empty());
  DescribeRequest request;
  (void)parse_describe(line, &request);

  pglite::fuzz::FixedCatalogue catalogue;
  // No names of files: a name could be that of something slow.
  if (line.find('\\') != std::string::npos) return 0;
  const size_t half = line.size() / 2;
  const Completion completion = complete(line.substr(0, half), line.substr(half), catalogue);
  FUZZ_CHECK(completion.begin <= line.size() - half);
  FUZZ_CHECK(std::ranges::is_sorted(completion.candidates));
  (void)common_beginning(completion.candidates);
  return 0;
}
