/* A database in memory, in C: statements, parameters, an error, and a query that another thread
 * gives up. */
#include <pglite/pglite.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void check(pglite_status status, pglite_error* error) {
  if (status == PGLITE_OK) return;
  fprintf(stderr, "%s\n", pglite_error_message(error));
  exit(1);
}

static int32_t print_row(void* user_data, size_t column_count, const char* const* names,
                         const char* const* values) {
  (void)user_data;
  for (size_t i = 0; i < column_count; ++i) {
    printf("%s%s: %s", i == 0 ? "" : ", ", names[i], values[i] == NULL ? "-" : values[i]);
  }
  printf("\n");
  return 0; /* go on */
}

struct canceller {
  pglite_db* db;
  atomic_int done;
};

/* A cancel that comes too early finds nothing to cancel, so it is asked for until the query has
 * ended. */
static void* cancel(void* user_data) {
  struct canceller* self = user_data;
  const struct timespec pause = {0, 10000000};
  while (!atomic_load(&self->done)) {
    nanosleep(&pause, NULL);
    pglite_cancel(self->db);
  }
  return NULL;
}

int main(void) {
  pglite_error* error = NULL;
  pglite_db* db = NULL;
  check(pglite_open(NULL, &db, &error), error); /* memory:// */

  check(pglite_query(db, "create table fruit (name text primary key, price numeric)", 0, NULL, NULL,
                     NULL, &error),
        error);
  const char* const rows[][2] = {{"apple", "0.50"}, {"quince", NULL}, {"plum's", "0.25"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
    check(pglite_query(db, "insert into fruit values ($1, $2)", 2, rows[i], NULL, NULL, &error),
          error);
  }
  check(pglite_query(db, "select * from fruit order by name", 0, NULL, print_row, NULL, &error),
        error);
  printf("%lld rows\n", (long long)pglite_row_count(db));

  /* An error of PostgreSQL's is the statement's; the database goes on. */
  if (pglite_query(db, "insert into fruit values ($1, $2)", 2, rows[0], NULL, NULL, &error) ==
      PGLITE_SQL_ERROR) {
    printf("%s: %s\n  %s\n", pglite_error_sqlstate(error), pglite_error_message(error),
           pglite_error_detail(error));
    pglite_error_free(error);
  }

  struct canceller canceller = {.db = db};
  pthread_t thread;
  if (pthread_create(&thread, NULL, cancel, &canceller) != 0) return 1;
  pglite_status status = pglite_query(db, "select pg_sleep(3600)", 0, NULL, NULL, NULL, &error);
  atomic_store(&canceller.done, 1);
  pthread_join(thread, NULL); /* before pglite_close(): nobody cancels any more */
  printf("%d: %s\n", (int)status, pglite_error_message(error));
  pglite_error_free(error);

  check(pglite_close(db, &error), error);
  return 0;
}
