//! What a service can do to the host that runs it.

use std::time::Duration;

use futures::future::join_all;
use micro_sdk::{Error, http};

use crate::{BadNeighbourClient, Request};

/// How many calls are open at once.
const CALLS: usize = 1_000;

/// Prints lines of a kilobyte without end.
pub fn flood() -> ! {
    let line = "all work and no play ".repeat(50);
    loop {
        println!("{line}");
    }
}

/// Logs lines without end.
pub fn log() -> ! {
    let line = "all work and no play ".repeat(50);
    loop {
        micro_sdk::info!("{line}");
    }
}

/// Opens many HTTP requests at once and returns how many failed.
pub async fn outbound(url: &str) -> u32 {
    let requests = (0..CALLS).map(|_| http::send(http::Request::get(url)));
    failures(join_all(requests).await)
}

/// Calls this very service many times at once and returns how many failed.
pub async fn calls() -> u32 {
    let client = BadNeighbourClient::new("bad-neighbour");
    let request = || Request { milliseconds: 1_000, ..Request::default() };
    failures(join_all((0..CALLS).map(|_| client.sleep(request()))).await)
}

fn failures<T>(results: Vec<Result<T, Error>>) -> u32 {
    results.iter().map(|result| u32::from(result.is_err())).sum()
}

/// Blocks in a call of the host.
pub fn block(time: Duration) {
    std::thread::sleep(time);
}

/// Makes entries in the host's table of handles and keeps them all.
#[cfg(target_arch = "wasm32")]
pub fn tables() -> ! {
    use micro_sdk::bindings::web::wasi::http::types::Fields;
    loop {
        std::mem::forget(Fields::new());
    }
}

/// There is no host natively.
#[cfg(not(target_arch = "wasm32"))]
pub fn tables() -> ! {
    panic!("only a component has handles")
}

#[cfg(test)]
mod tests {
    use micro_sdk::test::World;

    use super::*;

    #[micro_sdk::test]
    async fn failed_requests_are_counted() {
        let world = World::new();
        assert_eq!(outbound("http://localhost:9/").await, 1_000);
        assert_eq!(calls().await, 1_000);
        world.http(|_| Ok(http::Response::text("fine")));
        assert_eq!(outbound("http://localhost:9/").await, 0);
    }
}
