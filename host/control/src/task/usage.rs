//! Looks at what was used: tells who nears a limit, notes what the last month cost, forgets what is old.

use std::sync::Arc;
use std::time::Duration;

use micro_db::calendar::{day_of, month_of};
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::error::chain;
use crate::plan::{alert, billing};

/// How soon somebody is told.
const EVERY: Duration = Duration::from_secs(5);
/// Rounds between two of the slower things.
const SLOW_EVERY: u32 = 120;
/// Days of usage that are kept: a year, and the month before.
const DAYS_KEPT: i64 = 400;
/// How long the last batch of a process is remembered.
const BATCHES_KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// What was looked at.
#[derive(Debug, Default)]
struct Seen {
    month: i64,
    since_ms: i64,
    day: i64,
    rounds: u32,
}

pub(crate) async fn run(control: Arc<Control>, stop: CancellationToken) {
    let mut seen = Seen::default();
    loop {
        round(&control, &mut seen, micro_db::now_ms()).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// One round. What fails is tried again in the next.
async fn round(control: &Control, seen: &mut Seen, now_ms: i64) {
    let failed =
        |what: &str, error: micro_db::Error| tracing::warn!(error = chain(&error), "Usage: {what} failed");
    let month = month_of(now_ms);
    if seen.month != month {
        (seen.month, seen.since_ms) = (month, 0);
    }
    match alert::look(control, month, seen.since_ms).await {
        Ok(until) => seen.since_ms = until,
        Err(error) => failed("alerts", error),
    }
    if let Err(error) = alert::tell(control).await {
        failed("telling of limits", error);
    }
    if seen.day != day_of(now_ms) {
        match control.db.carry_store(day_of(now_ms)).await {
            Ok(()) => seen.day = day_of(now_ms),
            Err(error) => failed("noting the store's size", error),
        }
    }
    if seen.rounds.is_multiple_of(SLOW_EVERY) {
        if let Err(error) = billing::close_month(control, now_ms).await {
            failed("noting the last month's cost", error);
        }
        if let Err(error) = control.db.prune_usage(day_of(now_ms) - DAYS_KEPT, now_ms - BATCHES_KEPT_MS).await
        {
            failed("forgetting old days", error);
        }
    }
    seen.rounds = seen.rounds.wrapping_add(1);
}
