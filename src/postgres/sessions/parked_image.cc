#include "postgres/sessions/parked_image.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "os/anonymous_file.h"
#include "os/file.h"
#include "os/touched_pages.h"

namespace pglite::postgres {

namespace {

// What is looked at. The system's pages are as large, or several of it.
constexpr uint64_t kPage = os::TouchedPages::kPage;
// Zeros up to this long are kept within a piece: each piece costs a mapping in every process.
constexpr uint64_t kLargestGap = 32 * kPage;

Status no_memory(std::errc error) {
  return Status::io_error("no memory for a server's processes: " +
                          std::make_error_code(error).message());
}

Status make_file(os::UniqueFd* out) {
  auto file = os::make_anonymous_file("pglite-port-server");
  if (!file) return no_memory(file.error());
  *out = std::move(*file);
  return {};
}

Status write_pages(int fd, const uint8_t* pages, uint64_t size, uint64_t offset) {
  const auto written = os::write_all_at(fd, std::as_bytes(std::span(pages, size)), offset);
  return written ? Status() : no_memory(written.error());
}

// Calls `f(address, size)` for each run of pages of the system in [begin, end) that hold something.
// `touched` null: any page may.
template <class F>
Status for_each_run(const uint8_t* memory, const os::TouchedPages* touched, uint64_t begin,
                    uint64_t end, uint64_t system_page, uint64_t largest_gap, F f) {
  constexpr uint64_t kBatch = 4096;
  std::unique_ptr<bool[]> is_touched(new bool[kBatch]);
  uint64_t run_begin = 0;
  uint64_t run_end = 0;  // after the last page that holds something
  for (uint64_t at = begin; at < end; at += kBatch * kPage) {
    const uint64_t count = std::min(kBatch, (end - at) / kPage);
    const std::span batch(is_touched.get(), count);
    if (touched != nullptr) {
      touched->read(at / kPage, batch);
    } else {
      std::ranges::fill(batch, true);
    }
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t held = at + i * kPage;
      if (!is_touched[i] || os::TouchedPages::is_zero(memory + held)) continue;
      const uint64_t page = held / system_page * system_page;
      if (run_end != run_begin && page > run_end + largest_gap) {
        if (Status status = f(run_begin, run_end - run_begin); !status.ok()) return status;
        run_begin = page;
      }
      if (run_end == run_begin) run_begin = page;
      run_end = page + system_page;
    }
  }
  return run_end != run_begin ? f(run_begin, run_end - run_begin) : Status();
}

}  // namespace

Status ParkedImage::capture(emscripten::Process& process, const wasm::SharedRegion& segment,
                            uint64_t page, std::unique_ptr<ParkedImage>* out) {
  std::unique_ptr<ParkedImage> image(new ParkedImage(page));
  std::string error;
  if (!process.save(&image->state_, &error)) return Status::invalid_argument(error);
  const auto mapped = process.memory_owner().shared_regions();
  std::vector<wasm::SharedRegion> shared(mapped.begin(), mapped.end());
  shared.push_back(segment);
  std::ranges::sort(shared, {}, &wasm::SharedRegion::begin);
  const wasm_rt_memory_t& memory = *process.linear_memory();
  Status status = image->copy_private(memory.data, memory.size, shared);
  if (status.ok()) status = image->copy_shared(memory.data, shared, segment);
  if (status.ok()) *out = std::move(image);
  return status;
}

Status ParkedImage::copy_private(const uint8_t* memory, uint64_t size,
                                 const std::vector<wasm::SharedRegion>& shared) {
  Status status = make_file(&private_file_);
  const os::TouchedPages touched(memory);
  uint64_t offset = 0;
  const auto copy = [&](uint64_t address, uint64_t length) {
    private_pieces_.push_back({.address = address, .size = length, .offset = offset});
    Status written = write_pages(private_file_.get(), memory + address, length, offset);
    offset += length;
    return written;
  };
  uint64_t begin = 0;
  for (const wasm::SharedRegion& region : shared) {
    if (status.ok()) {
      status = for_each_run(memory, &touched, begin, region.begin, page_, kLargestGap, copy);
    }
    begin = region.end;
  }
  if (status.ok()) status = for_each_run(memory, &touched, begin, size, page_, kLargestGap, copy);
  return status;
}

// The file has the regions one behind the other; what is zero stays a hole.
Status ParkedImage::copy_shared(const uint8_t* memory,
                                const std::vector<wasm::SharedRegion>& shared,
                                const wasm::SharedRegion& segment) {
  Status status = make_file(&shared_file_);
  if (!status.ok()) return status;
  const os::TouchedPages touched(memory);
  uint64_t offset = 0;
  for (const wasm::SharedRegion& region : shared) {
    const uint64_t length = region.end - region.begin;
    shared_pieces_.push_back({.address = region.begin, .size = length, .offset = offset});
    if (ftruncate(shared_file_.get(), static_cast<off_t>(offset + length)) != 0) {
      return no_memory(static_cast<std::errc>(errno));
    }
    // A page that was mapped from a file may hold something untouched.
    const bool is_segment = region.begin == segment.begin;
    status = for_each_run(memory, is_segment ? &touched : nullptr, region.begin, region.end, page_,
                          0, [&](uint64_t address, uint64_t size) {
                            return write_pages(shared_file_.get(), memory + address, size,
                                               offset + address - region.begin);
                          });
    if (!status.ok()) return status;
    offset += length;
  }
  return {};
}

bool ParkedImage::fill(wasm::LinearMemory& memory) const {
  return std::ranges::all_of(shared_pieces_,
                             [&](const Piece& piece) {
                               return memory.map_shared(piece.address, piece.size,
                                                        shared_file_.get(), piece.offset);
                             }) &&
         std::ranges::all_of(private_pieces_, [&](const Piece& piece) {
           return memory.map_file(piece.address, piece.size, private_file_.get(), piece.offset);
         });
}

}  // namespace pglite::postgres
