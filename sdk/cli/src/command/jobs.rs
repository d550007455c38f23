//! `micro jobs`: schedules, and what became of their runs.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use micro_api::ServiceName;
use micro_api::jobs::{Run, RunState, Schedule, Start};
use micro_client::{LogQuery, RunQuery};

use crate::environment::Selection;
use crate::format::{Format, ago, cell, from_now, go_duration, now_ms};
use crate::{cli, listing, output};

/// Runs among which the one is looked for whose lines are wanted.
const RUNS_MAX: u64 = 1_000;
/// Lines of the log among which those of a run are looked for.
const LINES_MAX: u64 = 100_000;

/// Look after schedules: when they are due, and what became of their runs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List schedules, when they are due, and how the last run ended
    List {
        /// Only of this service
        service: Option<ServiceName>,
        #[command(flatten)]
        format: Format,
    },
    /// Run a schedule now; it is not waited for
    Run {
        /// The service
        service: ServiceName,
        /// The schedule's name, where there are several
        schedule: Option<String>,
        /// The version, where it is not latest
        #[arg(long)]
        version: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// List runs, newest first
    Runs {
        /// Only of this service
        service: Option<ServiceName>,
        /// Only of the schedule of this name
        schedule: Option<String>,
        /// At most so many runs; 0 is 100
        #[arg(long, short, default_value_t = 0)]
        limit: u64,
        #[command(flatten)]
        format: Format,
    },
    /// Print what a run logged
    Logs {
        /// The service
        service: ServiceName,
        /// The run's id, as `micro jobs runs` lists it; the newest when absent
        run: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    #[command(external_subcommand)]
    Other(Vec<String>),
}

pub(crate) async fn run(args: Args, selection: &Selection) -> Result<()> {
    match args.command {
        None => cli::help(&["jobs"]),
        Some(Command::List { service, format }) => {
            let service = service.map(|name| name.to_string());
            let all = selection.client().await?.jobs(service.as_deref()).await?;
            let now = now_ms();
            let header = ["SERVICE", "VERSION", "NAME", "CRON", "ZONE", "ENDPOINT", "NEXT", "LAST"];
            let empty = "no schedules: a service has them with [[schedule]] in its micro.toml";
            listing::print(&format, &all, header, |one| schedule_row(one, now), empty)
        }
        Some(Command::Run { service, schedule, version, format }) => {
            let start = Start { service: service.to_string(), version, schedule };
            let run = selection.client().await?.jobs_run(&start).await?;
            if format.is_json() {
                return output::json(&run);
            }
            Ok(output::line(&format!("Run {} of {} started", cell(&run.id), cell(&run.schedule)))?)
        }
        Some(Command::Runs { service, schedule, limit, format }) => {
            let service = service.map(|name| name.to_string());
            let query = RunQuery { service, version: None, schedule, limit };
            let runs = selection.client().await?.jobs_runs(&query).await?;
            let now = now_ms();
            let header = ["ID", "SERVICE", "VERSION", "NAME", "STATE", "BY", "STARTED", "TOOK", "ERROR"];
            listing::print(&format, &runs, header, |run| run_row(run, now), "no schedule has run yet")
        }
        Some(Command::Logs { service, run, format }) => logs(&service, run, &format, selection).await,
        Some(Command::Other(args)) => super::unknown("jobs", &args),
    }
}

/// The lines of the service that carry the run's id.
async fn logs(
    service: &ServiceName,
    run: Option<String>,
    format: &Format,
    selection: &Selection,
) -> Result<()> {
    let client = selection.client().await?;
    let query = RunQuery { service: Some(service.to_string()), limit: RUNS_MAX, ..RunQuery::default() };
    let runs = client.jobs_runs(&query).await?;
    let found = match &run {
        Some(id) => runs.into_iter().find(|run| run.id == *id),
        None => runs.into_iter().find(|run| run.state != RunState::Skipped),
    };
    let found = match (found, run) {
        (Some(found), _) => found,
        (None, Some(id)) => bail!("{service} has no run {id}: see `micro jobs runs {service}`"),
        (None, None) => bail!("no schedule of {service} has run yet"),
    };
    // An attempt on another node came before; the tick is before all of them.
    let since_ms = Some(found.tick_ms.min(found.started_ms));
    let query = LogQuery {
        version: Some(found.version.clone()),
        lines: Some(LINES_MAX),
        since_ms,
        ..LogQuery::default()
    };
    let lines = client.logs(service, &query).await.context("read the log")?;
    let mut lines = pin!(lines);
    let mut printed = false;
    while let Some(record) = lines.try_next().await? {
        if record.metadata.get("request") != Some(&found.id) {
            continue;
        }
        printed = true;
        match format.is_json() {
            true => output::line(&serde_json::to_string(&record)?)?,
            false => output::line(&output::harmless(&record.message))?,
        }
    }
    if !printed {
        output::complain(&format!("the run {} logged nothing", found.id));
    }
    Ok(())
}

fn schedule_row(one: &Schedule, now: i64) -> [String; 8] {
    let next = one.next_ms.and_then(|next| u64::try_from(next.saturating_sub(now)).ok());
    let last = one.last.as_ref();
    [
        cell(&one.service),
        cell(&one.version),
        cell(&one.name),
        cell(&one.cron),
        cell(&one.zone),
        if one.endpoint.is_empty() { "(the job)".to_owned() } else { cell(&one.endpoint) },
        next.map_or_else(|| "n/a".to_owned(), |left| from_now(Duration::from_millis(left))),
        last.map_or_else(
            || "n/a".to_owned(),
            |run| format!("{} {}", run.state.as_str(), ago(run.started_ms, now)),
        ),
    ]
}

fn run_row(run: &Run, now: i64) -> [String; 9] {
    let took = run.ended_ms.and_then(|ended| u64::try_from(ended.saturating_sub(run.started_ms)).ok());
    let state = match run.attempts {
        0 | 1 => run.state.as_str().to_owned(),
        attempts => format!("{} (attempt {attempts})", run.state.as_str()),
    };
    [
        cell(&run.id),
        cell(&run.service),
        cell(&run.version),
        cell(&run.schedule),
        state,
        if run.by_hand { "hand" } else { "schedule" }.to_owned(),
        ago(run.started_ms, now),
        took.map_or_else(|| "n/a".to_owned(), |took| go_duration(Duration::from_millis(took))),
        cell(run.error.as_deref().unwrap_or("n/a")),
    ]
}

#[cfg(test)]
mod tests {
    use micro_api::manifest::{Missed, Overlap};

    use super::*;

    fn one() -> Run {
        Run {
            id: "r1".into(),
            service: "app".into(),
            version: "latest".into(),
            schedule: "nightly".into(),
            tick_ms: 1_000,
            state: RunState::Failed,
            by_hand: false,
            attempts: 2,
            node: "n1".into(),
            started_ms: 2_000,
            ended_ms: Some(3_500),
            error: Some("503 paused\nfor now".into()),
        }
    }

    #[test]
    fn rows_say_when_and_how() {
        let row = run_row(&one(), 12_000);
        assert_eq!(row[3..8], ["nightly", "failed (attempt 2)", "schedule", "10s ago", "1.5s"]);
        assert!(!row[8].contains('\n'), "{}", row[8]);
        let under_way = Run { state: RunState::Running, attempts: 1, by_hand: true, ended_ms: None, ..one() };
        assert_eq!(run_row(&under_way, 12_000)[4..8], ["running", "hand", "10s ago", "n/a"]);
        let mut schedule = Schedule {
            service: "app".into(),
            version: "latest".into(),
            name: "nightly".into(),
            cron: "@daily".into(),
            zone: "UTC".into(),
            endpoint: "App.Tick".into(),
            jitter_ms: 0,
            overlap: Overlap::Skip,
            missed: Missed::Skip,
            retry: false,
            next_ms: Some(312_000),
            last: Some(one()),
        };
        assert_eq!(schedule_row(&schedule, 12_000)[6..], ["5 minutes from now", "failed 10s ago"]);
        (schedule.next_ms, schedule.last) = (None, None);
        assert_eq!(schedule_row(&schedule, 12_000)[6..], ["n/a", "n/a"]);
    }
}
