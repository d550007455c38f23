//! Ours beside the floor, in turns, as rows.

use std::time::Duration;

use anyhow::{Context, Result};

use super::floor::Floor;
use super::looper::{Looper, Operation, Sample, Turn};
use crate::Effort;
use crate::table::{Goal, Pairs, Row, seconds};

pub(super) const CONCURRENCIES: [u64; 2] = [1, 16];
/// What an embedded operation may take beyond its floor, seconds.
const EMBEDDED_MORE: f64 = 5e-6;
/// Of the floor's throughput, what is kept of a networked one, or of one that moves large values.
const LEAST: f64 = 0.7;

/// How a comparison is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Judge {
    /// Throughput beside the floor's.
    Throughput,
    /// The time of an operation beside the floor's, with little more.
    Embedded,
    /// The same of one that waits for a disk, beside the library on threads of its own.
    Flushed,
}

impl Judge {
    /// Notes a turn: seconds of an operation, ours and the floor's.
    pub(super) fn note(self, pairs: &mut Pairs, ours: f64, floor: f64) {
        match self {
            Self::Throughput => pairs.push(1.0 / ours, 1.0 / floor),
            Self::Embedded | Self::Flushed => pairs.push(ours, floor + EMBEDDED_MORE),
        }
    }

    fn compare(self, pairs: &mut Pairs, ours: Sample, floor: Sample, turn: Turn) {
        match self {
            Self::Throughput => self.note(pairs, 1.0 / ours.rate, 1.0 / floor.rate),
            Self::Embedded | Self::Flushed => self.note(pairs, ours.time(turn), floor.time(turn)),
        }
    }

    /// All turns together.
    pub(super) fn row(self, pairs: Pairs, what: String, floor: &str) -> Row {
        match self {
            Self::Throughput => pairs.row(what, floor, |rate| format!("{rate:.0}/s"), Goal::AtLeast(LEAST)),
            Self::Embedded | Self::Flushed => {
                pairs.row(what, &format!("{floor} + 5 us"), seconds, Goal::AtMost(1.0))
            }
        }
    }
}

/// An operation on a backend, and what it is held against.
pub(super) struct Case {
    /// Capability, operation and backend.
    pub(super) what: String,
    pub(super) operation: Operation,
    /// Operations of a turn.
    pub(super) count: u64,
    /// What the floor is called.
    pub(super) floor_name: &'static str,
    pub(super) floor: Floor,
    pub(super) judge: Judge,
    /// The longest that the median operation may take, one at a time.
    pub(super) allowed: Option<Duration>,
}

/// So many operations of a turn, fewer when it is only to be seen that it works.
pub(super) fn count(whole: u64, effort: Effort) -> u64 {
    if effort.turns > 1 { whole } else { (whole / 10).max(16) }
}

/// Measures a case at each concurrency.
pub(super) async fn compare(looper: &Looper, case: &Case, effort: Effort) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for concurrency in CONCURRENCIES {
        let one = compare_at(looper, case, concurrency, effort).await;
        rows.extend(one.with_context(|| format!("{}, {concurrency} at once", case.what))?);
    }
    Ok(rows)
}

async fn compare_at(looper: &Looper, case: &Case, concurrency: u64, effort: Effort) -> Result<Vec<Row>> {
    let turn = |number: usize| {
        let count = count(case.count, effort);
        Turn { count, first: number as u64 * count, concurrency }
    };
    let warm = Turn { count: count(case.count, effort) / 10 + 1, ..turn(0) };
    looper.run(case.operation, warm).await?;
    case.floor.run(warm).await?;
    let apart = if case.judge == Judge::Flushed { case.floor.apart() } else { None };
    let (mut pairs, mut pairs_apart, mut own) = (Pairs::default(), Pairs::default(), Vec::new());
    for number in 0..effort.turns {
        let turn = turn(number);
        let (ours, floor) = (looper.run(case.operation, turn).await?, case.floor.run(turn).await?);
        own.push(ours.p50);
        case.judge.compare(&mut pairs, ours, floor, turn);
        if let Some(apart) = &apart {
            // Other operations than the floor's: what they write is not there yet.
            let others = Turn { first: turn.first + effort.turns as u64 * turn.count, ..turn };
            case.judge.compare(&mut pairs_apart, ours, apart.run(others).await?, others);
        }
    }
    let what = format!("{}, {concurrency} at once", case.what);
    let mut rows = vec![case.judge.row(pairs, what.clone(), case.floor_name)];
    if apart.is_some() {
        rows.iter_mut().for_each(|row| row.goal = Goal::None);
        rows.push(case.judge.row(pairs_apart, what, &format!("{} by spawn_blocking", case.floor_name)));
    }
    if let Some(allowed) = case.allowed.filter(|_| concurrency == 1) {
        let mut pairs = Pairs::default();
        own.into_iter().for_each(|p50| pairs.push(p50, allowed.as_secs_f64()));
        rows.push(pairs.row(format!("{}, p50", case.what), "allowed", seconds, Goal::AtMost(1.0)));
    }
    Ok(rows)
}
