//! A circuit breaker: a node that failed several times in a row is left alone for a while, and then tried by one call.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures in a row that open it.
const FAILURES: u32 = 5;
/// How long it stays open at first; twice as long after each failed trial.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A trial that nobody answered for is forgotten after this.
const TRIAL: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Open until then, and how long that was; none: closed.
    open: Option<(Instant, Duration)>,
    /// A trial is under way until then.
    trial: Option<Instant>,
}

impl Breaker {
    /// Whether calls go through.
    pub(super) fn is_closed(&self) -> bool {
        self.0.lock().open.is_none()
    }

    /// Takes the one trial that an open breaker allows after its pause.
    pub(super) fn try_again(&self, now: Instant) -> bool {
        let mut state = self.0.lock();
        let due = state.open.is_some_and(|(until, _)| now >= until);
        let free = state.trial.is_none_or(|until| now >= until);
        if due && free {
            state.trial = Some(now + TRIAL);
        }
        due && free
    }

    /// What came of a call.
    pub(super) fn told(&self, worked: bool, now: Instant) {
        let mut state = self.0.lock();
        if worked {
            *state = State::default();
            return;
        }
        state.failures = state.failures.saturating_add(1);
        state.trial = None;
        match state.open {
            // A call from before it opened says nothing new.
            Some((until, _)) if now < until => {}
            Some((_, pause)) => {
                let pause = (pause * 2).min(PAUSE_MAX);
                state.open = Some((now + pause, pause));
            }
            None if state.failures >= FAILURES => state.open = Some((now + PAUSE, PAUSE)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_call_try() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 1..FAILURES {
            breaker.told(false, start);
        }
        assert!(breaker.is_closed());
        breaker.told(true, start);
        for _ in 0..FAILURES {
            assert!(breaker.is_closed());
            breaker.told(false, start);
        }
        assert!(!breaker.is_closed());
        assert!(!breaker.try_again(start));
        let later = start + PAUSE;
        assert!(breaker.try_again(later), "one call may try");
        assert!(!breaker.is_closed() && !breaker.try_again(later), "and no other meanwhile");
        breaker.told(false, later);
        assert!(!breaker.try_again(later + PAUSE), "the next pause is longer");
        assert!(breaker.try_again(later + PAUSE * 2));
        breaker.told(true, later + PAUSE * 2);
        assert!(breaker.is_closed());
    }

    #[test]
    fn a_trial_that_was_dropped_is_not_waited_for() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES {
            breaker.told(false, start);
        }
        let later = start + PAUSE;
        assert!(breaker.try_again(later));
        assert!(!breaker.try_again(later + TRIAL / 2));
        assert!(breaker.try_again(later + TRIAL));
    }

    #[test]
    fn pauses_have_a_longest() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES {
            breaker.told(false, now);
        }
        for _ in 0..20 {
            now += PAUSE_MAX;
            assert!(breaker.try_again(now));
            breaker.told(false, now);
        }
        assert!(breaker.try_again(now + PAUSE_MAX));
    }
}
