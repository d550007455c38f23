//! How far a deployment is: a line per stage with its time, on stderr. On a terminal the running stage moves.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use micro_api::deployment::{Deployment, DeploymentState, Stage};

use crate::output;

/// The stages of one deployment, as far as they were told.
pub(crate) struct Progress {
    begun: Instant,
    /// None when stderr is no terminal: only finished stages are told.
    bar: Option<ProgressBar>,
    running: Option<Running>,
    told: Vec<Stage>,
}

struct Running {
    name: String,
    since: Instant,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {prefix:<12}{elapsed:>5} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { begun: Instant::now(), bar, running: None, told: Vec::new() }
    }

    /// A stage begins; it ends with [`Self::end`].
    pub(crate) fn begin(&mut self, name: &str) {
        if self.running.as_ref().is_some_and(|running| running.name == name) {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_prefix(name.to_owned());
            bar.set_message("");
            bar.reset_elapsed();
        }
        self.running = Some(Running { name: name.to_owned(), since: Instant::now() });
    }

    /// Something to show beside the running stage; gives a handle that other threads may call.
    pub(crate) fn note(&self) -> impl Fn(String) + Send + Sync + 'static {
        let bar = self.bar.clone();
        move |text| {
            if let Some(bar) = &bar {
                bar.set_message(text);
            }
        }
    }

    /// The running stage is over.
    pub(crate) fn end(&mut self) {
        if let Some(Running { name, since }) = self.running.take() {
            self.tell(&name, since.elapsed(), "");
        }
    }

    /// Tells what is new in a deployment.
    pub(crate) fn show(&mut self, deployment: &Deployment) {
        for report in &deployment.stages {
            let name = report.stage.as_str();
            let Some(duration) = report.duration_ms else {
                self.begin(name);
                continue;
            };
            if self.told.contains(&report.stage) {
                continue;
            }
            self.told.push(report.stage);
            self.running = None;
            let failed = deployment.state == DeploymentState::Failed
                && deployment.stages.last().is_some_and(|last| last.stage == report.stage);
            let time = Duration::from_millis(u64::try_from(duration).unwrap_or_default());
            let mark = match (failed, report.cached) {
                (true, _) => " failed",
                (false, true) => " cached",
                (false, false) => "",
            };
            self.tell(name, time, mark);
        }
        if deployment.state == DeploymentState::Queued {
            self.begin("queued");
        }
    }

    /// The last line: how it ended, and the time of all stages together.
    pub(crate) fn finish(mut self, status: &str) {
        self.running = None;
        self.tell(status, self.begun.elapsed(), " in all");
    }

    fn tell(&self, name: &str, time: Duration, mark: &str) {
        let line = format!("{name:<12}{:>7}{mark}", seconds(time));
        match &self.bar {
            Some(bar) => bar.suspend(|| output::complain(&line)),
            None => output::complain(&line),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn seconds(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    match tenths / 600 {
        0 => format!("{}.{}s", tenths / 10, tenths % 10),
        minutes => format!("{minutes}m{:02}s", tenths / 10 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(seconds(Duration::from_millis(1_290)), "1.2s");
        assert_eq!(seconds(Duration::from_secs(125)), "2m05s");
    }
}
