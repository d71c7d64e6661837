// A copy of a data directory beside it, before something is done to it that cannot be undone.
#ifndef PGLITE_POSTGRES_CLUSTER_CLUSTER_COPY_H_
#define PGLITE_POSTGRES_CLUSTER_CLUSTER_COPY_H_

#include <ctime>
#include <string>

#include "pglite/status.h"
#include "vfs/filesystem.h"

namespace pglite::postgres {

// Copies the cluster at the root of `source`, which is ours alone, into `parent`, the directory
// that it is in, where it is called `name`. The copy is called NAME.before-repair-`now`, `*copy`,
// and has that name when it is whole and durable; until then it has another, and what interrupted
// copies of this cluster left under such names is removed first. `shown_parent` stands for `parent`
// in messages. kIoError: something cannot be read, written or made durable, or a copy of this
// second is there already. kIncompatible: the cluster has links. There is no copy then.
Status copy_before_repair(vfs::FileSystem& source, vfs::FileSystem& parent, const std::string& name,
                          const std::string& shown_parent, std::time_t now, std::string* copy);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_CLUSTER_CLUSTER_COPY_H_
