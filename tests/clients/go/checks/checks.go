// Package checks: named checks, each of which passes or says why not.
package checks

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// CA is empty where the server has no TLS.
var CA = os.Getenv("TLS_CA")

// URL of the server, with more parameters; host may be another name for it.
func URL(host, parameters string) string {
	if host == "" {
		host = os.Getenv("PGHOST")
	}
	return fmt.Sprintf("postgres://%s:%s@%s:%s/%s?%s", os.Getenv("PGUSER"), os.Getenv("PGPASSWORD"), host,
		os.Getenv("PGPORT"), os.Getenv("PGDATABASE"), parameters)
}

// Must panics with what went wrong, which Check reports.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// That panics where the condition does not hold.
func That(condition bool, what ...any) {
	if !condition {
		panic(fmt.Sprint(append([]any{"not as expected: "}, what...)...))
	}
}

// Check runs a check.
func Check(name string, run func()) {
	defer func() {
		if failure := recover(); failure != nil {
			fmt.Printf("fail %s %s\n", name, strings.Join(strings.Fields(fmt.Sprint(failure)), " "))
			return
		}
		fmt.Printf("pass %s\n", name)
	}()
	run()
}

// AtOnce runs work in so many goroutines.
func AtOnce(count int, work func(n int)) {
	var group sync.WaitGroup
	var once sync.Once
	var first any
	for n := range count {
		group.Add(1)
		go func() {
			defer group.Done()
			defer func() {
				if failure := recover(); failure != nil {
					once.Do(func() { first = failure })
				}
			}()
			work(n)
		}()
	}
	group.Wait()
	if first != nil {
		panic(first)
	}
}
