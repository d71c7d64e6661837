// Checks with pgx and its pool.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"clients/checks"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

var ctx = context.Background()

func connect(host, parameters string) *pgx.Conn {
	c, err := pgx.Connect(ctx, checks.URL(host, parameters))
	checks.Must(err)
	return c
}

func one[T any](c interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, sql string, values ...any) (value T) {
	checks.Must(c.QueryRow(ctx, sql, values...).Scan(&value))
	return
}

func fails(code string, err error) {
	var e *pgconn.PgError
	checks.That(errors.As(err, &e) && e.Code == code, err, " is not ", code)
}

func main() {
	checks.Check("settings", func() {
		c := connect("", "sslmode=disable&application_name=me&search_path=pg_catalog&work_mem=5MB&options=-c%20geqo%3Doff")
		defer c.Close(ctx)
		checks.That(one[string](c, "show work_mem") == "5MB")
		checks.That(one[string](c, "show search_path") == "pg_catalog")
		checks.That(one[string](c, "show geqo") == "off")
		checks.That(one[string](c, "show application_name") == "me")
	})
	checks.Check("protocol_3_2", func() {
		c := connect("", "sslmode=disable&max_protocol_version=3.2")
		defer c.Close(ctx)
		checks.That(one[int](c, "select 1") == 1)
	})
	checks.Check("prepared", func() {
		c := connect("", "sslmode=disable")
		defer c.Close(ctx)
		_, err := c.Prepare(ctx, "plus", "select $1::int + 1")
		checks.Must(err)
		for n := range 200 {
			checks.That(one[int](c, "plus", n) == n+1)
		}
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe,
			pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
			checks.That(one[int](c, "select $1::int + 1", mode, 5) == 6, mode)
		}
	})
	checks.Check("binary", func() {
		c := connect("", "sslmode=disable")
		defer c.Close(ctx)
		data := bytes.Repeat([]byte{0, 1, 255}, 1000)
		checks.That(bytes.Equal(one[[]byte](c, "select $1::bytea", data), data))
		at := time.Date(2024, 2, 29, 1, 2, 3, 456000, time.UTC)
		checks.That(one[time.Time](c, "select $1::timestamptz", at).Equal(at))
		checks.That(fmt.Sprint(one[[]int](c, "select $1::int[]", []int{1, 2, 3})) == "[1 2 3]")
		checks.That(one[map[string]int](c, "select $1::jsonb", map[string]int{"a": 1})["a"] == 1)
		var n pgtype.Numeric
		checks.Must(n.Scan("12345678901234567890.123"))
		checks.That(one[string](c, "select $1::numeric::text", n) == "12345678901234567890.123")
		checks.That(one[pgtype.Range[pgtype.Int4]](c, "select int4range(1, 5)").Upper.Int32 == 5)
	})
	checks.Check("copy", func() {
		c := connect("", "sslmode=disable")
		defer c.Close(ctx)
		_, err := c.Exec(ctx, "create temp table t (n int, s text)")
		checks.Must(err)
		count, err := c.CopyFrom(ctx, pgx.Identifier{"t"}, []string{"n", "s"},
			pgx.CopyFromSlice(100000, func(n int) ([]any, error) { return []any{n, fmt.Sprint("row ", n)}, nil }))
		checks.Must(err)
		checks.That(count == 100000 && one[int](c, "select count(*) from t") == 100000)
		var out bytes.Buffer
		_, err = c.PgConn().CopyTo(ctx, &out, "copy t to stdout")
		checks.Must(err)
		checks.That(bytes.Count(out.Bytes(), []byte("\n")) == 100000)
		// An error in the middle has to come before all has been sent.
		began := time.Now()
		_, err = c.PgConn().CopyFrom(ctx, endless{}, "copy t from stdin")
		fails("22P02", err)
		checks.That(time.Since(began) < 10*time.Second)
	})
	checks.Check("errors", func() {
		c := connect("", "sslmode=disable")
		defer c.Close(ctx)
		_, err := c.Exec(ctx, "selec")
		fails("42601", err)
		_, err = c.Exec(ctx, "select 1/$1::int", 0)
		fails("22012", err)
		_, err = pgx.Connect(ctx, checks.URL("", "sslmode=disable&password=wrong"))
		fails("28P01", err)
	})
	checks.Check("batch", func() {
		c := connect("", "sslmode=disable")
		defer c.Close(ctx)
		batch := &pgx.Batch{}
		batch.Queue("create temp table t (n int)")
		for n := range 1000 {
			batch.Queue("insert into t values ($1)", n)
		}
		checks.Must(func() error { _, err := c.Exec(ctx, "create temp table t (n int)"); return err }())
		batch.QueuedQueries = batch.QueuedQueries[1:]
		checks.Must(c.SendBatch(ctx, batch).Close())
		checks.That(one[int](c, "select count(*) from t") == 1000)
	})
	checks.Check("transactions", func() {
		c := connect("", "sslmode=disable")
		defer c.Close(ctx)
		_, err := c.Exec(ctx, "create temp table t (n int)")
		checks.Must(err)
		checks.Must(pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "insert into t values (1)")
			checks.Must(err)
			inner, err := tx.Begin(ctx)
			checks.Must(err)
			_, err = inner.Exec(ctx, "insert into t values (2)")
			checks.Must(err)
			return inner.Rollback(ctx)
		}))
		checks.That(one[int](c, "select sum(n) from t") == 1)
	})
	checks.Check("cancel", func() {
		c := connect("", "sslmode=disable")
		defer c.Close(ctx)
		time.AfterFunc(300*time.Millisecond, func() { _ = c.PgConn().CancelRequest(ctx) })
		_, err := c.Exec(ctx, "select pg_sleep(30)")
		fails("57014", err)
		checks.That(one[int](c, "select 1") == 1)
		// Its own way: the connection is gone after it.
		short, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		defer stop()
		_, err = c.Exec(short, "select pg_sleep(30)")
		checks.That(errors.Is(err, context.DeadlineExceeded), err)
	})
	checks.Check("notify", func() {
		a, b := connect("", "sslmode=disable"), connect("", "sslmode=disable")
		defer a.Close(ctx)
		defer b.Close(ctx)
		_, err := a.Exec(ctx, "listen news")
		checks.Must(err)
		said := make(chan error)
		go func() {
			time.Sleep(200 * time.Millisecond)
			_, err := b.Exec(ctx, "notify news, 'hello'")
			said <- err
		}()
		limited, stop := context.WithTimeout(ctx, 10*time.Second)
		defer stop()
		n, err := a.WaitForNotification(limited)
		checks.Must(err)
		checks.Must(<-said)
		checks.That(n.Channel == "news" && n.Payload == "hello" && n.PID == b.PgConn().PID())
	})
	checks.Check("pool", func() {
		pool, err := pgxpool.New(ctx, checks.URL("", "sslmode=disable&pool_max_conns=10&pool_min_conns=10"))
		checks.Must(err)
		defer pool.Close()
		_, err = pool.Exec(ctx, "create table counter_x (n int)")
		checks.Must(err)
		_, err = pool.Exec(ctx, "insert into counter_x values (0)")
		checks.Must(err)
		checks.AtOnce(20, func(int) {
			for range 50 {
				_, err := pool.Exec(ctx, "update counter_x set n = n + $1", 1)
				checks.Must(err)
			}
		})
		checks.That(one[int](pool, "select n from counter_x") == 1000)
		_, err = pool.Exec(ctx, "drop table counter_x")
		checks.Must(err)
	})
	checks.Check("tls", func() {
		if checks.CA == "" {
			return
		}
		for _, more := range []string{"", "&sslnegotiation=direct"} {
			c := connect("localhost", "sslmode=verify-full&sslrootcert="+checks.CA+more)
			checks.That(one[int](c, "select 1") == 1)
			c.Close(ctx)
		}
	})
}

// Lines that are wrong, without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	line := "x\ty\n"
	for i := range p {
		p[i] = line[i%len(line)]
	}
	return len(p) / len(line) * len(line), nil
}
