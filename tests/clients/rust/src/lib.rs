//! Named checks, each of which passes or says why not.
use std::future::Future;
use std::time::Duration;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;
pub type Outcome = Result<(), Failure>;

pub fn url(parameters: &str) -> String {
    let get = |name| std::env::var(name).unwrap_or_default();
    format!(
        "postgres://{}:{}@{}:{}/{}?{}",
        get("PGUSER"), get("PGPASSWORD"), get("PGHOST"), get("PGPORT"), get("PGDATABASE"), parameters
    )
}

pub async fn check<F: Future<Output = Outcome> + Send + 'static>(name: &str, run: F) {
    let limit = Duration::from_secs(60);
    let failure = match tokio::time::timeout(limit, tokio::spawn(run)).await {
        Ok(Ok(Ok(()))) => return println!("pass {name}"),
        Ok(Ok(Err(failure))) => format!("{failure:?}"),
        Ok(Err(panic)) => format!("{panic:?}"),
        Err(_) => "no answer in 60 s".into(),
    };
    println!("fail {name} {}", failure.split_whitespace().collect::<Vec<_>>().join(" "));
}
