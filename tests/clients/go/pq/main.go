// Checks with lib/pq and database/sql.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"clients/checks"

	"github.com/lib/pq"
)

func open(host, parameters string) *sql.DB {
	db, err := sql.Open("postgres", checks.URL(host, parameters))
	checks.Must(err)
	return db
}

type querier interface {
	QueryRow(string, ...any) *sql.Row
}

func one[T any](db querier, text string, values ...any) (value T) {
	checks.Must(db.QueryRow(text, values...).Scan(&value))
	return
}

func fails(code string, err error) {
	var e *pq.Error
	checks.That(errors.As(err, &e) && string(e.Code) == code, err, " is not ", code)
}

func exec(db interface {
	Exec(string, ...any) (sql.Result, error)
}, text string, values ...any) {
	_, err := db.Exec(text, values...)
	checks.Must(err)
}

func main() {
	checks.Check("settings", func() {
		db := open("", "sslmode=disable&application_name=me&work_mem=5MB&search_path=pg_catalog")
		defer db.Close()
		checks.That(one[string](db, "show work_mem") == "5MB")
		checks.That(one[string](db, "show application_name") == "me")
		checks.That(one[string](db, "show search_path") == "pg_catalog")
	})
	checks.Check("prepared", func() {
		db := open("", "sslmode=disable")
		defer db.Close()
		plus, err := db.Prepare("select $1::int + 1")
		checks.Must(err)
		for n := range 200 {
			var got int
			checks.Must(plus.QueryRow(n).Scan(&got))
			checks.That(got == n+1)
		}
	})
	checks.Check("binary", func() {
		for _, parameters := range []string{"sslmode=disable", "sslmode=disable&binary_parameters=yes"} {
			db := open("", parameters)
			data := bytes.Repeat([]byte{0, 1, 255}, 1000)
			checks.That(bytes.Equal(one[[]byte](db, "select $1::bytea", data), data))
			at := time.Date(2024, 2, 29, 1, 2, 3, 456000, time.UTC)
			checks.That(one[time.Time](db, "select $1::timestamptz", at).Equal(at))
			var list pq.Int64Array
			checks.Must(db.QueryRow("select $1::int8[]", pq.Array([]int64{1, 2, 3})).Scan(&list))
			checks.That(fmt.Sprint(list) == "[1 2 3]")
			db.Close()
		}
	})
	checks.Check("copy", func() {
		db := open("", "sslmode=disable")
		defer db.Close()
		tx, err := db.Begin()
		checks.Must(err)
		exec(tx, "create temp table t (n int, s text)")
		rows, err := tx.Prepare(pq.CopyIn("t", "n", "s"))
		checks.Must(err)
		for n := range 100000 {
			exec(statement{rows}, "", n, fmt.Sprint("row ", n))
		}
		exec(statement{rows}, "")
		checks.Must(rows.Close())
		checks.That(one[int](tx, "select count(*) from t") == 100000)
		checks.Must(tx.Commit())
	})
	checks.Check("errors", func() {
		db := open("", "sslmode=disable")
		defer db.Close()
		_, err := db.Exec("selec")
		fails("42601", err)
		_, err = db.Exec("select 1/$1::int", 0)
		fails("22012", err)
		wrong := open("", "sslmode=disable&password=wrong")
		defer wrong.Close()
		fails("28P01", wrong.Ping())
	})
	checks.Check("transactions", func() {
		db := open("", "sslmode=disable")
		defer db.Close()
		tx, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true})
		checks.Must(err)
		checks.That(one[string](tx, "show transaction_isolation") == "serializable")
		_, err = tx.Exec("create table no (n int)")
		fails("25006", err)
		checks.Must(tx.Rollback())
	})
	checks.Check("cancel", func() {
		db := open("", "sslmode=disable")
		defer db.Close()
		short, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer stop()
		began := time.Now()
		_, err := db.ExecContext(short, "select pg_sleep(30)")
		checks.That(err != nil && time.Since(began) < 10*time.Second, err)
		checks.That(one[int](db, "select 1") == 1)
		left := 1
		for range 50 {
			if left = one[int](db, "select count(*) from pg_stat_activity where query ~ '^select pg_sleep'"); left == 0 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		checks.That(left == 0, "it goes on")
	})
	checks.Check("notify", func() {
		db := open("", "sslmode=disable")
		defer db.Close()
		listener := pq.NewListener(checks.URL("", "sslmode=disable"), time.Second, time.Second, nil)
		defer listener.Close()
		checks.Must(listener.Listen("news"))
		exec(db, "notify news, 'hello'")
		select {
		case n := <-listener.Notify:
			checks.That(n != nil && n.Channel == "news" && n.Extra == "hello")
		case <-time.After(10 * time.Second):
			panic("no notification")
		}
	})
	checks.Check("pool", func() {
		db := open("", "sslmode=disable")
		defer db.Close()
		db.SetMaxOpenConns(10)
		db.SetMaxIdleConns(10)
		exec(db, "create table counter_q (n int)")
		exec(db, "insert into counter_q values (0)")
		checks.AtOnce(20, func(int) {
			for range 50 {
				exec(db, "update counter_q set n = n + $1", 1)
			}
		})
		checks.That(one[int](db, "select n from counter_q") == 1000)
		exec(db, "drop table counter_q")
	})
	checks.Check("tls", func() {
		if checks.CA == "" {
			return
		}
		db := open("localhost", "sslmode=verify-full&sslrootcert="+checks.CA)
		defer db.Close()
		checks.That(one[int](db, "select 1") == 1)
	})
}

type statement struct{ *sql.Stmt }

func (s statement) Exec(_ string, values ...any) (sql.Result, error) { return s.Stmt.Exec(values...) }
