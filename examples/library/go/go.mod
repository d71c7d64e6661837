module example/pglite

go 1.19
