//! The server of the Rust crate pglite-oxide as bench/server.py measures it.
//!
//! `oxide_serve ROOT tcp ADDRESS` or `oxide_serve ROOT unix PATH` serves the database below ROOT until it is killed.
use std::error::Error;

use pglite_oxide::PgliteServer;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [root, kind, place] = words.as_slice() else {
        return Err("usage: oxide_serve ROOT tcp|unix ADDRESS|PATH".into());
    };
    let builder = PgliteServer::builder().path(root);
    let _server = match kind.as_str() {
        "tcp" => builder.tcp(place.parse()?).start()?,
        "unix" => builder.unix(place).start()?,
        other => return Err(format!("no kind of address: {other}").into()),
    };
    loop {
        std::thread::park();
    }
}
