//! The Rust crate pglite-oxide as bench/throughput.py measures it; the counterpart of replay.cc.
//!
//! `oxide_replay FILE` runs a workload on a temporary database, in this process.
use std::error::Error;
use std::fmt::Write as _;
use std::time::Instant;

use pglite_oxide::{ExecProtocolOptions, Pglite};

type Failure = Box<dyn Error>;

const MAGIC: &[u8] = b"pglite-replay 1\n";

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, size: usize) -> Result<&'a [u8], Failure> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or("the workload is truncated")?;
        self.rest = rest;
        Ok(taken)
    }
    fn number(&mut self) -> Result<usize, Failure> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into()?) as usize)
    }
}

#[derive(Default)]
struct Seen {
    checksum: crc32fast::Hasher,
    rows: usize,
    bytes: usize,
    error: String, // the first ErrorResponse, fit for JSON
}

/// As look_at() in replay.cc.
fn look_at(mut answer: &[u8], seen: &mut Seen) -> Result<(), Failure> {
    seen.bytes += answer.len();
    let mut last = 0;
    while answer.len() >= 5 {
        last = answer[0];
        let size = 1 + u32::from_be_bytes(answer[1..5].try_into()?) as usize;
        if size > answer.len() {
            return Err("an answer that ends inside a message".into());
        }
        let (message, rest) = answer.split_at(size);
        match last {
            b'E' if seen.error.is_empty() => {
                let unfit = |c: char| c < ' ' || c == '"' || c == '\\';
                seen.error = String::from_utf8_lossy(&message[5..]).replace(unfit, " ");
            }
            b'D' | b'd' => {
                seen.rows += 1;
                seen.checksum.update(message);
            }
            b'C' => seen.checksum.update(message),
            _ => {}
        }
        answer = rest;
    }
    if last == b'Z' { Ok(()) } else { Err("an answer without ReadyForQuery".into()) }
}

fn main() -> Result<(), Failure> {
    let file = std::env::args().nth(1).ok_or("oxide_replay: FILE")?;
    let bytes = std::fs::read(file)?;
    let mut reader = Reader { rest: &bytes };
    if reader.take(MAGIC.len())? != MAGIC {
        return Err("not a workload file".into());
    }
    reader.number()?; // the longest answer
    let mut db = Pglite::builder().temporary().relaxed_durability(true).open()?;
    let mut out = String::from("{\"items\": [");
    for i in 0..reader.number()? {
        let length = reader.number()?;
        let name = String::from_utf8(reader.take(length)?.to_vec())?;
        let timed = reader.number()? != 0;
        let requests = reader.number()?;
        let mut seen = Seen::default();
        let mut samples = Vec::with_capacity(requests);
        for n in 0..requests {
            let mut request = Vec::new();
            for _ in 0..reader.number()? {
                let size = reader.number()?;
                request.extend_from_slice(reader.take(size)?);
            }
            let start = Instant::now();
            let answer = db.exec_protocol_raw(&request, ExecProtocolOptions::no_sync());
            samples.push(start.elapsed().as_secs_f64() * 1e6);
            answer
                .map_err(|error| Failure::from(format!("{error:#}")))
                .and_then(|answer| look_at(&answer, &mut seen))
                .map_err(|error| format!("{name}, request {}: {error}", n + 1))?;
        }
        let total: f64 = samples.iter().sum();
        samples.sort_by(f64::total_cmp);
        let last = samples.len().saturating_sub(1) as f64;
        let quantile = |q: f64| samples.get((q * last) as usize).copied().unwrap_or(0.0);
        write!(
            out,
            "{}{{\"name\": \"{name}\", \"timed\": {timed}, \"ms\": {:.4}, \"requests\": {requests}, \
             \"p50_us\": {:.3}, \"p99_us\": {:.3}, \"rows\": {}, \"bytes\": {}, \"checksum\": \
             \"{:08x}\", \"error\": \"{}\"}}",
            if i == 0 { "" } else { ", " },
            total / 1000.0,
            quantile(0.5),
            quantile(0.99),
            seen.rows,
            seen.bytes,
            seen.checksum.finalize(),
            seen.error,
        )?;
    }
    println!("{out}]}}");
    Ok(())
}
