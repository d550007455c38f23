//! Messages on their way to whoever claims them.

use std::sync::Arc;
use std::time::Duration;

use super::head;
use super::inner::{Inner, ms};
use crate::broker::metrics::Event;
use crate::broker::{Claim, Claimed, Error, GroupKey, Token};

/// A claim is full with so many bytes, and has one message at least.
const CLAIM_BYTES: usize = 8 << 20;

/// A claim that nobody has yet. When it is dropped its messages go back as if it had not been, rather than wait for their
/// lease to end.
pub(super) struct Taken {
    inner: Arc<Inner>,
    key: GroupKey,
    claim: u64,
    messages: Vec<Claimed>,
    /// There may be something to give back.
    is_open: bool,
}

/// Number, tries, head and body.
type Row = (u64, u32, Vec<u8>, Vec<u8>);
/// Messages that came back unanswered, milliseconds until one can be claimed, and what was taken.
type Found = (u64, i64, Vec<Row>);

impl Taken {
    /// One look for messages, and how long until there is something to look for. To be run in a task of its own: it ends
    /// even if nobody waits for it any more.
    pub(super) async fn take(
        inner: Arc<Inner>,
        key: GroupKey,
        claim: Claim,
    ) -> Result<(Self, Option<Duration>), Error> {
        let number = inner.next_claim();
        let call = inner.on_group(&inner.scripts.claim, &key).arg(number).arg(claim.max);
        let call = call.arg(ms(claim.lease)).arg(CLAIM_BYTES);
        let found: Result<Option<Found>, Error> = inner.sure(&call).await;
        let mut taken =
            Self { inner: Arc::clone(&inner), key, claim: number, messages: Vec::new(), is_open: false };
        taken.is_open = matches!(found, Err(Error::Unsure(_)));
        let (failed, due_ms, rows) = found?.ok_or(Error::Unknown)?;
        inner.count(&taken.key.topic, Event::Failed, failed);
        taken.messages = rows.into_iter().filter_map(|row| claimed(number, row)).collect();
        taken.is_open = !taken.messages.is_empty();
        // The clock counts whole milliseconds: one more, so that the time has come and not almost.
        let due = u64::try_from(due_ms).ok().map(|due| Duration::from_millis(due.saturating_add(1)));
        Ok((taken, due))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// They have arrived.
    pub(super) fn keep(mut self) -> Vec<Claimed> {
        self.is_open = false;
        std::mem::take(&mut self.messages)
    }
}

/// One that cannot be read stays leased: it is there for a process that can.
fn claimed(claim: u64, (number, attempt, head, body): Row) -> Option<Claimed> {
    let message = head::decode(&head, body);
    if message.is_none() {
        tracing::error!(number, "A message of the broker cannot be read: was it written by a newer version?");
    }
    Some(Claimed { token: Token(number, claim), message: message?, attempt })
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.is_open {
            let (inner, key, claim) = (Arc::clone(&self.inner), self.key.clone(), self.claim);
            runtime.spawn(async move {
                let release = inner.on_group(&inner.scripts.release, &key).arg(claim);
                // What fails here ends with the lease.
                if let Err(error) = inner.server.retried::<u64>(&release).await {
                    tracing::debug!(%error, "Give a claim back");
                }
            });
        }
    }
}
