// What all processes of one server begin as: PostgreSQL's main() up to where shared memory has been
// made and nobody uses it yet. A postmaster would fork here.
//
// Shared memory is mapped by all of them. All the rest is mapped copy-on-write, so that a process
// costs what it changes.
#ifndef PGLITE_POSTGRES_SESSIONS_PARKED_IMAGE_H_
#define PGLITE_POSTGRES_SESSIONS_PARKED_IMAGE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "emscripten/process.h"
#include "os/unique_fd.h"
#include "pglite/status.h"
#include "wasm/linear_memory.h"

namespace pglite::postgres {

class ParkedImage final : public emscripten::PageSource {
 public:
  // Takes the image of a process that is at rest. What of its memory is shared from now on is
  // `segment`, and the files that it has mapped. Those are copied, as nobody will map them again.
  // All begin and end at multiples of `page`, the system's page size. kInvalidArgument: it has
  // something open that no other process can open; kIoError: the system has no memory for it.
  static Status capture(emscripten::Process& process, const wasm::SharedRegion& segment,
                        uint64_t page, std::unique_ptr<ParkedImage>* out);

  // For Process::restore.
  [[nodiscard]] std::string_view state() const { return state_; }
  bool fill(wasm::LinearMemory& memory) const override;

 private:
  explicit ParkedImage(uint64_t page) : page_(page) {}

  // A piece of guest memory and where it lies in its file.
  struct Piece {
    uint64_t address = 0;
    uint64_t size = 0;
    uint64_t offset = 0;
  };

  // What lies between the regions of `shared`, which ascend and are apart.
  Status copy_private(const uint8_t* memory, uint64_t size,
                      const std::vector<wasm::SharedRegion>& shared);
  // `segment` is the one of them that is not mapped from a file.
  Status copy_shared(const uint8_t* memory, const std::vector<wasm::SharedRegion>& shared,
                     const wasm::SharedRegion& segment);

  uint64_t page_;
  std::string state_;
  os::UniqueFd private_file_;
  os::UniqueFd shared_file_;
  std::vector<Piece> private_pieces_;
  std::vector<Piece> shared_pieces_;
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_SESSIONS_PARKED_IMAGE_H_
