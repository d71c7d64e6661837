// A process that is not to outlive the one that started it.
#ifndef PGLITE_OS_PARENT_DEATH_H_
#define PGLITE_OS_PARENT_DEATH_H_

namespace pglite::os {

// Has the system send `signal` to this process when its parent dies. False: it cannot, or the
// parent is gone already.
bool end_with_parent(int signal);

}  // namespace pglite::os

#endif  // PGLITE_OS_PARENT_DEATH_H_
