//! `[[schedule]]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Manifest;
use super::parse::{Fault, Places};
use crate::cron::{Cron, CronError, UTC};
use crate::quantity;

/// Most schedules of one service.
const SCHEDULES_MAX: usize = 20;
/// Longest name, bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// What people call the schedule of a job that has no other name.
const JOB: &str = "run";
/// Longest `jitter`.
const JITTER_MAX: Duration = Duration::from_secs(3_600);

/// When the platform calls an endpoint of the service, or starts the job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// What people call it: letters, digits, `.`, `_` and `-`, at most 64; the endpoint when absent, `run` of a job.
    pub name: Option<String>,
    /// Minute, hour, day of the month, month and day of the week, such as `"30 6 * * MON-FRI"`, or a name, such as
    /// `"@hourly"`; required.
    pub cron: String,
    /// The time zone of the fields, such as `"Europe/Berlin"`; UTC when absent.
    pub zone: Option<String>,
    /// Begin up to this much later, another time at each tick, such as `"30s"`; at most an hour.
    pub jitter: Option<String>,
    /// What happens at a tick while the run before it is still under way.
    pub overlap: Overlap,
    /// What happens to ticks while the platform was down.
    pub missed: Missed,
    /// A run whose node died is begun again, twice at most. The endpoint may be called, and the job started, more than once then.
    pub retry: bool,
    /// `Service.Method`; absent only of a job (`wasi:cli/run`), which is started then.
    pub endpoint: String,
}

/// What happens at a tick while the run before it is still under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// The tick is noted as skipped.
    #[default]
    Skip,
    /// Both run.
    Allow,
}

/// What happens to ticks while the platform was down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// Nothing.
    #[default]
    Skip,
    /// The last of them runs late.
    Once,
}

/// Values of a parsed manifest are valid, so each accessor falls back only where the key is absent.
impl Schedule {
    /// What people call it.
    pub fn name(&self) -> &str {
        let otherwise = if self.is_job() { JOB } else { &self.endpoint };
        self.name.as_deref().unwrap_or(otherwise)
    }

    /// It starts the job instead of calling an endpoint.
    pub fn is_job(&self) -> bool {
        self.endpoint.is_empty()
    }

    /// The name of its time zone.
    pub fn zone(&self) -> &str {
        self.zone.as_deref().unwrap_or(UTC)
    }

    /// How much later than its tick a run may begin.
    pub fn jitter(&self) -> Duration {
        let jitter = self.jitter.as_deref().and_then(|text| quantity::duration(text).ok());
        jitter.unwrap_or_default().min(JITTER_MAX)
    }

    /// When it is due.
    ///
    /// # Errors
    /// Only of what [`super::parse`] has not checked.
    pub fn times(&self) -> Result<Cron, CronError> {
        Cron::parse(&self.cron, self.zone())
    }
}

pub(super) fn check(manifest: &Manifest, places: &Places<'_, '_>) -> Result<(), Fault> {
    let all = &manifest.schedule;
    if all.len() > SCHEDULES_MAX {
        let span = places.listed("schedule", SCHEDULES_MAX, "cron", None);
        return Err(Fault::new(span, format!("a service has at most {SCHEDULES_MAX} schedules")));
    }
    for (number, one) in all.iter().enumerate() {
        check_one(one, |key| places.listed("schedule", number, key, None))?;
        if all.iter().take(number).any(|other| other.name() == one.name()) {
            let span = places.listed("schedule", number, "name", None);
            let fault = Fault::new(span, format!("two schedules have the name `{}`", one.name()));
            return Err(fault.hint("give each a `name` of its own"));
        }
    }
    Ok(())
}

fn check_one(one: &Schedule, span: impl Fn(&str) -> std::ops::Range<usize>) -> Result<(), Fault> {
    if one.cron.is_empty() {
        let fault = Fault::new(span("cron"), "this [[schedule]] has no `cron`");
        return Err(fault.hint("add the fields: `cron = \"0 * * * *\"` is once an hour"));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let name = one.name();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
        let fault = Fault::new(span("name"), format!("`{name}` is no name of a schedule"));
        return Err(fault
            .hint(format!("give it a `name` of 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` and `-`")));
    }
    one.times().map_err(|error| {
        let key = if matches!(error, CronError::Zone(_)) { "zone" } else { "cron" };
        Fault::new(span(key), error.to_string())
    })?;
    if let Some(text) = &one.jitter {
        let time = quantity::duration(text).map_err(|error| Fault::new(span("jitter"), error.to_string()))?;
        if time > JITTER_MAX {
            return Err(Fault::new(span("jitter"), "`jitter` is at most an hour"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn one(more: &str) -> String {
        format!("[[schedule]]\ncron = \"@hourly\"\nendpoint = \"A.B\"\n{more}")
    }

    #[test]
    fn a_schedule_has_defaults() {
        let manifest = parse(&one("")).unwrap();
        let schedule = &manifest.schedule[0];
        assert_eq!((schedule.name(), schedule.zone(), schedule.jitter()), ("A.B", "UTC", Duration::ZERO));
        assert_eq!((schedule.overlap, schedule.missed, schedule.retry), (Overlap::Skip, Missed::Skip, false));
    }

    #[test]
    fn without_an_endpoint_it_is_of_a_job() {
        let manifest = parse("[[schedule]]\ncron = \"@hourly\"\n").unwrap();
        assert!(manifest.schedule[0].is_job() && !parse(&one("")).unwrap().schedule[0].is_job());
        assert_eq!(manifest.schedule[0].name(), "run");
        let twice = "[[schedule]]\ncron = \"@hourly\"\n[[schedule]]\ncron = \"@daily\"\n";
        let said = parse(twice).unwrap_err().to_string();
        assert!(said.contains("two schedules have the name `run`; give each a `name` of its own"), "{said}");
    }

    #[test]
    fn what_is_set_counts() {
        let more = "name = \"nightly\"\nzone = \"Europe/Berlin\"\njitter = \"30s\"\noverlap = \"allow\"\n\
                    missed = \"once\"\nretry = true\n";
        let manifest = parse(&one(more)).unwrap();
        let schedule = &manifest.schedule[0];
        assert_eq!((schedule.name(), schedule.zone()), ("nightly", "Europe/Berlin"));
        assert_eq!(schedule.jitter(), Duration::from_secs(30));
        assert_eq!((schedule.overlap, schedule.missed, schedule.retry), (Overlap::Allow, Missed::Once, true));
    }

    #[test]
    fn faults_say_where_and_what() {
        let many: String = (0..=SCHEDULES_MAX).map(|n| one(&format!("name = \"n{n}\"\n"))).collect();
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for (text, wanted) in [
            ("[[schedule]]\ncron = \"* *\"\n".to_owned(), "2:8: `* *` is no schedule"),
            ("[[schedule]]\nendpoint = \"A.B\"\n".to_owned(), "1:1: this [[schedule]] has no `cron`"),
            (
                "[[schedule]]\nendpoint = \"A.B\"\ncron = \"* * *\"\n".to_owned(),
                "3:8: `* * *` is no schedule",
            ),
            (
                "[[schedule]]\nendpoint = \"A.B\"\ncron = \"*/5 * * * * *\"\n".to_owned(),
                "3:8: `*/5 * * * * *` is no schedule: it has five fields",
            ),
            (one("zone = \"Mars/Olympus\"\n"), "4:8: `Mars/Olympus` is no time zone"),
            (one("jitter = \"2h\"\n"), "4:10: `jitter` is at most an hour"),
            (one("jitter = \"soon\"\n"), "4:10: `soon` is not a duration"),
            (one("name = \"a b\"\n"), "4:8: `a b` is no name of a schedule"),
            (one("name = \"\"\n"), "4:8: `` is no name of a schedule"),
            (one(&format!("name = \"{long}\"\n")), "4:8: `xxx"),
            (one("overlap = \"alow\"\n"), "4:11: schedule.overlap: unknown variant `alow`"),
            (one("crn = \"\"\n"), "4:1: unknown key `crn` in [[schedule]]; did you mean `cron`?"),
            (one("") + &one(""), "4:1: two schedules have the name `A.B`"),
            (many, "82:8: a service has at most 20 schedules"),
        ] {
            let said = parse(&text).unwrap_err().to_string();
            assert!(said.starts_with(&format!("micro.toml:{wanted}")), "{text}\n{said}");
        }
    }
}
