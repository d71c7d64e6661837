use clients::{check, url};
use futures::TryStreamExt;
use sqlx::postgres::{PgConnection, PgListener, PgPoolCopyExt, PgPoolOptions};
use sqlx::{Connection, Executor, Row};
use std::time::Duration;

async fn connect(parameters: &str) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect(&url(parameters)).await
}

fn has_code(failure: sqlx::Error, code: &str) {
    let found = failure.as_database_error().and_then(|e| e.code().map(|c| c.to_string()));
    assert_eq!(found.as_deref(), Some(code), "{failure:?}");
}

#[tokio::main]
async fn main() {
    check("settings", async {
        let mut c = connect("sslmode=disable&application_name=me&options[work_mem]=5MB").await?;
        assert_eq!(sqlx::query_scalar::<_, String>("show work_mem").fetch_one(&mut c).await?, "5MB");
        assert_eq!(sqlx::query_scalar::<_, String>("show application_name").fetch_one(&mut c).await?, "me");
        Ok(())
    }).await;
    check("prepared", async {
        let mut c = connect("sslmode=disable").await?;
        for n in 0..300i32 {
            assert_eq!(sqlx::query_scalar::<_, i32>("select $1::int + 1").bind(n).fetch_one(&mut c).await?, n + 1);
        }
        Ok(())
    }).await;
    check("binary", async {
        let mut c = connect("sslmode=disable").await?;
        let bytes: Vec<u8> = (0..=255).collect();
        let row = sqlx::query("select $1::bytea, $2::int8, $3::float8, $4::text, $5::jsonb, $6::int[]")
            .bind(&bytes).bind(-(1i64 << 40)).bind(2.5f64).bind("ünd")
            .bind(sqlx::types::Json(vec![Some(1), None])).bind(vec![Some(1i32), None])
            .fetch_one(&mut c).await?;
        assert_eq!(row.get::<Vec<u8>, _>(0), bytes);
        assert_eq!(row.get::<String, _>(3), "ünd");
        assert_eq!(row.get::<sqlx::types::Json<Vec<Option<i32>>>, _>(4).0, vec![Some(1), None]);
        assert_eq!(row.get::<Vec<Option<i32>>, _>(5), vec![Some(1), None]);
        Ok(())
    }).await;
    check("errors", async {
        let mut c = connect("sslmode=disable").await?;
        has_code(c.execute("selec").await.unwrap_err(), "42601");
        has_code(sqlx::query("select 1/$1::int").bind(0).execute(&mut c).await.unwrap_err(), "22012");
        c.execute("select 1").await?;
        Ok(())
    }).await;
    check("transactions", async {
        let mut c = connect("sslmode=disable").await?;
        c.execute("create temp table t (n int)").await?;
        let mut tx = c.begin().await?;
        tx.execute("insert into t values (1)").await?;
        let mut inner = tx.begin().await?;
        inner.execute("insert into t values (2)").await?;
        inner.rollback().await?;
        tx.commit().await?;
        assert_eq!(sqlx::query_scalar::<_, i64>("select sum(n) from t").fetch_one(&mut c).await?, 1);
        let mut sum = 0i64;
        let mut rows = sqlx::query_scalar::<_, i32>("select generate_series(1, 10000)").fetch(&mut c);
        while let Some(n) = rows.try_next().await? { sum += i64::from(n) }
        assert_eq!(sum, 50005000);
        Ok(())
    }).await;
    check("migrations", async {
        let pool = PgPoolOptions::new().max_connections(10).connect(&url("sslmode=disable")).await?;
        let migrator = sqlx::migrate::Migrator::new(std::path::Path::new("migrations")).await?;
        let (one, two) = futures::join!(migrator.run(&pool), migrator.run(&pool));
        one?;
        two?;
        pool.execute("insert into sx_author (name) values ('a')").await?;
        pool.execute("drop table sx_book, sx_author, _sqlx_migrations").await?;
        pool.close().await;
        Ok(())
    }).await;
    check("copy", async {
        let pool = PgPoolOptions::new().max_connections(2).connect(&url("sslmode=disable")).await?;
        pool.execute("create table sx_copy (n int, s text)").await?;
        let mut copy = pool.copy_in_raw("copy sx_copy from stdin").await?;
        for n in 0..100 {
            let lines: String = (0..1000).map(|m| format!("{}\trow\n", n * 1000 + m)).collect();
            copy.send(lines.as_bytes()).await?;
        }
        assert_eq!(copy.finish().await?, 100000);
        let mut out = pool.copy_out_raw("copy sx_copy to stdout").await?;
        let mut lines = 0;
        while let Some(chunk) = out.try_next().await? { lines += chunk.iter().filter(|b| **b == b'\n').count() }
        drop(out);
        assert_eq!(lines, 100000);
        pool.execute("drop table sx_copy").await?;
        Ok(())
    }).await;
    check("notify", async {
        let mut listener = PgListener::connect(&url("sslmode=disable")).await?;
        listener.listen("news").await?;
        connect("sslmode=disable").await?.execute("notify news, 'hello'").await?;
        let n = tokio::time::timeout(Duration::from_secs(10), listener.recv()).await??;
        assert_eq!((n.channel(), n.payload()), ("news", "hello"));
        Ok(())
    }).await;
    check("pool", async {
        let pool = PgPoolOptions::new().max_connections(10).min_connections(10).connect(&url("sslmode=disable")).await?;
        pool.execute("create table counter_s (n int); insert into counter_s values (0)").await?;
        let work = (0..20).map(|_| { let pool = pool.clone(); tokio::spawn(async move {
            for _ in 0..50 {
                let mut tx = pool.begin().await?;
                sqlx::query("update counter_s set n = n + $1").bind(1).execute(&mut *tx).await?;
                tx.commit().await?;
            }
            Ok::<(), sqlx::Error>(())
        })});
        for done in futures::future::try_join_all(work).await? { done? }
        assert_eq!(sqlx::query_scalar::<_, i32>("select n from counter_s").fetch_one(&pool).await?, 1000);
        pool.execute("drop table counter_s").await?;
        pool.close().await;
        Ok(())
    }).await;
}
