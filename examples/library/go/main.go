package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

func run() error {
	ctx := context.Background()
	db, err := Open()
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.Query(ctx, "create table fruit (name text, price numeric)"); err != nil {
		return err
	}
	if _, err := db.Query(ctx, "insert into fruit values ($1, $2), ($3, $4)", "apple", "0.50", "plum", "0.25"); err != nil {
		return err
	}
	rows, err := db.Query(ctx, "select * from fruit order by price")
	if err != nil {
		return err
	}
	fmt.Println(rows)

	var failed *Error
	if _, err = db.Query(ctx, "select 1/0"); errors.As(err, &failed) {
		fmt.Println(failed)
	}

	short, done := context.WithTimeout(ctx, 100*time.Millisecond)
	defer done()
	if _, err = db.Query(short, "select pg_sleep(3600)"); errors.As(err, &failed) {
		fmt.Println(failed)
	}

	// One database in each goroutine.
	sums := make([]string, 4)
	var all sync.WaitGroup
	for i := range sums {
		i := i
		all.Add(1)
		go func() {
			defer all.Done()
			sums[i] = sum(ctx, i)
		}()
	}
	all.Wait()
	fmt.Println(sums)

	// Go's own handling of faults is as ever: a nil pointer is a panic.
	fmt.Println("recovered:", nilPointer())
	return nil
}

func sum(ctx context.Context, i int) string {
	db, err := Open()
	if err != nil {
		return err.Error()
	}
	defer db.Close()
	rows, err := db.Query(ctx, "select sum(n) from generate_series(1, $1::int) n", fmt.Sprint(1000*(i+1)))
	if err != nil {
		return err.Error()
	}
	return rows[0][0]
}

func nilPointer() (recovered any) {
	defer func() { recovered = recover() }()
	var fruit *struct{ price int }
	fmt.Println(fruit.price)
	return nil
}
