use bytes::Bytes;
use clients::{check, url, Failure};
use futures::{future, pin_mut, stream, SinkExt, StreamExt, TryStreamExt};
use std::time::Duration;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

async fn connect(parameters: &str) -> Result<Client, tokio_postgres::Error> {
    let config: Config = url(parameters).parse()?;
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn has_code(failure: &tokio_postgres::Error, code: SqlState) {
    assert_eq!(failure.code(), Some(&code), "{failure:?}");
}

#[tokio::main]
async fn main() {
    check("settings", async {
        let c = connect("application_name=me&options=-c%20work_mem%3D5MB").await?;
        assert_eq!(c.query_one("show work_mem", &[]).await?.get::<_, String>(0), "5MB");
        assert_eq!(c.query_one("show application_name", &[]).await?.get::<_, String>(0), "me");
        Ok(())
    }).await;
    check("prepared", async {
        let c = connect("").await?;
        let plus = c.prepare("select $1::int + 1").await?;
        for n in 0..200 {
            assert_eq!(c.query_one(&plus, &[&n]).await?.get::<_, i32>(0), n + 1);
        }
        // Pipelined.
        let many = (0..500i32).map(|n| { let (c, plus) = (&c, &plus); async move { c.query_one(plus, &[&n]).await } });
        assert_eq!(future::try_join_all(many).await?.len(), 500);
        Ok(())
    }).await;
    check("binary", async {
        let c = connect("").await?;
        let bytes: Vec<u8> = (0..=255).collect();
        let json = serde_json::json!({"a": [1, null]});
        let row = c.query_one(
            "select $1::bytea, $2::int8, $3::float8, $4::text, $5::jsonb, $6::int[]",
            &[&bytes, &-(1i64 << 40), &2.5f64, &"ünd", &json, &vec![Some(1i32), None, Some(3)]],
        ).await?;
        assert_eq!(row.get::<_, Vec<u8>>(0), bytes);
        assert_eq!(row.get::<_, i64>(1), -(1i64 << 40));
        assert_eq!(row.get::<_, f64>(2), 2.5);
        assert_eq!(row.get::<_, String>(3), "ünd");
        assert_eq!(row.get::<_, serde_json::Value>(4), json);
        assert_eq!(row.get::<_, Vec<Option<i32>>>(5), vec![Some(1), None, Some(3)]);
        Ok(())
    }).await;
    check("copy", async {
        let c = connect("").await?;
        c.batch_execute("create temp table t (n int, s text)").await?;
        let sink = c.copy_in("copy t from stdin (format binary)").await?;
        let writer = BinaryCopyInWriter::new(sink, &[Type::INT4, Type::TEXT]);
        pin_mut!(writer);
        for n in 0..50000i32 {
            writer.as_mut().write(&[&n, &format!("row {n}")]).await?;
        }
        assert_eq!(writer.finish().await?, 50000);
        let out = c.copy_out("copy t to stdout").await?;
        let lines = out.try_fold(0, |sum, chunk| future::ok(sum + chunk.iter().filter(|b| **b == b'\n').count())).await?;
        assert_eq!(lines, 50000);
        let sink = c.copy_in("copy t from stdin").await?;
        pin_mut!(sink);
        let mut wrong = stream::iter((0..1000).map(|_| Ok(Bytes::from("x\ty\n".repeat(1000)))));
        let failure = match sink.send_all(&mut wrong).await {
            Err(failure) => failure,
            Ok(()) => sink.finish().await.unwrap_err(),
        };
        has_code(&failure, SqlState::INVALID_TEXT_REPRESENTATION);
        Ok(())
    }).await;
    check("errors", async {
        let c = connect("").await?;
        has_code(&c.simple_query("selec").await.unwrap_err(), SqlState::SYNTAX_ERROR);
        has_code(&c.query("select 1/$1::int", &[&0]).await.unwrap_err(), SqlState::DIVISION_BY_ZERO);
        let mut config: Config = url("").parse()?;
        has_code(&config.password("wrong").connect(NoTls).await.err().unwrap(), SqlState::INVALID_PASSWORD);
        Ok(())
    }).await;
    check("transactions", async {
        let mut c = connect("").await?;
        c.batch_execute("create temp table t (n int)").await?;
        let mut tx = c.transaction().await?;
        tx.execute("insert into t values (1)", &[]).await?;
        let inner = tx.transaction().await?;
        inner.execute("insert into t values (2)", &[]).await?;
        inner.rollback().await?;
        let statement = tx.prepare("select generate_series(1, 10000)").await?;
        let portal = tx.bind(&statement, &[]).await?;
        let mut sum = 0i64;
        loop {
            let rows = tx.query_portal(&portal, 100).await?;
            if rows.is_empty() { break }
            sum += rows.iter().map(|row| i64::from(row.get::<_, i32>(0))).sum::<i64>();
        }
        assert_eq!(sum, 50005000);
        tx.commit().await?;
        assert_eq!(c.query_one("select sum(n) from t", &[]).await?.get::<_, i64>(0), 1);
        Ok(())
    }).await;
    check("cancel", async {
        let c = connect("").await?;
        let token = c.cancel_token();
        let (result, canceled) = future::join(c.simple_query("select pg_sleep(30)"), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            token.cancel_query(NoTls).await
        }).await;
        canceled?;
        has_code(&result.unwrap_err(), SqlState::QUERY_CANCELED);
        c.simple_query("select 1").await?;
        Ok(())
    }).await;
    check("notify", async {
        let (a, mut connection) = url("").parse::<Config>()?.connect(NoTls).await?;
        let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(n) = message { let _ = send.send(n.payload().to_string()); }
            }
        });
        a.batch_execute("listen news").await?;
        connect("").await?.batch_execute("notify news, 'hello'").await?;
        assert_eq!(receive.recv().await.as_deref(), Some("hello"));
        Ok(())
    }).await;
    check("pool", async {
        let c = connect("").await?;
        c.batch_execute("create table counter_t (n int); insert into counter_t values (0)").await?;
        let work = (0..10).map(|_| tokio::spawn(async {
            let c = connect("").await?;
            for _ in 0..50 { c.execute("update counter_t set n = n + 1", &[]).await?; }
            Ok::<(), Failure>(())
        }));
        for done in future::try_join_all(work).await? { done? }
        assert_eq!(c.query_one("select n from counter_t", &[]).await?.get::<_, i32>(0), 500);
        c.batch_execute("drop table counter_t").await?;
        Ok(())
    }).await;
}
