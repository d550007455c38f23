//! The builder as a supervised child: another process, so that compiling a stranger's source can cost this one nothing.
//!
//! Its stdin is the lifeline: a line wakes it for a new job, the end of the pipe (this process is gone, however it
//! went) stops it. A builder that ends is started again with a growing delay; its jobs are claimed again when their
//! lease runs out.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const RESTART_DELAY_MIN: Duration = Duration::from_millis(200);
const RESTART_DELAY_MAX: Duration = Duration::from_secs(30);
/// A builder that lived this long was healthy: the next restart is quick again.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// How long a builder may take to leave its stage when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How to start the builder.
#[derive(Debug, Clone)]
pub(crate) struct BuilderCommand {
    pub(crate) program: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) db: String,
    /// The `micro` binary that the sandbox may run for `micro proto`.
    pub(crate) micro: PathBuf,
    pub(crate) flags: Vec<String>,
}

impl BuilderCommand {
    fn spawn(&self) -> Result<Child> {
        // As root the builder gets a mount namespace of its own: what it mounts for a sandbox vanishes with it. The
        // death signal covers the moments in which nobody reads its stdin.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if rustix::process::geteuid().is_root() {
            command.args(["unshare", "--mount", "--propagation", "private"]);
        }
        command
            .arg(&self.program)
            .arg("--data")
            .arg(&self.data)
            .args(["--db", &self.db])
            .arg("--micro")
            .arg(&self.micro)
            .args(&self.flags)
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start the builder {}", self.program.display()))
    }
}

/// Runs the builder until `stop`, again and again.
pub(crate) async fn supervise(command: BuilderCommand, job: std::sync::Arc<Notify>, stop: CancellationToken) {
    let mut delay = RESTART_DELAY_MIN;
    while !stop.is_cancelled() {
        let started = Instant::now();
        match command.spawn() {
            Ok(child) => watch(child, &job, &stop).await,
            Err(error) => tracing::error!("{error:#}"),
        }
        if stop.is_cancelled() {
            return;
        }
        if started.elapsed() > HEALTHY_AFTER {
            delay = RESTART_DELAY_MIN;
        }
        tracing::warn!(
            delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            "Builder ended, starting it again"
        );
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
        }
        delay = (delay * 2).min(RESTART_DELAY_MAX);
    }
}

/// Forwards wake-ups until the child ends, or ends it when the server stops.
async fn watch(mut child: Child, job: &Notify, stop: &CancellationToken) {
    let mut stdin = child.stdin.take();
    loop {
        tokio::select! {
            status = child.wait() => {
                match status {
                    Ok(status) => tracing::warn!(%status, "Builder exited"),
                    Err(error) => tracing::error!(%error, "Wait for the builder"),
                }
                return;
            }
            () = job.notified() => {
                let Some(pipe) = stdin.as_mut() else { continue };
                if pipe.write_all(b"job\n").await.is_err() {
                    // It is ending; `wait` tells.
                    stdin = None;
                }
            }
            () = stop.cancelled() => {
                drop(stdin.take());
                if tokio::time::timeout(STOP_GRACE, child.wait()).await.is_err() {
                    let _ = child.kill().await;
                }
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// A builder that exits is started again, and one that reads its stdin sees the wake-up and then the end.
    #[tokio::test]
    async fn the_builder_is_restarted_woken_and_stopped() {
        let scratch = tempfile::tempdir().unwrap();
        let seen = scratch.path().join("seen");
        let program = scratch.path().join("builder.sh");
        let script = format!(
            "#!/bin/sh\nif ! [ -e {0} ]; then echo first > {0}; exit 1; fi\ncat >> {0}\necho end >> {0}\n",
            seen.display()
        );
        std::fs::write(&program, script).unwrap();
        let mut mode = std::fs::metadata(&program).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let command = BuilderCommand {
            program,
            data: scratch.path().to_owned(),
            db: "sqlite://none".to_owned(),
            micro: PathBuf::from("/bin/true"),
            flags: Vec::new(),
        };
        let (job, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let task = tokio::spawn(supervise(command, Arc::clone(&job), stop.clone()));
        let lines = |n: usize| {
            let seen = seen.clone();
            async move {
                loop {
                    let text = std::fs::read_to_string(&seen).unwrap_or_default();
                    if text.lines().count() >= n {
                        return text;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        };
        lines(1).await;
        job.notify_one();
        tokio::time::timeout(Duration::from_secs(20), lines(2)).await.expect("restarted and woken");
        stop.cancel();
        task.await.unwrap();
        assert_eq!(std::fs::read_to_string(&seen).unwrap(), "first\njob\nend\n");
    }
}
