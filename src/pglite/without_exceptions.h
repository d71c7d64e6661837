#ifndef PGLITE_PGLITE_WITHOUT_EXCEPTIONS_H_
#define PGLITE_PGLITE_WITHOUT_EXCEPTIONS_H_

#include <exception>
#include <new>

#include "pglite/status.h"

namespace pglite {

// The public library's promise: failures are statuses. Every public function that does more than
// return a value does its work in this.
template <class Operation>
Status without_exceptions(Operation operation) {
  try {
    return operation();
  } catch (const std::bad_alloc&) {
    return Status::io_error("out of memory");
  } catch (const std::exception& exception) {
    return Status::io_error(exception.what());
  } catch (...) {
    return Status::io_error("an exception of unknown type");
  }
}

}  // namespace pglite

#endif  // PGLITE_PGLITE_WITHOUT_EXCEPTIONS_H_
