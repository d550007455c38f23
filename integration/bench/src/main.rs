//! `cargo xtask bench`: what the platform costs, each row beside a floor or a peer of the same run.
//!
//! Absolute times drift with the machine; ratios hold. Peers and we take turns, and a ratio is the median over the
//! turns.

mod bare;
mod capabilities;
mod density;
mod deploy;
mod http;
mod identity;
mod inprocess;
mod lists;
mod neighbours;
mod node;
mod table;
mod wrk;

use anyhow::Result;
use clap::Parser;

use table::Table;

/// That of the server, for both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the platform against floors and peers.
#[derive(Debug, Parser)]
struct Options {
    /// Only groups whose name contains this: calls, capabilities/<which>, http, identity, lists, neighbours, density, deploy.
    #[arg(long)]
    only: Option<String>,
    /// Fewer and shorter samples.
    #[arg(long)]
    quick: bool,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Alternating turns of us and the other.
    turns: usize,
    /// Calls of one turn, for rows that count calls.
    calls: u32,
    /// Seconds of one turn, for rows under load.
    seconds: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let effort = if options.quick {
        Effort { turns: 1, calls: 300, seconds: 2 }
    } else {
        Effort { turns: 5, calls: 3_000, seconds: 5 }
    };
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| name.contains(only));
    let mut table = Table::default();
    if wanted("calls") {
        table.attempt("calls", inprocess::measure(effort).await);
    }
    for part in capabilities::Part::ALL.into_iter().filter(|part| wanted(part.name())) {
        // On a thread of the pool, as a server would.
        let measured = tokio::spawn(part.measure(effort)).await;
        table.attempt(part.name(), measured.unwrap_or_else(|error| Err(error.into())));
    }
    if wanted("http") {
        table.attempt("http", http::measure(effort).await);
    }
    if wanted("identity") {
        table.attempt("identity", identity::measure(effort).await);
    }
    if wanted("lists") {
        table.attempt("lists", lists::measure(effort).await);
    }
    if wanted("neighbours") {
        table.attempt("neighbours", neighbours::measure(effort).await);
    }
    if wanted("density") {
        table.attempt("density", density::measure(effort).await);
    }
    if wanted("deploy") {
        table.attempt("deploy", deploy::measure(effort).await);
    }
    print!("{table}");
    Ok(())
}
