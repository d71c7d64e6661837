#include <array>
#include <utility>

#include "darwin.h"

namespace pglite::loader {

namespace {

constexpr auto kErrors = std::to_array<std::pair<int, int>>({
    {EDEADLK, 11},      {EAGAIN, 35},           {EINPROGRESS, 36},     {EALREADY, 37},
    {ENOTSOCK, 38},     {EDESTADDRREQ, 39},     {EMSGSIZE, 40},        {EPROTOTYPE, 41},
    {ENOPROTOOPT, 42},  {ESOCKTNOSUPPORT, 44},  {EPROTONOSUPPORT, 43}, {EPFNOSUPPORT, 46},
    {EAFNOSUPPORT, 47}, {EADDRINUSE, 48},       {EADDRNOTAVAIL, 49},   {ENETDOWN, 50},
    {ENETUNREACH, 51},  {ENETRESET, 52},        {ECONNABORTED, 53},    {ECONNRESET, 54},
    {ENOBUFS, 55},      {EISCONN, 56},          {ENOTCONN, 57},        {ESHUTDOWN, 58},
    {ETOOMANYREFS, 59}, {ETIMEDOUT, 60},        {ECONNREFUSED, 61},    {ELOOP, 62},
    {ENAMETOOLONG, 63}, {EHOSTDOWN, 64},        {EHOSTUNREACH, 65},    {ENOTEMPTY, 66},
    {EUSERS, 68},       {EDQUOT, 69},           {ESTALE, 70},          {EREMOTE, 71},
    {ENOLCK, 77},       {ENOSYS, 78},           {EOVERFLOW, 84},       {ECANCELED, 89},
    {EIDRM, 90},        {ENOMSG, 91},           {EILSEQ, 92},          {ENODATA, 96},
    {EBADMSG, 94},      {EMULTIHOP, 95},        {ENOLINK, 97},         {ENOSR, 98},
    {ENOSTR, 99},       {EPROTO, 100},          {ETIME, 101},          {EOPNOTSUPP, 102},
    {EOPNOTSUPP, 45},   {ENOTRECOVERABLE, 104}, {EOWNERDEAD, 105},
});

// Numbers up to this one are those of the first Unix, but for EAGAIN's.
constexpr int kLastCommon = ERANGE;

}  // namespace

int& program_errno() {
  thread_local int error = 0;
  return error;
}

int to_darwin_error(int error) {
  // Linux has one number where macOS has two: files and others (45), sockets (102).
  if (error == EOPNOTSUPP) return 45;
  for (const auto& [here, there] : kErrors) {
    if (here == error) return there;
  }
  return error <= kLastCommon ? error : EINVAL;
}

int from_darwin_error(int error) {
  for (const auto& [here, there] : kErrors) {
    if (there == error) return here;
  }
  return error <= kLastCommon ? error : EINVAL;
}

void note_error() {
  program_errno() = to_darwin_error(errno);
}

}  // namespace pglite::loader
