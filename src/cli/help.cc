// CLI11 2.1 neither wraps lines nor lists a parent's options with a subcommand, so the texts are
// laid out here, from what CLI11 knows of the options.
#include "cli/help.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string_view>
#include <vector>

namespace pglite::cli {
namespace {

constexpr size_t kWidth = 79;
constexpr size_t kIndent = 26;  // of what an option does

struct About {
  std::string_view command;
  std::string_view usage;
  std::string_view examples;
  std::vector<std::string_view> ignored;  // the common options that it does not heed
};

const std::vector<About>& abouts() {
  static const std::vector<About> kAbouts = {
      {"port",
       "pglite-port [port] [OPTIONS]",
       R"(  pglite-port -D ./data        # a program speaks with it on its pipes
  echo "select 1;" | pglite-port --framing line
)",
       {}},
      {"serve",
       "pglite-port serve [OPTIONS]",
       R"(  pglite-port serve -D ./data           # localhost:5432
  pglite-port serve --run "mix test" --listen 127.0.0.1:0
  pglite-port serve -D ./data --listen '*:5432' \
    --password-file secret --tls-cert cert.pem --tls-key key.pem
)",
       {"--framing"}},
      {"sql",
       "pglite-port sql [OPTIONS] [URL]",
       R"(  pglite-port sql -D ./data             # a prompt; \? helps, \q leaves
  pglite-port sql -D ./data -c "table t"
  pglite-port sql -D ./data -f script.sql
  pglite-port sql -c "select 1 as a" --format json
  pglite-port sql postgres://alice@localhost/shop
)",
       {"--framing", "--stdin-end"}},
      {"initdb",
       "pglite-port initdb -D DIR [OPTIONS]",
       R"(  pglite-port initdb -D ./data
)",
       {"--autovacuum", "--snapshot", "--save-snapshot", "--framing", "--stdin-end"}},
      {"dump",
       "pglite-port dump [--sql] [OPTIONS] [URL] [-- OPTIONS OF pg_dump]",
       R"(  pglite-port dump -D ./data -o data.tar        # read by restore
  pglite-port dump --sql -D ./data -o data.sql  # read by sql -f
  pglite-port dump --sql -D ./data -- --schema-only
  pglite-port dump --sql postgres://alice@localhost/shop -o shop.sql
)",
       {"-o", "--autovacuum", "--save-snapshot", "--framing", "--stdin-end"}},
      {"restore",
       "pglite-port restore -D DIR [OPTIONS]",
       R"(  pglite-port restore -D ./new -f data.tar
  pglite-port sql -D ./new -f data.sql  # what dump --sql wrote
)",
       {"-U", "-d", "-o", "--autovacuum", "--preload", "--extension-path", "--snapshot",
        "--save-snapshot", "--framing", "--stdin-end"}},
      {"repair",
       "pglite-port repair --reset-wal -D DIR [OPTIONS]",
       R"(  pglite-port repair --reset-wal --dry-run -D ./data  # only tells
  pglite-port repair --reset-wal -D ./data
)",
       {"-d", "-o", "--durability", "--autovacuum", "--preload", "--extension-path", "--snapshot",
        "--save-snapshot", "--framing", "--stdin-end"}},
      {"compile",
       "pglite-port compile FILE...",
       R"(  pglite-port compile ext.tar.gz
  pglite-port sql --extension-path ext.tar.gz -c "create extension ext"
)",
       {"-D", "-U", "-d", "-o", "--durability", "--autovacuum", "--preload", "--extension-path",
        "--snapshot", "--save-snapshot", "--framing", "--stdin-end"}},
  };
  return kAbouts;
}

// Appends `text` in lines of kWidth; the first begins at `column`, the others at `indent`.
void append_wrapped(std::string& out, std::string_view text, size_t column, size_t indent) {
  bool at_start = true;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (!at_start && column + 1 + word.size() > kWidth) {
      out += '\n' + std::string(indent, ' ');
      column = indent;
    } else if (!at_start) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    at_start = false;
  }
  out += '\n';
}

void append_entry(std::string& out, const std::string& name, std::string_view text) {
  out += "  " + name;
  size_t column = 2 + name.size();
  if (column + 2 > kIndent) {
    out += '\n';
    column = 0;
  }
  out.append(kIndent - column, ' ');
  append_wrapped(out, text, kIndent, kIndent);
}

void append_option(std::string& out, const CLI::Option& option) {
  std::string name = option.get_positional() ? option.get_name(true) : option.get_name(false, true);
  for (size_t comma = name.find(','); comma != std::string::npos;
       comma = name.find(',', comma + 2)) {
    name.insert(comma + 1, " ");
  }
  // A long option alone stands below those that have a short name in front.
  if (name.starts_with("--")) name.insert(0, "    ");
  const bool takes_value = option.get_type_size_max() > 0 && !option.get_type_name().empty();
  if (takes_value) name += ' ' + option.get_type_name();
  std::string text = option.get_description();
  if (!option.get_envname().empty()) text += " [" + option.get_envname() + "]";
  append_entry(out, name, text);
}

void append_common(std::string& out, const CLI::App& app,
                   const std::vector<std::string_view>& ignored) {
  for (const CLI::Option* option : app.get_options()) {
    const bool is_about_program = option == app.get_help_ptr() || option->check_name("--version");
    const bool is_ignored = std::ranges::any_of(
        ignored, [&](std::string_view name) { return option->check_name(std::string(name)); });
    if (!is_about_program && !is_ignored) append_option(out, *option);
  }
}

constexpr std::string_view kVariables =
    "What stands in brackets is the variable of the environment for an option; the option wins.\n";

}  // namespace

std::string help_text(const CLI::App& app) {
  std::string out = app.get_description() +
                    "\n\n"
                    "usage: pglite-port COMMAND [OPTIONS]\n\n"
                    "  pglite-port sql -D ./data      # a prompt on a database in ./data\n"
                    "  pglite-port serve -D ./data    # for psql and other clients\n"
                    "  pglite-port help COMMAND       # the options of a command\n"
                    "\n"
                    "Commands:\n";
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    append_entry(out, command->get_name(), command->get_description());
  }
  append_entry(out, "help", "Print this help, or that of a command");
  out += "\nOptions of all commands:\n";
  for (const CLI::Option* option : app.get_options()) append_option(out, *option);
  out += '\n';
  append_wrapped(out, kVariables.substr(0, kVariables.size() - 1), 0, 0);
  return out;
}

std::string help_text(const CLI::App& app, const CLI::App& command) {
  const auto found = std::ranges::find(abouts(), command.get_name(), &About::command);
  const About about = found == abouts().end() ? About{} : *found;
  std::string out;
  append_wrapped(out, command.get_description(), 0, 0);
  out += "\nusage: ";
  append_wrapped(out, about.usage, 7, 7);
  out += '\n';
  out += about.examples;
  out += "\nOptions:\n";
  for (const CLI::Option* option : command.get_options()) append_option(out, *option);
  out += "\nCommon options:\n";
  append_common(out, app, about.ignored);
  out += '\n';
  append_wrapped(out, kVariables.substr(0, kVariables.size() - 1), 0, 0);
  return out;
}

}  // namespace pglite::cli
