/* PostgreSQL inside this process, for C and for every language that can call C.
 *
 *   pglite_db *db = NULL;
 *   pglite_error *error = NULL;
 *   if (pglite_open(NULL, &db, &error) != PGLITE_OK ||  // memory://
 *       pglite_query(db, "select 1", 0, NULL, print_row, NULL, &error) != PGLITE_OK) {
 *     fprintf(stderr, "%s\n", pglite_error_message(error));
 *     pglite_error_free(error);
 *   }
 *   pglite_close(db, NULL);
 *
 * A database is one session of PostgreSQL's on a cluster of its own, in memory or in a directory. A
 * process may have many of them.
 *
 * Threads. A database has none of its own. It may be used from any thread, by one at a time: a call
 * while another one runs on the same database, also from within its callbacks, is refused
 * (PGLITE_INVALID_ARGUMENT). pglite_cancel() alone may be called at any time. Different databases,
 * and snapshots, may be used by different threads at once.
 *
 * Callbacks run before the function that they were given to returns, in its thread and on its
 * stack. What they are given is valid during the call only. A callback must return: no longjmp, no
 * exception, no end of the thread.
 *
 * Fork. A child may use none of its parent's databases, which are refused
 * (PGLITE_INVALID_ARGUMENT). It may open new ones.
 *
 * Signals. The first pglite_open() installs handlers of SIGSEGV and SIGBUS on top of those that it
 * finds. They take what PostgreSQL's sandbox runs into, in the threads that are inside a call, and
 * pass all else on to the handlers that were there. Who installs such a handler later passes on, to
 * the one that was there, what is not its own. SIGURG is handled while PostgreSQL has a timeout
 * running, and passed on, too. Neither dispositions of other signals nor the masks of threads
 * change.
 *
 * Errors. A function that can fail returns a status. Its `error`, the last parameter, may be NULL;
 * else *error becomes an error that is the caller's, who frees it, or NULL where there was none.
 * What *error was before is not looked at. Only without memory for an error it is NULL after a
 * failure.
 *
 * Strings are UTF-8 and end with NUL. Pointers that are not said to be optional must not be NULL:
 * PGLITE_INVALID_ARGUMENT. No exception leaves a function.
 */
#ifndef PGLITE_PGLITE_H_
#define PGLITE_PGLITE_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define PGLITE_API __attribute__((visibility("default")))
#else
#define PGLITE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pglite_db pglite_db;
typedef struct pglite_snapshot pglite_snapshot;
typedef struct pglite_error pglite_error;

typedef int32_t pglite_status;
enum {
  PGLITE_OK = 0,
  /* The caller's mistake: an option, a path, bytes that do not follow the protocol, a wrong moment.
   */
  PGLITE_INVALID_ARGUMENT = 1,
  /* A file or directory that cannot be read or written, memory that is not to be had, or a callback
   * that has failed. */
  PGLITE_IO_ERROR = 2,
  /* The directory is another process's, or another database's of this process, at the moment. */
  PGLITE_IN_USE = 3,
  /* A directory, archive or snapshot that this library cannot use (another version, damaged). */
  PGLITE_INCOMPATIBLE = 4,
  /* PostgreSQL has crashed or has refused to go on. The database is good for pglite_close() only.
   */
  PGLITE_ENGINE_GONE = 5,
  /* PostgreSQL has ended the session, by a timeout, say. As above. */
  PGLITE_SESSION_ENDED = 6,
  /* pg_dump has refused its arguments or failed, and has said why in the log. */
  PGLITE_TOOL_FAILED = 7,
  /* A program of the system's that is needed is not there. */
  PGLITE_UNAVAILABLE = 8,
  /* pglite_query() only: PostgreSQL has answered with an error. The database goes on. */
  PGLITE_SQL_ERROR = 9,
  /* pglite_query() only: the callback wanted no more rows. */
  PGLITE_STOPPED = 10
};

/* --- Errors --------------------------------------------------------------------------------- */

/* One line for people: what was wrong, and where there is one, the way out. "" for NULL. All these
 * strings are the error's. */
PGLITE_API const char* pglite_error_message(const pglite_error* error);
PGLITE_API pglite_status pglite_error_status(const pglite_error* error);
/* What PostgreSQL has said with an error of its own; "" where it has not. The SQLSTATE has five
 * characters. */
PGLITE_API const char* pglite_error_sqlstate(const pglite_error* error);
PGLITE_API const char* pglite_error_detail(const pglite_error* error);
PGLITE_API const char* pglite_error_hint(const pglite_error* error);
/* NULL is no error and is left alone. */
PGLITE_API void pglite_error_free(pglite_error* error);

/* --- Opening and closing -------------------------------------------------------------------- */

typedef int32_t pglite_durability;
enum {
  PGLITE_DURABILITY_DEFAULT = 0, /* full for directories, off in memory */
  PGLITE_DURABILITY_FULL = 1,    /* a commit survives the loss of power */
  PGLITE_DURABILITY_RELAXED = 2, /* a commit survives the end of this process */
  PGLITE_DURABILITY_OFF = 3
};

/* Gets the lines of PostgreSQL's log and of this library's own, without their newline. Lines of
 * level 0 are always wanted, the others at a debug level of that number. It may use nothing of this
 * library, and is called from any function that uses the database. */
typedef void (*pglite_log_callback)(void* user_data, int32_t level, const char* line);

/* Begin with PGLITE_OPTIONS_INIT, or with all bytes zero and the size. Everything that is zero is
 * as it is by default. Members are added at the end only, and `size` says which there are, so that
 * a library and a program of different versions fit: a member that the library does not know has to
 * be zero. All that it points to is copied. */
typedef struct pglite_options {
  size_t size; /* sizeof(pglite_options) */
  /* "memory://" (NULL), or a directory: "./path", "/path", "file://path". */
  const char* data_dir;
  /* The session's role and database, "postgres" by default. In a new cluster they are made. */
  const char* username;
  const char* database;
  pglite_durability durability;
  int32_t must_exist; /* not 0: a directory that is missing or empty is refused, and not filled */
  int32_t no_autovacuum; /* not 0: pglite_idle() runs no VACUUM and ANALYZE */
  int32_t debug;         /* 0 to 5 */
  /* What memory:// starts from. It may be freed once the database is open. */
  const pglite_snapshot* snapshot;
  /* Lists that end with NULL, or NULL: PostgreSQL's settings, each "name=value"; libraries that it
   * loads when it starts; files that `pglite-port compile` has prepared. */
  const char* const* settings;
  const char* const* preload;
  const char* const* extensions;
  /* Where what `pglite-port compile` makes is; NULL: the user's cache. */
  const char* cache;
  pglite_log_callback log; /* NULL: the log is dropped */
  void* log_user_data;
} pglite_options;

/* All members are named here, so that no compiler warns. */
#define PGLITE_OPTIONS_INIT \
  {sizeof(pglite_options), NULL, NULL, NULL, 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL}

/* Opens the cluster, which is made where it is not there, and starts PostgreSQL. `options` NULL:
 * all by default, in memory. The database in *db is the caller's, who closes it; NULL after a
 * failure. */
PGLITE_API pglite_status pglite_open(const pglite_options* options, pglite_db** db,
                                     pglite_error** error);

/* Stops PostgreSQL, and frees the database whatever the status. What is in memory is gone. Not
 * closed, because in use: a database that a call runs on, and one of the parent process's. NULL is
 * no database and is left alone. The caller sees to it that nobody cancels any more. */
PGLITE_API pglite_status pglite_close(pglite_db* db, pglite_error** error);

/* --- Running SQL ---------------------------------------------------------------------------- */

/* A row. A value is text as PostgreSQL writes it, NULL for NULL. Anything but 0 ends the query:
 * no more rows come, and PostgreSQL is asked to give the query up. */
typedef int32_t (*pglite_row_callback)(void* user_data, size_t column_count,
                                       const char* const* names, const char* const* values);

/* Runs SQL and hands over the rows. Without parameters `sql` may be several statements, which are
 * one transaction unless they say otherwise. With them it is one statement, in which $1, $2, ...
 * are the parameters: text in the form PostgreSQL reads, or NULL. `parameters` may be NULL where
 * `parameter_count` is 0, and `row` may be NULL. Notices and notifications are dropped, and COPY
 * from or to the client is refused: pglite_exec() has both. */
PGLITE_API pglite_status pglite_query(pglite_db* db, const char* sql, size_t parameter_count,
                                      const char* const* parameters, pglite_row_callback row,
                                      void* user_data, pglite_error** error);

/* How many rows the last statement that pglite_query() has completed returned or changed; -1: it is
 * of a kind that counts none, there was none, or another call is under way. */
PGLITE_API int64_t pglite_row_count(pglite_db* db);

/* Gets messages of PostgreSQL's, in pieces of any size: all calls together give whole messages. */
typedef void (*pglite_response_callback)(void* user_data, const char* bytes, size_t size);

/* Runs whole messages of a client (PostgreSQL manual, "Frontend/Backend Protocol") and hands over
 * the answer. It returns when PostgreSQL wants more input: all is done, or COPY FROM STDIN waits
 * for its data. Errors of PostgreSQL's are messages in the answer; the status is then PGLITE_OK.
 * PGLITE_INVALID_ARGUMENT: the bytes are not whole messages, or not what a COPY waits for. */
PGLITE_API pglite_status pglite_exec(pglite_db* db, const char* request, size_t size,
                                     pglite_response_callback response, void* user_data,
                                     pglite_error** error);

/* Asks PostgreSQL to give up the query, request, SQL dump or work that runs, which then ends with
 * the error 57014 unless it is done before. Without one it does nothing: what begins later runs.
 * From any thread, from callbacks and from signal handlers, as long as the database is not closed.
 * It does not wait. NULL is left alone. */
PGLITE_API void pglite_cancel(pglite_db* db);

/* PostgreSQL has work to do between queries: the timeouts of an idle session, VACUUM and ANALYZE.
 * pglite_idle_wait() says in how many milliseconds, -1: nothing before the next query, or another
 * call is under way. pglite_idle() does one piece of what is due, or nothing. What PostgreSQL says
 * unasked goes to `response`, which may be NULL. Who never calls them does no harm: the work is not
 * done. */
PGLITE_API int64_t pglite_idle_wait(pglite_db* db);
PGLITE_API pglite_status pglite_idle(pglite_db* db, pglite_response_callback response,
                                     void* user_data, pglite_error** error);

/* --- Copies --------------------------------------------------------------------------------- */

/* Keeps a database in memory as it is now, with its session, to start others from
 * (pglite_options.snapshot). The snapshot is the caller's, who frees it. PGLITE_INVALID_ARGUMENT:
 * the database is not in memory, or a transaction is open. */
PGLITE_API pglite_status pglite_snapshot_take(pglite_db* db, pglite_snapshot** snapshot,
                                              pglite_error** error);
/* To a file, which appears complete or not at all, and from one. A file fits builds of the sources
 * that it was written by, for any processor: PGLITE_INCOMPATIBLE. It must not be changed while what
 * was loaded from it is in use. */
PGLITE_API pglite_status pglite_snapshot_save(const pglite_snapshot* snapshot, const char* path,
                                              pglite_error** error);
PGLITE_API pglite_status pglite_snapshot_load(const char* path, pglite_snapshot** snapshot,
                                              pglite_error** error);
/* Databases that were started from it go on. NULL is left alone. */
PGLITE_API void pglite_snapshot_free(pglite_snapshot* snapshot);

/* An independent copy of a database in memory: a snapshot, and a database that is opened on it with
 * the options of the first, its log callback included. */
PGLITE_API pglite_status pglite_clone(pglite_db* db, pglite_db** copy, pglite_error** error);

typedef int32_t pglite_compression;
enum { PGLITE_COMPRESSION_NONE = 0, PGLITE_COMPRESSION_GZIP = 1 };

/* Takes bytes in order. Anything but 0 ends the operation: PGLITE_IO_ERROR. */
typedef int32_t (*pglite_write_callback)(void* user_data, const char* bytes, size_t size);
/* Puts at most `size` bytes at `buffer`. How many; 0 at the end, -1: PGLITE_IO_ERROR. */
typedef int64_t (*pglite_read_callback)(void* user_data, char* buffer, size_t size);

/* Writes the cluster as a tar archive of its data directory, which PGlite and pglite_restore()
 * read. PGLITE_INVALID_ARGUMENT: a transaction is open. */
PGLITE_API pglite_status pglite_dump(pglite_db* db, pglite_compression compression,
                                     pglite_write_callback write, void* user_data,
                                     pglite_error** error);
/* Writes the session's database as SQL. `arguments`, a list that ends with NULL, or NULL, are
 * options of pg_dump. After a failure what was written is no dump. */
PGLITE_API pglite_status pglite_dump_sql(pglite_db* db, const char* const* arguments,
                                         pglite_compression compression,
                                         pglite_write_callback write, void* user_data,
                                         pglite_error** error);
/* Makes the directory `options->data_dir`, which must be missing or empty, from an archive, plain
 * or in gzip. It appears complete or not at all. It is not opened. */
PGLITE_API pglite_status pglite_restore(const pglite_options* options, pglite_read_callback read,
                                        void* user_data, pglite_error** error);

/* --- Versions ------------------------------------------------------------------------------- */

/* Of this library, of the PGlite and of the PostgreSQL in it, such as "18.6". */
PGLITE_API const char* pglite_version(void);
PGLITE_API const char* pglite_pglite_version(void);
PGLITE_API const char* pglite_postgres_version(void);

#ifdef __cplusplus
}
#endif

#endif /* PGLITE_PGLITE_H_ */
