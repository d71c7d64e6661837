// Characters, locales and streams.
#include <wchar.h>
#include <wctype.h>

#include <array>
#include <cctype>
#include <clocale>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "darwin.h"

namespace pglite::loader {

namespace {

// runetype.h, as far as macros read it; what a class has for characters beyond is asked for by
// calls.
struct RuneLocale {
  char magic[8];
  char encoding[32];
  void* functions[2];
  int32_t invalid;
  uint32_t types[256];
  int32_t lower[256];
  int32_t upper[256];
  void* others[32];
};
static_assert(offsetof(RuneLocale, types) == 60);

uint32_t type_of(wint_t character) {
  uint32_t type = 0;
  if (iswalpha(character) != 0) type |= 0x100;
  if (iswcntrl(character) != 0) type |= 0x200;
  if (iswdigit(character) != 0) type |= 0x400;
  if (iswgraph(character) != 0) type |= 0x800;
  if (iswlower(character) != 0) type |= 0x1000;
  if (iswpunct(character) != 0) type |= 0x2000;
  if (iswspace(character) != 0) type |= 0x4000;
  if (iswupper(character) != 0) type |= 0x8000;
  if (iswxdigit(character) != 0) type |= 0x10000;
  if (iswblank(character) != 0) type |= 0x20000;
  if (iswprint(character) != 0) type |= 0x40000;
  return type;
}

RuneLocale& default_locale() {
  static RuneLocale made = [] {
    RuneLocale locale{};
    for (int i = 0; i < 128; ++i) {
      locale.types[i] = type_of(static_cast<wint_t>(i));
      locale.lower[i] = std::tolower(i);
      locale.upper[i] = std::toupper(i);
    }
    for (int i = 128; i < 256; ++i) locale.lower[i] = locale.upper[i] = i;
    return locale;
  }();
  return made;
}

uint32_t masked_type(int character, unsigned long mask) {
  return type_of(static_cast<wint_t>(character)) & static_cast<uint32_t>(mask);
}
int to_lower(int character) {
  return static_cast<int>(towlower(static_cast<wint_t>(character)));
}
int to_upper(int character) {
  return static_cast<int>(towupper(static_cast<wint_t>(character)));
}

int& most_bytes() {
  static int bytes = 1;
  return bytes;
}

char* set_locale(int category, const char* name) {
  constexpr std::array<int, 7> kCategories = {LC_ALL,     LC_COLLATE, LC_CTYPE,   LC_MONETARY,
                                              LC_NUMERIC, LC_TIME,    LC_MESSAGES};
  if (category < 0 || static_cast<size_t>(category) >= kCategories.size()) return nullptr;
  char* const result = std::setlocale(kCategories[static_cast<size_t>(category)], name);
  most_bytes() = static_cast<int>(MB_CUR_MAX);
  return result;
}

// The program makes none; without one, it means C's.
locale_t c_locale() {
  static const locale_t made = newlocale(LC_ALL_MASK, "C", nullptr);
  return made;
}

class InLocale {
 public:
  InLocale() : before_(uselocale(c_locale())) {}
  ~InLocale() { uselocale(before_); }
  InLocale(const InLocale&) = delete;
  InLocale& operator=(const InLocale&) = delete;

 private:
  locale_t before_;
};

// The locale stands between the others and is the last one: each as its function has it.
int print_to(char** to, locale_t /*locale*/, const char* format, ...) {
  const InLocale in_c;
  va_list arguments;
  va_start(arguments, format);
  const int count = vasprintf(to, format, arguments);
  va_end(arguments);
  return count;
}
int print_into(char* to, size_t size, locale_t /*locale*/, const char* format, ...) {
  const InLocale in_c;
  va_list arguments;
  va_start(arguments, format);
  const int count = std::vsnprintf(to, size, format, arguments);
  va_end(arguments);
  return count;
}

template <auto kFunction, class Result, class... Arguments>
struct InC {
  static Result call(Arguments... arguments, locale_t /*locale*/) {
    const InLocale in_c;
    return call_noted<kFunction, Result, Arguments...>(arguments...);
  }
};
template <auto kFunction, class Result, class... Arguments>
const void* in_c_as(Result (* /*function*/)(Arguments...)) {
  return reinterpret_cast<const void*>(&InC<kFunction, Result, Arguments...>::call);
}
template <auto kFunction>
const void* in_c() {
  return in_c_as<kFunction>(kFunction);
}

void free_locale(locale_t locale) {
  if (locale != nullptr) freelocale(locale);
}
size_t most_bytes_in(locale_t /*locale*/) {
  return 1;
}

char* error_text(int error) {
  return std::strerror(from_darwin_error(error));
}
int error_text_into(int error, char* text, size_t size) {
  std::snprintf(text, size, "%s", error_text(error));
  return 0;
}
char* signal_text(int signal) {
  return strsignal(from_darwin_signal(signal));
}

FILE* open_stream(const char* path, const char* mode) {
  FILE* const stream = std::fopen(path, mode);
  if (stream == nullptr) note_error();
  return stream;
}

}  // namespace

Exports text_exports() {
  static const auto exports = std::to_array<Export>({
      {"_DefaultRuneLocale", &default_locale()},
      {"__maskrune", code(masked_type)},
      {"__tolower", code(to_lower)},
      {"__toupper", code(to_upper)},
      {"__mb_cur_max", &most_bytes()},
      {"____mb_cur_max_l", code(most_bytes_in)},
      {"___mb_cur_max_l", code(most_bytes_in)},
      {"setlocale", code(set_locale)},
      {"freelocale", code(free_locale)},
      {"asprintf_l", reinterpret_cast<const void*>(&print_to)},
      {"snprintf_l", reinterpret_cast<const void*>(&print_into)},
      {"strtod_l", in_c<&strtod>()},
      {"strtof_l", in_c<&strtof>()},
      {"strtold_l", in_c<&strtold>()},
      {"strftime_l", in_c<&strftime>()},
      {"mbrlen_l", in_c<&mbrlen>()},
      {"mbrtowc_l", in_c<&mbrtowc>()},
      {"mbsnrtowcs_l", in_c<&mbsnrtowcs>()},
      {"mbsrtowcs_l", in_c<&mbsrtowcs>()},
      {"mbtowc_l", in_c<&mbtowc>()},
      {"wcrtomb_l", in_c<&wcrtomb>()},
      {"wcsnrtombs_l", in_c<&wcsnrtombs>()},
      {"strtol", wrapped<&strtol>()},
      {"strtoul", wrapped<&strtoul>()},
      {"strtoll", wrapped<&strtoll>()},
      {"strtoull", wrapped<&strtoull>()},
      {"strtod", wrapped<&strtod>()},
      {"strtold", wrapped<&strtold>()},
      {"wcstol", wrapped<&wcstol>()},
      {"mbrtowc", wrapped<&mbrtowc>()},
      {"wcrtomb", wrapped<&wcrtomb>()},
      {"strerror", code(error_text)},
      {"strerror_r", code(error_text_into)},
      {"strsignal", code(signal_text)},
      {"__stdinp", static_cast<const void*>(&stdin)},
      {"__stdoutp", static_cast<const void*>(&stdout)},
      {"__stderrp", static_cast<const void*>(&stderr)},
      {"fopen", code(open_stream)},
      {"fopen$DARWIN_EXTSN", code(open_stream)},
      {"fdopen", wrapped<&fdopen>()},
      {"fclose", wrapped<&fclose>()},
      {"fflush", wrapped<&fflush>()},
      {"fread", wrapped<&fread>()},
      {"fwrite", wrapped<&fwrite>()},
      {"fgets", wrapped<&fgets>()},
      {"fputs", wrapped<&fputs>()},
      {"fputc", wrapped<&fputc>()},
      {"fseek", wrapped<&fseek>()},
      {"fseeko", wrapped<&fseeko>()},
      {"ftell", wrapped<&ftell>()},
      {"ftello", wrapped<&ftello>()},
      {"getline", wrapped<&getline>()},
  });
  return exports;
}

std::span<const char* const> same_functions() {
  static constexpr auto kNames = std::to_array<const char*>({
      "__memcpy_chk",  "__memmove_chk", "__memset_chk", "__sprintf_chk", "__stack_chk_fail",
      "__strcpy_chk",  "_exit",         "abort",        "atoi",          "bcmp",
      "bsearch",       "ceil",          "ceilf",        "copysign",      "copysignf",
      "exit",          "fabs",          "fabsf",        "feof",          "ferror",
      "fileno",        "floor",         "floorf",       "fprintf",       "free",
      "getegid",       "getenv",        "geteuid",      "getgid",        "getpgrp",
      "getpid",        "getppid",       "getuid",       "gmtime",        "gmtime_r",
      "localeconv",    "mbstowcs",      "memchr",       "memcmp",        "memcpy",
      "memmove",       "memset",        "nearbyint",    "nearbyintf",    "pthread_detach",
      "pthread_equal", "pthread_join",  "pthread_self", "qsort",         "rand",
      "rint",          "rintf",         "sched_yield",  "setbuf",        "snprintf",
      "sprintf",       "sqrt",          "sqrtf",        "sscanf",        "strcasecmp",
      "strcat",        "strchr",        "strcmp",       "strcpy",        "strcspn",
      "strdup",        "strftime",      "strlen",       "strncasecmp",   "strncmp",
      "strncpy",       "strrchr",       "strspn",       "strstr",        "tdelete",
      "tfind",         "time",          "timegm",       "trunc",         "truncf",
      "tsearch",       "twalk",         "vfprintf",     "vsnprintf",     "wcschr",
      "wcscmp",        "wcscspn",       "wcslen",       "wcsncmp",       "wcsncpy",
      "wcsstr",        "wcstombs",      "wctob",        "wctomb",        "wcwidth",
      "wmemchr",       "wmemcpy",
  });
  return kNames;
}

}  // namespace pglite::loader
