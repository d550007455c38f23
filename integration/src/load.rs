//! Load: closed loops that send as fast as they are answered, and an open loop that keeps its rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

/// What a load saw.
#[derive(Debug, Clone)]
pub struct Report {
    pub answered: u64,
    pub failed: u64,
    /// The first failures, for people.
    pub samples: Vec<String>,
    /// Microseconds; in an open loop counted from when the request was due.
    pub latency: Histogram<u64>,
    pub elapsed: Duration,
}

impl Report {
    fn new() -> Result<Self> {
        let latency = Histogram::new_with_bounds(1, 120_000_000, 3).context("make a histogram")?;
        Ok(Self { answered: 0, failed: 0, samples: Vec::new(), latency, elapsed: Duration::ZERO })
    }

    fn note(&mut self, outcome: Result<()>, since: Instant) {
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.latency.saturating_record(micros);
        match outcome {
            Ok(()) => self.answered += 1,
            Err(error) => {
                self.failed += 1;
                if self.samples.len() < 5 {
                    self.samples.push(format!("{error:#}"));
                }
            }
        }
    }

    fn add(&mut self, other: &Self) -> Result<()> {
        self.answered += other.answered;
        self.failed += other.failed;
        self.samples.extend(other.samples.iter().cloned());
        self.latency.add(&other.latency).context("add histograms")
    }

    /// The latency that 99 of 100 requests kept.
    pub fn p99(&self) -> Duration {
        Duration::from_micros(self.latency.value_at_quantile(0.99))
    }

    /// The latency that half of the requests kept.
    pub fn p50(&self) -> Duration {
        Duration::from_micros(self.latency.value_at_quantile(0.5))
    }
}

/// `workers` loops that call `request` until `stop` is set.
pub async fn closed<F, T>(workers: usize, stop: Arc<AtomicBool>, request: F) -> Result<Report>
where
    F: Fn() -> T + Clone + Send + 'static,
    T: Future<Output = Result<()>> + Send + 'static,
{
    let started = Instant::now();
    let loops = (0..workers).map(|_| {
        let (stop, request) = (Arc::clone(&stop), request.clone());
        tokio::spawn(async move {
            let mut report = Report::new()?;
            while !stop.load(Ordering::Relaxed) {
                let since = Instant::now();
                let outcome = request().await;
                report.note(outcome, since);
            }
            anyhow::Ok(report)
        })
    });
    let mut total = Report::new()?;
    for one in loops.collect::<Vec<_>>() {
        total.add(&one.await.context("a loop panicked")??)?;
    }
    total.elapsed = started.elapsed();
    Ok(total)
}

/// `rate` requests a second for `duration`, whether or not earlier ones were answered; at most `in_flight_max` at once,
/// beyond which a request counts as failed.
pub async fn open<F, T>(rate: u32, duration: Duration, in_flight_max: u64, request: F) -> Result<Report>
where
    F: Fn() -> T + Clone + Send + 'static,
    T: Future<Output = Result<()>> + Send + 'static,
{
    let started = Instant::now();
    let gap = Duration::from_secs(1) / rate.max(1);
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
    let in_flight = Arc::new(AtomicU64::new(0));
    let mut due = started;
    while due.duration_since(started) < duration {
        tokio::time::sleep_until(due.into()).await;
        let (send, request, in_flight, since) = (send.clone(), request.clone(), Arc::clone(&in_flight), due);
        if in_flight.fetch_add(1, Ordering::Relaxed) >= in_flight_max {
            in_flight.fetch_sub(1, Ordering::Relaxed);
            let _ = send.send((Err(anyhow::anyhow!("too many requests wait")), since.elapsed()));
        } else {
            tokio::spawn(async move {
                let outcome = request().await;
                in_flight.fetch_sub(1, Ordering::Relaxed);
                let _ = send.send((outcome, since.elapsed()));
            });
        }
        due += gap;
    }
    drop(send);
    let mut report = Report::new()?;
    while let Some((outcome, took)) = receive.recv().await {
        report.note(outcome, Instant::now().checked_sub(took).unwrap_or(started));
    }
    report.elapsed = started.elapsed();
    Ok(report)
}
