#include "emscripten/import_result.h"

#include <cerrno>

namespace pglite::emscripten {

uint32_t guest_errno(std::errc error) {
  using enum std::errc;
  switch (error) {
    case argument_list_too_long:
      return 1;
    case permission_denied:
      return 2;
    case address_in_use:
      return 3;
    case address_not_available:
      return 4;
    case address_family_not_supported:
      return 5;
    case resource_unavailable_try_again:
      return 6;
    case bad_file_descriptor:
      return 8;
    case device_or_resource_busy:
      return 10;
    case file_exists:
      return 20;
    case bad_address:
      return 21;
    case file_too_large:
      return 22;
    case illegal_byte_sequence:
      return 25;
    case interrupted:
      return 27;
    case invalid_argument:
      return 28;
    case io_error:
      return 29;
    case is_a_directory:
      return 31;
    case too_many_symbolic_link_levels:
      return 32;
    case too_many_files_open:
      return 33;
    case too_many_links:
      return 34;
    case filename_too_long:
      return 37;
    case too_many_files_open_in_system:
      return 41;
    case no_such_device:
      return 43;
    case no_such_file_or_directory:
      return 44;
    case not_enough_memory:
      return 48;
    case no_space_on_device:
      return 51;
    case function_not_supported:
      return 52;
    case not_a_directory:
      return 54;
    case directory_not_empty:
      return 55;
    case not_a_socket:
      return 57;
    case operation_not_supported:
      return 138;
    case inappropriate_io_control_operation:
      return 59;
    case no_such_device_or_address:
      return 60;
    case value_too_large:
      return 61;
    case operation_not_permitted:
      return 63;
    case broken_pipe:
      return 64;
    case result_out_of_range:
      return 68;
    case read_only_file_system:
      return 69;
    case invalid_seek:
      return 70;
    case no_such_process:
      return 71;
    case timed_out:
      return 73;
    case text_file_busy:
      return 74;
    case cross_device_link:
      return 75;
    default:
      break;
  }
  switch (static_cast<int>(error)) {
    case EDQUOT:
      return 19;
    case ESTALE:
      return 72;
    default:
      return 29;  // EIO: a failure of the host that the guest has no word for
  }
}

}  // namespace pglite::emscripten
