//! A server that is killed while it is written to, and comes back: what the tests of all capabilities do with it.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::{postgres, redis};

/// Kills of one test.
pub(crate) const KILLS: usize = 3;
/// Before this nothing that ought to happen may be given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// A call to a server that is not there has failed by then, on a machine that does much else.
const TOLD_WITHIN: Duration = Duration::from_secs(15);

/// A server process of a test's own.
pub(crate) trait Mortal {
    /// `kill -9`.
    fn kill(&mut self);
    /// Starts it again on its files and its port, once it was killed.
    fn restart(&mut self);
}

impl Mortal for postgres::server::Server {
    fn kill(&mut self) {
        Self::kill(self);
    }

    fn restart(&mut self) {
        Self::restart(self);
    }
}

impl Mortal for redis::server::Server {
    fn kill(&mut self) {
        Self::kill(self);
    }

    fn restart(&mut self) {
        Self::restart(self);
    }
}

/// Kills the server once `loaded`, has `away` look at what is told meanwhile, and starts it again. What the writers had
/// to say, each of which ends with the first call that fails, and only once the server `answers` again.
pub(crate) async fn killed_under<T>(
    process: &mut impl Mortal,
    writers: Vec<JoinHandle<T>>,
    loaded: impl AsyncFn() -> bool,
    away: impl AsyncFn(),
    answers: impl AsyncFn() -> bool,
) -> Vec<T> {
    eventually("it is under load", loaded).await;
    process.kill();
    let mut said = Vec::new();
    for writer in writers {
        said.push(in_time(writer).await.unwrap());
    }
    // Its workers end a moment later than itself.
    eventually("it is gone", async || !answers().await).await;
    in_time(away()).await;
    process.restart();
    eventually("it recovers", &answers).await;
    said
}

/// What a call says to which nobody may answer.
pub(crate) async fn in_time<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(TOLD_WITHIN, call).await.expect("a call ends, whatever its server does")
}

/// Makes a call again while all that is wrong is that too many are made.
pub(crate) async fn unless_busy<T, E, F>(is_busy: fn(&E) -> bool, call: impl Fn() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    loop {
        match call().await {
            Err(error) if is_busy(&error) => tokio::task::yield_now().await,
            other => return other,
        }
    }
}

pub(crate) async fn eventually(what: &str, check: impl AsyncFn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !check().await {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Bytes that do not become fewer when they are compressed.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..bytes.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(bytes).collect()
}
