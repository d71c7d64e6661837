#!/usr/bin/env python3
"""Writes the manual page and the shell completions, from what the program says of its options.

usage: make_manual.py PROGRAM [DIRECTORY]

Writes docs/man/pglite-port.1 and completions/ below DIRECTORY (by default this repository). They are in the repository,
because a program that was built for another machine cannot be asked; tests/tools/test_manual.py holds them to the program.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Of an option's line, what is not its text: behind two spaces, or on a line of its own.
ENTRY = re.compile(r"  +(?P<name>\S.*?)(?:  +(?P<text>\S.*))?$")
TEXT_COLUMN = 26


@dataclass
class Option:
    flags: list[str]  # none for an argument
    value: str  # as the help names it, or nothing
    text: str
    variable: str | None = None

    @property
    def repeatable(self) -> bool:
        return "may be repeated" in self.text or self.flags == ["-o"]

    @property
    def choices(self) -> list[str]:
        if self.value == "0..5":
            return list("012345")
        return self.value.split("|") if "|" in self.value else []

    @property
    def takes(self) -> str:
        """What kind of thing its value is: choice, directory, file, command, text, or nothing."""
        if self.choices:
            return "choice"
        kinds = {"DIR": "directory", "FILE": "file", "FILE:...": "file", "COMMAND": "command"}
        return kinds.get(self.value, "text") if self.value else ""


@dataclass
class Command:
    name: str
    about: str
    examples: list[str] = field(default_factory=list)
    options: list[Option] = field(default_factory=list)
    common: list[str] = field(default_factory=list)  # a flag of each option of all commands that it heeds


def run(program: str, *arguments: str) -> str:
    # As wide as it is anywhere, and without what a user has set.
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=True, env={}).stdout


def sections(text: str) -> dict[str, list[str]]:
    """The lines below each "Title:", and those above the first one below ""."""
    found: dict[str, list[str]] = {"": []}
    title = ""
    for line in text.splitlines():
        if re.fullmatch(r"[A-Z][a-z ]+:", line):
            title = line[:-1]
            found[title] = []
        elif title and not line.strip():
            title = "rest"
            found.setdefault(title, [])
        else:
            found[title].append(line)
    return found


def entries(lines: list[str]) -> list[tuple[str, str]]:
    """(name, text) of each entry of a list."""
    found: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith(" " * TEXT_COLUMN):
            name, text = found[-1]
            found[-1] = (name, f"{text} {line.strip()}".strip())
        else:
            match = ENTRY.match(line)
            if match is None:
                sys.exit(f"make_manual: this is no entry of the help: {line!r}")
            found.append((match["name"], match["text"] or ""))
    return found


def option(name: str, text: str) -> Option:
    variable = re.search(r" ?\[(\w+)\]$", text)
    if variable:
        text = text[: variable.start()]
    if not name.startswith("-"):
        return Option([], name, text)
    match = re.fullmatch(r"(-[^ ,]+(?:, -[^ ,]+)*)(?: (.+))?", name)
    assert match, name
    return Option(match[1].split(", "), match[2] or "", text, variable[1] if variable else None)


def read(program: str) -> tuple[list[Command], list[Option]]:
    top = sections(run(program, "--help"))
    options = [option(*entry) for entry in entries(top["Options of all commands"])]
    commands = []
    for name, about in entries(top["Commands"]):
        command = Command(name, about)
        if name != "help":
            help_text = sections(run(program, "help", name))
            head = help_text[""]
            start = next(i for i, line in enumerate(head) if line.startswith("usage: "))
            end = head.index("", start)
            command.examples = [line[2:] for line in head[end + 1:] if line.strip()]
            command.options = [option(*entry) for entry in entries(help_text["Options"])]
            command.common = [option(*entry).flags[-1] for entry in entries(help_text.get("Common options", []))]
        commands.append(command)
    return commands, options


# --- The manual page, in mdoc ---


def roff(text: str) -> str:
    text = text.replace("\\", "\\e")
    text = re.sub(r"(^|(?<=[\s(]))-+", lambda match: match[0].replace("-", r"\-"), text)
    return re.sub(r"^[.']", r"\\&\g<0>", text)


def literal(lines: list[str]) -> list[str]:
    return [".Bd -literal -offset 2n", *(roff(line).replace("\\-", "-").replace("-", r"\-") for line in lines), ".Ed"]


def item(option: Option) -> list[str]:
    value = f" Ar {roff(option.value)}" if option.value else ""
    if option.choices and "|" in option.value:
        value = " Cm " + " | ".join(option.choices)
    if not option.flags:
        head = f".It Ar {option.value}"
    else:
        head = ".It " + " , ".join(f"Fl {flag[1:]}" for flag in option.flags) + value
    lines = [head, *filter(None, [roff(option.text)])]
    lines[-1] += "." if not lines[-1].endswith(".") and option.text else ""
    if option.variable:
        lines.append(f".Pq Ev {option.variable}")
    return lines


def items(options: list[Option]) -> list[str]:
    return [line for each in options for line in item(each)]


def without_help(options: list[Option]) -> list[Option]:
    return [each for each in options if "--help" not in each.flags]


def flags(words: list[str]) -> str:
    return " ,\n".join(f".Fl {word[1:]}" for word in words)


def command_section(command: Command, options: list[Option]) -> list[str]:
    about = command.about[0].upper() + command.about[1:]
    lines = [f".Ss {command.name}", roff(about) + "."]
    if command.examples:
        lines += literal(command.examples)
    own = without_help(command.options)
    if own:
        lines += [".Bl -tag -width Ds", *items(own), ".El"]
    ignored = [each.flags[-1] for each in without_help(options)
               if each.flags[-1] not in command.common and "--version" not in each.flags]
    if command.common and ignored:
        lines += [".Pp", "Of the options below it does not heed", flags(ignored) + " ."]
    return lines


def manual(commands: list[Command], options: list[Option], version: str) -> str:
    template = (ROOT / "docs/man/pglite-port.1.in").read_text()
    names = re.match(r"(pglite-port \S+) \(PGlite (\S+), PostgreSQL (\S+)\)", version)
    places = [("", each) for each in options]
    places += [(command.name, each) for command in commands for each in command.options]
    variables = sorted(((each.variable, command, each) for command, each in places if each.variable),
                       key=lambda entry: entry[:2])
    environment = [".Bl -tag -width PGLITE_SQL_SINGLE_TRANSACTION -compact"]
    for name, command, each in variables:
        where = f"of\n.Cm {command}" if command else None
        environment += [f".It Ev {name}", f".Fl {each.flags[-1][1:]}", *filter(None, [where])]
    environment.append(".El")
    parts = {
        "COMMANDS": [line for command in commands for line in command_section(command, options)],
        "OPTIONS": items(options),
        "ENVIRONMENT": environment,
        "PROGRAM": [names[1]],
        "PGLITE": [names[2]],
        "POSTGRES": [names[3]],
    }
    return re.sub(r"@([A-Z]+)@", lambda match: "\n".join(parts[match[1]]), template)


# --- Completions ---

# In fish and zsh an option has a description: the first of what the help says.


def brief(text: str) -> str:
    text = re.split(r"[;:]\s|\.\s", text)[0]
    return text if len(text) <= 60 else text[:57].rsplit(" ", 1)[0] + "..."


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def options_of(command: Command, options: list[Option]) -> list[Option]:
    """Those that make sense behind the command: its own, and the common ones that it heeds."""
    own = {flag for each in command.options for flag in each.flags}
    common = [each for each in options if each.flags[-1] in command.common and each.flags[-1] not in own]
    return command.options + common


HEAD = "Made by scripts/make_manual.py of what --help says (make manual)."


def bash(commands: list[Command], options: list[Option]) -> str:
    def words(some: list[Option]) -> str:
        return " ".join(flag for each in some for flag in each.flags)

    def cases(some: list[Option], indent: str) -> list[str]:
        lines = []
        for each in some:
            if not each.takes:
                continue
            replies = {
                "choice": f'compgen -W "{" ".join(each.choices)}" -- "$word"',
                "directory": 'compgen -d -- "$word"',
                "file": 'compgen -f -- "$word"',
                "command": 'compgen -c -- "$word"',
                "text": "",
            }[each.takes]
            lines.append(f"{indent}{' | '.join(each.flags)})")
            if each.takes in ("directory", "file"):
                lines.append(f"{indent}  compopt -o filenames 2>/dev/null")
            if replies:
                lines.append(f"{indent}  mapfile -t COMPREPLY < <({replies})")
            lines += [f"{indent}  return", f"{indent}  ;;"]
        return lines

    names = " ".join(command.name for command in commands)
    lines = [
        f"# bash completion for pglite-port. {HEAD}",
        "# shellcheck shell=bash",
        "",
        "_pglite_port() {",
        '  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command="" i',
        "  COMPREPLY=()",
        "  # --option=value comes as three words.",
        '  if [ "$word" = "=" ]; then',
        '    word=""',
        '  elif [ "$before" = "=" ]; then',
        "    before=${COMP_WORDS[COMP_CWORD - 2]}",
        "  fi",
        "  for ((i = 1; i < COMP_CWORD; i++)); do",
        '    case " ' + names + ' " in',
        '      *" ${COMP_WORDS[i]} "*)',
        "        command=${COMP_WORDS[i]}",
        "        break",
        "        ;;",
        "    esac",
        "  done",
        '  case "$command:$before" in',
    ]
    # What an option takes depends on the command: -o is settings here, and a file there.
    for command in commands:
        common = {flag for each in options for flag in each.flags}
        for each in command.options:
            if each.takes and common & set(each.flags):
                lines += [line for line in cases(
                    [Option([f"{command.name}:{flag}" for flag in each.flags if flag in common], each.value, each.text)],
                    "    ")]
    lines += ["  esac", '  case "$before" in']
    seen: set[str] = set()
    for each in options + [one for command in commands for one in command.options]:
        fresh = [flag for flag in each.flags if flag not in seen]
        seen.update(fresh)
        if fresh:
            lines += cases([Option(fresh, each.value, each.text)], "    ")
    lines += ["  esac", '  case "$command" in']
    for command in commands:
        lines.append(f"    {command.name})")
        if command.name == "help":
            lines.append(f'      mapfile -t COMPREPLY < <(compgen -W "{names}" -- "$word")')
        else:
            if any(not each.flags and each.value.startswith("FILE") for each in command.options):
                lines += ["      compopt -o filenames 2>/dev/null",
                          '      [[ $word == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$word")']
            lines += [f'      local known="{words(options_of(command, options))}"',
                      '      [[ $word != -* ]] || mapfile -t COMPREPLY < <(compgen -W "$known" -- "$word")']
        lines.append("      ;;")
    lines += [
        '    "")',
        f'      mapfile -t COMPREPLY < <(compgen -W "{names} {words(options)}" -- "$word")',
        "      ;;",
        "  esac",
        "}",
        "",
        "complete -F _pglite_port pglite-port",
    ]
    return "\n".join(lines) + "\n"


def zsh(commands: list[Command], options: list[Option]) -> str:
    def specification(each: Option) -> str:
        def escape(text: str) -> str:
            return re.sub(r"([\[\]:\\])", r"\\\1", text)

        action = {
            "choice": f":{each.value if each.value != '0..5' else 'level'}:({' '.join(each.choices)})",
            "directory": ":directory:_directories",
            "file": ":file:_files",
            "command": ":command:_command_names -e",
            "text": f":{escape(each.value)}: ",
            "": "",
        }[each.takes]
        action = action.replace("|", " or ")
        if not each.flags:
            return quoted("*:file:_files" if each.value.startswith("FILE") else f"::{escape(brief(each.text))}: ")
        text = f"[{escape(brief(each.text))}]{action}"
        if len(each.flags) == 1:
            return quoted(("*" if each.repeatable else "") + each.flags[0] + text)
        group = "*" if each.repeatable else f"({' '.join(each.flags)})"
        return f"{quoted(group)}{{{','.join(each.flags)}}}{quoted(text)}"

    def arguments(some: list[Option], indent: str) -> list[str]:
        return [f"{indent}{specification(each)} \\" for each in some]

    lines = [
        "#compdef pglite-port",
        f"# {HEAD}",
        "",
        "_pglite_port() {",
        "  local curcontext=$curcontext context state state_descr line",
        "  typeset -A opt_args",
        "  local -a commands=(",
        *(f"    {quoted(command.name + ':' + brief(command.about))}" for command in commands),
        "  )",
        "  _arguments -C -s \\",
        *arguments(options, "    "),
        "    '1: :->command' \\",
        "    '*:: :->rest' && return 0",
        "  case $state in",
        "    command) _describe -t commands command commands ;;",
        "    rest)",
        "      case $line[1] in",
    ]
    for command in commands:
        if command.name == "help":
            lines += ["        help) _describe -t commands command commands ;;"]
            continue
        lines += [f"        {command.name})", "          _arguments -s \\",
                  *arguments(options_of(command, options), "            ")]
        lines[-1] = lines[-1].removesuffix(" \\")
        lines.append("          ;;")
    lines += ["      esac", "      ;;", "  esac", "}", "", '_pglite_port "$@"']
    return "\n".join(lines) + "\n"


def fish(commands: list[Command], options: list[Option]) -> str:
    names = " ".join(command.name for command in commands)

    def line(condition: str, each: Option) -> str:
        parts = ["complete -c pglite-port", f"-n {quoted(condition)}"]
        for flag in each.flags:
            parts.append(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}")
        parts.append({
            "choice": f"-x -a {quoted(' '.join(each.choices))}",
            "directory": "-x -a '(__fish_complete_directories)'",
            "file": "-r -F",
            "command": "-x -a '(__fish_complete_command)'",
            "text": "-x",
            "": "",
        }[each.takes])
        parts.append(f"-d {quoted(brief(each.text))}")
        return " ".join(part for part in parts if part)

    none = f"not __fish_seen_subcommand_from {names}"
    lines = [f"# fish completion for pglite-port. {HEAD}", "", "complete -c pglite-port -f"]
    lines += [f"complete -c pglite-port -n {quoted(none)} -a {command.name} -d {quoted(brief(command.about))}"
              for command in commands]
    lines += [line(none, each) for each in options]
    for command in commands:
        seen = f"__fish_seen_subcommand_from {command.name}"
        if command.name == "help":
            lines.append(f"complete -c pglite-port -n {quoted(seen)} -a {quoted(names)}")
        for each in options_of(command, options) if command.name != "help" else []:
            if each.flags:
                lines.append(line(seen, each))
            elif each.value.startswith("FILE"):
                lines.append(f"complete -c pglite-port -n {quoted(seen)} -F")
    return "\n".join(lines) + "\n"


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__.splitlines()[2], file=sys.stderr)
        return 64
    program = str(Path(sys.argv[1]).resolve())
    directory = Path(sys.argv[2]) if len(sys.argv) == 3 else ROOT
    commands, options = read(program)
    for name, text in {
        "docs/man/pglite-port.1": manual(commands, options, run(program, "--version")),
        "completions/pglite-port.bash": bash(commands, options),
        "completions/_pglite-port": zsh(commands, options),
        "completions/pglite-port.fish": fish(commands, options),
    }.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
