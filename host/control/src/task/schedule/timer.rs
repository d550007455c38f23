//! When a schedule is due next, and which of the ticks that nobody saw come still counts.

use std::sync::Arc;

use micro_api::cron::{Cron, CronError, jitter};
use micro_api::manifest::Missed;

use crate::Scheduled;

/// A tick that is begun later than this was missed.
pub(crate) const GRACE_MS: i64 = 60_000;

/// What a schedule wants now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing before this moment.
    At(i64),
    /// A run. `unless_after_ms`: it was missed, so others look for it too.
    Now { tick_ms: i64, unless_after_ms: Option<i64> },
    /// Nothing ever.
    Never,
}

/// A schedule, and how far it has come.
pub(super) struct Timer {
    spec: Arc<Scheduled>,
    cron: Cron,
    jitter_ms: i64,
    /// Ticks up to this moment are done with.
    from_ms: i64,
    /// What it wanted when it was asked last.
    known: Option<Due>,
}

impl Timer {
    /// `last_ms`: its newest tick that was had. What came before its deployment was started is none of its business.
    pub(super) fn new(spec: Arc<Scheduled>, last_ms: Option<i64>, now_ms: i64) -> Result<Self, CronError> {
        let cron = spec.schedule.times()?;
        let jitter_ms = i64::try_from(spec.schedule.jitter().as_millis()).unwrap_or_default();
        let from_ms = spec.started_ms.max(last_ms.unwrap_or(i64::MIN)).min(now_ms);
        Ok(Self { spec, cron, jitter_ms, from_ms, known: None })
    }

    /// The same schedule after an update, which goes on where it was. Other times begin now.
    pub(super) fn changed(self, spec: Arc<Scheduled>, now_ms: i64) -> Result<Self, CronError> {
        if Arc::ptr_eq(&self.spec, &spec) {
            return Ok(self);
        }
        let (old, new) = (&self.spec.schedule, &spec.schedule);
        let same = old.cron == new.cron && old.zone() == new.zone();
        let from_ms = if same { self.from_ms } else { now_ms };
        Ok(Self { from_ms, ..Self::new(spec, None, now_ms)? })
    }

    pub(super) fn spec(&self) -> &Arc<Scheduled> {
        &self.spec
    }

    /// The tick was claimed, by whomever.
    pub(super) fn had(&mut self, tick_ms: i64) {
        self.from_ms = self.from_ms.max(tick_ms);
        self.known = None;
    }

    /// What is to be done now. A run is wanted until [`Self::had`].
    pub(super) fn look(&mut self, now_ms: i64) -> Due {
        // Most are asked long before they are due.
        if let Some(known @ (Due::Never | Due::At(_))) = self.known
            && !matches!(known, Due::At(at_ms) if at_ms <= now_ms)
        {
            return known;
        }
        let due = self.find(now_ms);
        self.known = Some(due);
        due
    }

    fn find(&mut self, now_ms: i64) -> Due {
        let mut from_ms = self.from_ms;
        let mut missed = None;
        let present = loop {
            let Some(tick_ms) = self.cron.next_after(from_ms) else { break Due::Never };
            let at_ms = self.begin_ms(tick_ms);
            if at_ms > now_ms {
                break Due::At(at_ms);
            }
            if at_ms.saturating_add(GRACE_MS) >= now_ms {
                break Due::Now { tick_ms, unless_after_ms: None };
            }
            // Everything up to here is too late, whatever its jitter.
            let late_ms = now_ms - GRACE_MS - self.jitter_ms - 1;
            from_ms = self.cron.last_between(from_ms, late_ms).unwrap_or(tick_ms);
            missed = Some(from_ms);
        };
        match missed {
            Some(tick_ms)
                if self.spec.schedule.missed == Missed::Once && !matches!(present, Due::Now { .. }) =>
            {
                Due::Now { tick_ms, unless_after_ms: Some(self.from_ms) }
            }
            _ => {
                self.from_ms = from_ms;
                present
            }
        }
    }

    /// When the run of a tick begins.
    fn begin_ms(&self, tick_ms: i64) -> i64 {
        let one = &self.spec;
        let max = one.schedule.jitter();
        let service = one.service.to_string();
        let parts = [one.namespace.as_str(), &service, &one.version, one.schedule.name()];
        let later = jitter(max, &parts, tick_ms).as_millis();
        tick_ms.saturating_add(i64::try_from(later).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use micro_api::manifest::Schedule;

    use super::*;

    const HOUR: i64 = 3_600_000;
    /// A whole hour.
    const NOON: i64 = 500_000 * HOUR;

    fn spec(change: impl FnOnce(&mut Schedule)) -> Arc<Scheduled> {
        let endpoint = "A.B".to_owned();
        let mut schedule = Schedule { cron: "@hourly".to_owned(), endpoint, ..Schedule::default() };
        change(&mut schedule);
        let (namespace, version) = (micro_api::Namespace::default(), "latest".to_owned());
        Arc::new(Scheduled {
            namespace,
            service: "app".parse().unwrap(),
            version,
            started_ms: NOON + 1,
            schedule,
        })
    }

    fn now(tick_ms: i64) -> Due {
        Due::Now { tick_ms, unless_after_ms: None }
    }

    #[test]
    fn ticks_come_one_by_one() {
        let mut timer = Timer::new(spec(|_| ()), None, NOON + 2).unwrap();
        assert_eq!(timer.look(NOON + 2), Due::At(NOON + HOUR));
        assert_eq!(timer.look(NOON + HOUR - 1), Due::At(NOON + HOUR));
        // It is wanted until it was had, but not for ever.
        assert_eq!(timer.look(NOON + HOUR), now(NOON + HOUR));
        assert_eq!(timer.look(NOON + HOUR + GRACE_MS), now(NOON + HOUR));
        timer.had(NOON + HOUR);
        assert_eq!(timer.look(NOON + HOUR + GRACE_MS), Due::At(NOON + 2 * HOUR));
        assert_eq!(timer.look(NOON + 2 * HOUR + GRACE_MS + 1), Due::At(NOON + 3 * HOUR), "missed");
    }

    #[test]
    fn of_what_was_missed_the_last_is_run_once() {
        let once = || spec(|schedule| schedule.missed = Missed::Once);
        let mut timer = Timer::new(once(), Some(NOON + HOUR), NOON + 9 * HOUR).unwrap();
        let later = NOON + 9 * HOUR + 2 * GRACE_MS;
        let due = Due::Now { tick_ms: NOON + 9 * HOUR, unless_after_ms: Some(NOON + HOUR) };
        assert_eq!(timer.look(later), due);
        assert_eq!(timer.look(later), due, "until it was had");
        timer.had(NOON + 9 * HOUR);
        assert_eq!(timer.look(later), Due::At(NOON + 10 * HOUR));
        // One that is due just now is enough.
        let mut timer = Timer::new(once(), Some(NOON + HOUR), NOON + 9 * HOUR).unwrap();
        assert_eq!(timer.look(NOON + 9 * HOUR + 1), now(NOON + 9 * HOUR));
        timer.had(NOON + 9 * HOUR);
        assert_eq!(timer.look(NOON + 9 * HOUR + 1), Due::At(NOON + 10 * HOUR));
        // Nothing was missed before it was deployed.
        let mut timer = Timer::new(once(), None, NOON + 2).unwrap();
        assert_eq!(timer.look(NOON + 2), Due::At(NOON + HOUR));
    }

    #[test]
    fn a_long_time_away_is_passed_over_quickly() {
        let every = spec(|schedule| {
            schedule.cron = "* * * * *".to_owned();
            schedule.jitter = Some("1h".to_owned());
        });
        let mut timer = Timer::new(every, Some(NOON), NOON + 10_000 * HOUR).unwrap();
        let far = NOON + 10_000 * HOUR;
        let started = std::time::Instant::now();
        let due = timer.look(far);
        assert!(started.elapsed() < std::time::Duration::from_secs(2));
        let tick_ms = match due {
            Due::At(at_ms) => at_ms - HOUR,
            Due::Now { tick_ms, .. } => tick_ms,
            Due::Never => panic!("it comes"),
        };
        assert!(tick_ms > far - HOUR - 2 * GRACE_MS, "{due:?}");
    }

    #[test]
    fn jitter_delays_each_tick() {
        let jittered = spec(|schedule| schedule.jitter = Some("30m".to_owned()));
        let mut timer = Timer::new(jittered, None, NOON + 2).unwrap();
        let Due::At(at_ms) = timer.look(NOON + 2) else { panic!("later") };
        assert!((NOON + HOUR..NOON + HOUR + HOUR / 2).contains(&at_ms));
        assert_eq!(timer.look(at_ms), now(NOON + HOUR));
        timer.had(NOON + HOUR);
        let Due::At(next_ms) = timer.look(at_ms) else { panic!("later") };
        assert_ne!(next_ms - HOUR, at_ms);
    }

    #[test]
    fn an_update_goes_on_and_other_times_begin_now() {
        let timer = || {
            let mut timer = Timer::new(spec(|_| ()), None, NOON + 2).unwrap();
            timer.had(NOON + HOUR);
            timer
        };
        let at = NOON + 2 * HOUR + 5;
        let mut same = timer().changed(spec(|schedule| schedule.retry = true), at).unwrap();
        assert_eq!(same.look(at), now(NOON + 2 * HOUR));
        let mut other =
            timer().changed(spec(|schedule| schedule.cron = "*/30 * * * *".to_owned()), at).unwrap();
        assert_eq!(other.look(at), Due::At(NOON + 2 * HOUR + HOUR / 2));
    }
}
