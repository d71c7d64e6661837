// There are none that could get a name later.
#include "os/unnamed_file.h"

namespace pglite::os {

Result<UniqueFd> open_unnamed_file(int /*directory*/, uint32_t /*permissions*/) {
  return error(std::errc::operation_not_supported);
}

Result<void> name_file(int /*fd*/, int /*directory*/, const std::string& /*name*/) {
  return error(std::errc::operation_not_supported);
}

}  // namespace pglite::os
