//! Cutting a page out of an ordered run of keys, the same for every backend that can walk its keys.

use std::ops::{Bound, ControlFlow};

use async_trait::async_trait;
use bytes::Bytes;

use super::backend::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, SCAN_KEYS_MAX};
use super::{Error, Page, Range, Record, TableKey, Want};
use crate::context::unix_ms;

/// Keys that a walk over a server's keys reads at once.
pub(crate) const WINDOW: usize = BATCH_RECORDS_MAX + 24;

/// Where the walk begins: the first key that can match.
pub(crate) fn start(range: &Range) -> Bound<&[u8]> {
    match &range.after {
        Some(after) if after.as_ref() >= range.prefix.as_ref() => Bound::Excluded(after),
        _ => Bound::Included(&range.prefix),
    }
}

/// The first key after all that begin with `prefix`; none: there is no such key.
pub(crate) fn end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// Takes records in key order until the page is full.
pub(crate) struct Cut<'a> {
    range: &'a Range,
    want: Want,
    now_ms: u64,
    limit: usize,
    looked: usize,
    skipped: u64,
    bytes: usize,
    page: Page,
}

/// A key on the walk.
pub(crate) struct Candidate<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value_bytes: usize,
    pub(crate) expires_ms: Option<u64>,
}

impl<'a> Cut<'a> {
    pub(crate) fn new(range: &'a Range, want: Want, now_ms: u64) -> Self {
        let limit = range.limit.min(BATCH_RECORDS_MAX);
        Self { range, want, now_ms, limit, looked: 0, skipped: 0, bytes: 0, page: Page::default() }
    }

    /// Looks at one key; `record` is asked for only when the page takes it.
    pub(crate) fn offer(
        &mut self,
        candidate: &Candidate<'_>,
        record: impl FnOnce() -> Result<(Bytes, Bytes), Error>,
    ) -> Result<ControlFlow<()>, Error> {
        let range = self.range;
        if !candidate.key.starts_with(&range.prefix) {
            return Ok(ControlFlow::Break(()));
        }
        if self.page.records.len() >= self.limit {
            self.page.more = self.limit < range.limit;
            return Ok(ControlFlow::Break(()));
        }
        self.looked += 1;
        if self.looked > SCAN_KEYS_MAX && (!range.suffix.is_empty() || range.offset > 0) {
            return Err(Error::Scan);
        }
        let expired = candidate.expires_ms.is_some_and(|at| at <= self.now_ms);
        if expired || !candidate.key.ends_with(&range.suffix) {
            return Ok(ControlFlow::Continue(()));
        }
        if self.skipped < range.offset {
            self.skipped += 1;
            return Ok(ControlFlow::Continue(()));
        }
        let value_bytes = if self.want == Want::Keys { 0 } else { candidate.value_bytes };
        let bytes = self.bytes + candidate.key.len() + value_bytes;
        if bytes > BATCH_BYTES_MAX && !self.page.records.is_empty() {
            self.page.more = true;
            return Ok(ControlFlow::Break(()));
        }
        self.bytes = bytes;
        let (key, value) = record()?;
        self.page.records.push(Record { key, value, expires_ms: candidate.expires_ms });
        Ok(ControlFlow::Continue(()))
    }

    pub(crate) fn finish(self) -> Page {
        self.page
    }
}

/// A key of a window, the bytes of its value, and the milliseconds that are left to it.
pub(crate) type Glimpse = (Vec<u8>, u64, Option<i64>);

/// A backend that is asked over a network: it shows its keys a window at a time, and values apart.
#[async_trait]
pub(crate) trait Windows {
    /// At most [`WINDOW`] keys from `from` on, below `end`, in order; fewer only where there are no more.
    async fn window(
        &self,
        table: &TableKey,
        from: Bound<&[u8]>,
        end: Option<&[u8]>,
    ) -> Result<Vec<Glimpse>, Error>;

    /// Puts the values of a page's records in; one that went meanwhile is left out.
    async fn fill(&self, table: &TableKey, page: &mut Page) -> Result<(), Error>;
}

/// Walks over windows until the page is full.
pub(crate) async fn walk(
    windows: &impl Windows,
    table: &TableKey,
    range: &Range,
    want: Want,
) -> Result<Page, Error> {
    let end = end(&range.prefix);
    // One moment for the page and for what is left to its records: else time that passes between would bring back what
    // has just expired.
    let now_ms = unix_ms();
    let mut cut = Cut::new(range, want, now_ms);
    let mut from: Option<Vec<u8>> = None;
    'walk: loop {
        let bound = from.as_deref().map_or_else(|| start(range), Bound::Excluded);
        let window = windows.window(table, bound, end.as_deref()).await?;
        for (key, value_bytes, left_ms) in &window {
            let candidate = Candidate {
                key,
                value_bytes: usize::try_from(*value_bytes).unwrap_or(0),
                expires_ms: left_ms.map(|left| now_ms.saturating_add_signed(left)),
            };
            let taken = cut.offer(&candidate, || Ok((Bytes::copy_from_slice(key), Bytes::new())))?;
            if taken == ControlFlow::Break(()) {
                break 'walk;
            }
        }
        if window.len() < WINDOW {
            break;
        }
        from = window.into_iter().next_back().map(|(key, ..)| key);
    }
    let mut page = cut.finish();
    if want == Want::Records && !page.records.is_empty() {
        windows.fill(table, &mut page).await?;
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_key() {
        assert_eq!(end(b"a"), Some(b"b".to_vec()));
        assert_eq!(end(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(end(b"a\0"), Some(b"a\x01".to_vec()));
        assert_eq!(end(b"\xff"), None);
        assert_eq!(end(b""), None);
    }
}
