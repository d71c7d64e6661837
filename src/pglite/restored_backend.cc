#include "pglite/restored_backend.h"

#include <array>
#include <cstring>

#include "os/clock.h"
#include "postgres/cluster/identity.h"
#include "postgres/guest/layout.h"
#include "postgres/version.h"

namespace pglite {

using postgres::ClusterIdentity;
using postgres::Patch;

Status renew_identity(vfs::MemoryFileSystem& files) {
  ClusterIdentity identity;
  Status status = postgres::make_identity(&identity);
  if (!status.ok()) return status;
  return postgres::write_identity(files, postgres::kDataDirectory, identity);
}

Status restore_backend(const postgres::SnapshotFile& snapshot,
                       const postgres::BackendConfig& config, vfs::MemoryFileSystem& files,
                       std::unique_ptr<postgres::Backend>* out) {
  ClusterIdentity identity;
  ClusterIdentity random;  // for the generator
  Status status = postgres::make_identity(&identity);
  if (status.ok()) status = postgres::make_identity(&random);
  if (status.ok()) status = postgres::write_identity(files, postgres::kDataDirectory, identity);
  std::unique_ptr<postgres::Backend> backend;
  if (status.ok()) {
    status = postgres::Backend::restore(config, snapshot.state(), snapshot, &backend);
  }
  if (!status.ok()) return status;

  const timespec now = os::wall_clock();
  const int64_t start =
      (now.tv_sec - postgres::kPostgresEpochSeconds) * 1'000'000 + now.tv_nsec / 1000;
  const wasm::GuestMemory memory = backend->process().memory();
  bool patched = true;
  for (const Patch& patch : snapshot.patches()) {
    switch (patch.kind) {
      case Patch::Kind::kSystemIdentifier:
        patched &= memory.store(wasm::GuestPtr<uint64_t>{patch.address}, identity.system_identifier)
                       .has_value();
        break;
      case Patch::Kind::kNonce:
        patched &=
            memory.store(wasm::GuestPtr<std::array<std::byte, 32>>{patch.address}, identity.nonce)
                .has_value();
        break;
      case Patch::Kind::kStartTime:
        patched &= memory.store(wasm::GuestPtr<int64_t>{patch.address}, start).has_value();
        break;
    }
  }
  // pg_prng_state: 128 bits, not all zero.
  std::array<std::byte, postgres::kRandomStateSize> seed{};
  std::memcpy(seed.data(), random.nonce.data(), seed.size());
  seed[0] |= std::byte{1};
  const uint32_t generator = backend->process().data_address(postgres::symbols::kRandomState);
  patched &= memory.store(wasm::GuestPtr<decltype(seed)>{generator}, seed).has_value();
  if (!patched) {
    return Status::incompatible("the snapshot is damaged: it patches beyond its memory");
  }
  *out = std::move(backend);
  return {};
}

}  // namespace pglite
