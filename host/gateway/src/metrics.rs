//! What the gateway counts. No namespace or service is a label: their number has no bound.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Answers by class of status, 1xx to 5xx.
    classes: [AtomicU64; 5],
    micros: AtomicU64,
    refused: AtomicU64,
}

impl Metrics {
    pub(crate) fn answered(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(count) = self.classes.get(class) {
            count.fetch_add(1, Relaxed);
        }
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// A connection was closed because there were too many.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Prometheus text.
    pub(crate) fn render(&self, in_flight: usize, waiting: usize) -> String {
        let mut text = String::from(
            "# HELP micro_gateway_requests_total Answered requests by class of status.\n# TYPE micro_gateway_requests_total counter\n",
        );
        for (class, count) in self.classes.iter().enumerate() {
            let _ = writeln!(
                text,
                "micro_gateway_requests_total{{status=\"{}xx\"}} {}",
                class + 1,
                count.load(Relaxed)
            );
        }
        for (name, kind, help, value) in [
            (
                "micro_gateway_request_microseconds_total",
                "counter",
                "Time to the answers' heads.",
                self.micros.load(Relaxed),
            ),
            (
                "micro_gateway_connections_refused_total",
                "counter",
                "Connections above the limits.",
                self.refused.load(Relaxed),
            ),
            ("micro_gateway_requests_in_flight", "gauge", "Requests being answered.", in_flight as u64),
            ("micro_gateway_requests_waiting", "gauge", "Requests that wait for room.", waiting as u64),
        ] {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
        text
    }
}
