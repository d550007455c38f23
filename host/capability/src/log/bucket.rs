//! A token bucket as a plain struct.

use std::time::Instant;

/// Fills at a steady rate up to a burst; what is taken must be there.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    tokens: f64,
    burst: f64,
    per_second: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(burst: u32, per_second: u32, now: Instant) -> Self {
        Self { tokens: f64::from(burst), burst: f64::from(burst), per_second: f64::from(per_second), at: now }
    }

    /// Adds tokens, up to the burst.
    pub(crate) fn add(&mut self, tokens: u32) {
        self.tokens = (self.tokens + f64::from(tokens)).min(self.burst);
    }

    /// Takes `tokens`, or nothing.
    pub(crate) fn take(&mut self, tokens: u32, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = passed.mul_add(self.per_second, self.tokens).min(self.burst);
        self.at = now;
        let enough = self.tokens >= f64::from(tokens);
        if enough {
            self.tokens -= f64::from(tokens);
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 2, start);
        assert!(bucket.take(10, start));
        assert!(!bucket.take(1, start));
        assert!(bucket.take(1, start + Duration::from_millis(500)));
        assert!(!bucket.take(11, start + Duration::from_secs(60)), "never more than the burst");
    }
}
