// PostgreSQL inside a Go program, with cgo: rows in callbacks, contexts that cancel, many databases at once.
//
// CGO_CFLAGS and CGO_LDFLAGS say where the library is, or `#cgo pkg-config: pglite` does.
package main

/*
#cgo LDFLAGS: -lpglite
#include <pglite/pglite.h>
#include <stdlib.h>

int32_t goRow(uintptr_t user_data, size_t column_count, char **values);

// cgo cannot pass a Go function; this one calls it.
static int32_t row(void *user_data, size_t column_count, const char *const *names, const char *const *values) {
	(void)names;
	return goRow((uintptr_t)user_data, column_count, (char **)values);
}

static pglite_status query(pglite_db *db, const char *sql, size_t count, char **parameters, uintptr_t user_data,
                           pglite_error **error) {
	return pglite_query(db, sql, count, (const char *const *)parameters, row, (void *)user_data, error);
}
*/
import "C"

import (
	"context"
	"fmt"
	"runtime/cgo"
	"sync"
	"time"
	"unsafe"
)

type Error struct{ SQLState, Message string }

func (e *Error) Error() string { return e.SQLState + ": " + e.Message }

func toError(status C.pglite_status, err *C.pglite_error) error {
	if status == C.PGLITE_OK {
		return nil
	}
	defer C.pglite_error_free(err)
	return &Error{C.GoString(C.pglite_error_sqlstate(err)), C.GoString(C.pglite_error_message(err))}
}

// A Database is one session. Its methods wait for each other.
type Database struct {
	mutex  sync.Mutex
	handle *C.pglite_db
}

func Open() (*Database, error) {
	var db *C.pglite_db
	var err *C.pglite_error
	if status := C.pglite_open(nil, &db, &err); status != C.PGLITE_OK {
		return nil, toError(status, err)
	}
	return &Database{handle: db}, nil
}

func (db *Database) Close() error {
	db.mutex.Lock()
	defer db.mutex.Unlock()
	var err *C.pglite_error
	status := C.pglite_close(db.handle, &err)
	db.handle = nil
	return toError(status, err)
}

type rows struct {
	values   [][]string
	panicked any
}

//export goRow
func goRow(userData C.uintptr_t, count C.size_t, values **C.char) (stop C.int32_t) {
	result := cgo.Handle(userData).Value().(*rows)
	// A panic must not unwind the C frames that called this.
	defer func() {
		if result.panicked = recover(); result.panicked != nil {
			stop = 1
		}
	}()
	row := make([]string, 0, count)
	if count > 0 {
		for _, value := range unsafe.Slice(values, count) {
			row = append(row, C.GoString(value)) // NULL is ""
		}
	}
	result.values = append(result.values, row)
	return 0
}

// Query runs SQL; a context that is done cancels it.
func (db *Database) Query(ctx context.Context, sql string, parameters ...string) ([][]string, error) {
	db.mutex.Lock()
	defer db.mutex.Unlock()
	text := C.CString(sql)
	defer C.free(unsafe.Pointer(text))
	var list **C.char
	if len(parameters) > 0 {
		list = (**C.char)(C.calloc(C.size_t(len(parameters)), C.size_t(unsafe.Sizeof(list))))
		defer C.free(unsafe.Pointer(list))
		for i, parameter := range parameters {
			value := C.CString(parameter)
			defer C.free(unsafe.Pointer(value))
			unsafe.Slice(list, len(parameters))[i] = value
		}
	}
	result := &rows{}
	handle := cgo.NewHandle(result)
	defer handle.Delete()

	finished := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Add(1)
	go func() {
		defer watcher.Done()
		select {
		case <-finished:
			return
		case <-ctx.Done():
		}
		// A cancel that comes before the query has begun reaches nothing.
		for {
			C.pglite_cancel(db.handle)
			select {
			case <-finished:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	var err *C.pglite_error
	status := C.query(db.handle, text, C.size_t(len(parameters)), list, C.uintptr_t(handle), &err)
	close(finished)
	watcher.Wait()
	if result.panicked != nil {
		panic(result.panicked)
	}
	return result.values, toError(status, err)
}

func main() {
	if err := run(); err != nil {
		fmt.Println(err)
	}
}
