//! More calls at once than an instance may have.

use std::future::poll_fn;
use std::task::Poll;

use micro_sdk::store;

use crate::handler::told;

/// Their values are 96 MiB.
const CALLS: usize = 24;
/// The largest that the store takes.
const VALUE_BYTES: usize = 4 << 20;

/// Begins to write one value many times, and waits for none of the writes before all are begun. Says how many are under
/// way then, what came of each other, and how many of those under way failed.
pub(crate) async fn of_writes(key: &str) -> String {
    let value = vec![b'x'; VALUE_BYTES];
    let (mut waiting, mut said) = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        let mut write = Box::pin(store::set(key, value.clone()));
        match poll_fn(|context| Poll::Ready(write.as_mut().poll(context))).await {
            Poll::Pending => waiting.push(write),
            Poll::Ready(done) => said.push(told(done)),
        }
    }
    let under_way = waiting.len();
    let mut failed = 0;
    for write in waiting {
        failed += u32::from(write.await.is_err());
    }
    said.sort_unstable();
    said.dedup();
    format!("{under_way} under way, {failed} failed: {}", said.join("; "))
}
