// What another user of a session must not leave changed in it.
#ifndef PGLITE_POSTGRES_GUEST_SESSION_STATE_H_
#define PGLITE_POSTGRES_GUEST_SESSION_STATE_H_

#include <string>
#include <vector>

#include "pglite/status.h"
#include "postgres/guest/backend.h"

namespace pglite::postgres {

class SessionState {
 public:
  // Notes the settings that were made with SET, the role, and which statements are prepared. No
  // transaction may be open.
  Status save(Backend& backend);
  // Ends the transaction that is open, if one is, and puts all of it back.
  Status restore(Backend& backend) const;

 private:
  std::vector<std::vector<std::string>> settings_;  // name and value
  std::vector<std::vector<std::string>> prepared_;  // name
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_GUEST_SESSION_STATE_H_
