#include "postgres/cluster/control_file.h"

#include <boost/crc.hpp>
#include <cstring>
#include <string>
#include <system_error>

namespace pglite::postgres {

uint32_t crc32c(std::span<const std::byte> first, std::span<const std::byte> second) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(first.data(), first.size());
  crc.process_bytes(second.data(), second.size());
  return static_cast<uint32_t>(crc.checksum());
}

Status read_control_file(vfs::FileSystem& filesystem, std::string_view data_directory,
                         ControlFile* control) {
  const std::string path = std::string(data_directory) + "/" + std::string(names::kControl);
  const auto failed = [&](std::errc error) {
    return Status::io_error(path + ": " + std::make_error_code(error).message());
  };
  auto file = filesystem.open(path, {.read = true}, 0);
  if (!file) return failed(file.error());
  std::array<std::byte, sizeof(ControlFile)> bytes{};
  const auto size = (*file)->read(bytes, 0);
  if (!size) return failed(size.error());
  if (*size != bytes.size()) return Status::incompatible(path + " is too short");
  std::memcpy(control, bytes.data(), bytes.size());
  const bool intact = control->crc == crc32c(std::span(bytes).first(offsetof(ControlFile, crc)));
  if (!intact) return Status::incompatible(path + " is damaged: its checksum is wrong");
  if (control->version == ControlFile::kVersion) return {};
  return Status::incompatible(path + " has version " + std::to_string(control->version) + ", not " +
                              std::to_string(ControlFile::kVersion));
}

std::array<std::byte, ControlFile::kFileSize> encode(const ControlFile& control) {
  std::array<std::byte, ControlFile::kFileSize> bytes{};
  std::memcpy(bytes.data(), &control, sizeof control);
  const uint32_t crc = crc32c(std::span(bytes).first(offsetof(ControlFile, crc)));
  std::memcpy(bytes.data() + offsetof(ControlFile, crc), &crc, sizeof crc);
  return bytes;
}

}  // namespace pglite::postgres
