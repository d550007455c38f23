//! The builder as a supervised child: another process, so that compiling a stranger's source can cost this one nothing.
//!
//! Its stdin is the lifeline: a line wakes it for a new job, the end of the pipe (this process is gone, however it
//! went) stops it. A builder that ends is started again with a growing delay; its jobs are claimed again when their
//! lease runs out. What it prints is passed on, and its last line kept: when it ends again and again, `/readyz` says why.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::health::Check;

const RESTART_DELAY_MIN: Duration = Duration::from_millis(200);
const RESTART_DELAY_MAX: Duration = Duration::from_secs(30);
/// A builder that lived this long was healthy: the next restart is quick again.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// How long a builder may take to leave its stage when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// A builder that lived this long works, as far as `/readyz` can tell.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// Builders that may end early one after the other before `/readyz` doubts the one that runs.
const ENDED_MAX: u32 = 1;
/// What a builder printed may still arrive this long after its end.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Bytes in which its last line is looked for.
const TAIL_BYTES_MAX: usize = 1024;

/// How the builder is, for the health address. Clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Condition(Arc<watch::Sender<State>>);

#[derive(Debug, Clone, Default)]
struct State {
    /// When the one that runs was started.
    since: Option<Instant>,
    /// How many ended one after the other before they were settled.
    ended: u32,
    /// Why the last one ended.
    why: String,
}

impl Condition {
    /// Ready while a builder runs that does not seem to be about to end like those before it.
    pub(crate) fn check(&self) -> Check {
        let state = self.0.borrow().clone();
        let lived = state.since.map(|since| since.elapsed());
        let ok = lived.is_some_and(|lived| state.ended <= ENDED_MAX || lived >= SETTLED_AFTER);
        let detail = match (ok, state.ended) {
            (true, _) => String::new(),
            (false, 0) => "the builder is being started".to_owned(),
            (false, 1) => format!("the builder ended: {}", state.why),
            (false, times) => {
                format!("the builder ended {times} times in a row, the last time: {}", state.why)
            }
        };
        Check { name: "builder", ok, detail }
    }

    fn started(&self) {
        self.0.send_modify(|state| state.since = Some(Instant::now()));
    }

    /// It ended, or could not be started.
    fn ended(&self, why: String) {
        self.0.send_modify(|state| {
            let settled = state.since.take().is_some_and(|since| since.elapsed() >= SETTLED_AFTER);
            state.ended = if settled { 1 } else { state.ended.saturating_add(1) };
            state.why = why;
        });
    }
}

/// How to start the builder.
#[derive(Debug, Clone)]
pub(crate) struct BuilderCommand {
    pub(crate) program: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) db: String,
    /// The `micro` binary that the sandbox may run for `micro proto`.
    pub(crate) micro: PathBuf,
    pub(crate) flags: Vec<String>,
    /// The bucket that nodes share, if they do.
    pub(crate) artifacts: Option<String>,
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
        match &self.artifacts {
            Some(url) => drop(command.env("MICRO_ARTIFACTS", url)),
            None => drop(command.env_remove("AWS_SECRET_ACCESS_KEY")),
        }
        command
            .arg(&self.program)
            .arg("--data")
            .arg(&self.data)
            .args(["--db", &self.db])
            .arg("--micro")
            .arg(&self.micro)
            .args(&self.flags)
            // It has no blobs.
            .env_remove("MICRO_BLOB_SECRET")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start the builder {}", self.program.display()))
    }
}

/// Runs the builder until `stop`, again and again.
pub(crate) async fn supervise(
    command: BuilderCommand,
    job: Arc<Notify>,
    condition: Condition,
    stop: CancellationToken,
) {
    let mut delay = RESTART_DELAY_MIN;
    while !stop.is_cancelled() {
        let started = Instant::now();
        match command.spawn() {
            Ok(child) => {
                condition.started();
                if let Some(why) = watch(child, &job, &stop).await {
                    condition.ended(why);
                }
            }
            Err(error) => {
                tracing::error!("{error:#}");
                condition.ended(format!("{error:#}"));
            }
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

/// Forwards wake-ups until the child ends, or ends it when the server stops. Why it ended by itself.
async fn watch(mut child: Child, job: &Notify, stop: &CancellationToken) -> Option<String> {
    let mut stdin = child.stdin.take();
    let printed = child.stderr.take().map(|stderr| tokio::spawn(pass_on(stderr, tokio::io::stderr())));
    loop {
        tokio::select! {
            status = child.wait() => {
                let why = match status {
                    Ok(status) => {
                        tracing::warn!(%status, "Builder exited");
                        status.to_string()
                    }
                    Err(error) => {
                        tracing::error!(%error, "Wait for the builder");
                        error.to_string()
                    }
                };
                let line = match printed {
                    Some(printed) => last_words(printed).await,
                    None => String::new(),
                };
                return Some(if line.is_empty() { why } else { format!("{why}: {line}") });
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
                return None;
            }
        }
    }
}

/// Copies what the builder prints until it closes the pipe. The last line that says something.
async fn pass_on(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> String {
    let (mut chunk, mut tail) = (vec![0; 4 * TAIL_BYTES_MAX], Vec::new());
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        let bytes = chunk.get(..read).unwrap_or_default();
        // Where nobody listens to this process, the builder can go on all the same.
        let _unheard = to.write_all(bytes).await;
        let _unheard = to.flush().await;
        tail.extend_from_slice(bytes);
        tail.drain(..tail.len().saturating_sub(TAIL_BYTES_MAX));
    }
    let text = String::from_utf8_lossy(&tail);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// The last line of a builder that ended. What it left running may keep the pipe open.
async fn last_words(mut printed: tokio::task::JoinHandle<String>) -> String {
    match tokio::time::timeout(LAST_WORDS, &mut printed).await {
        Ok(line) => line.unwrap_or_default(),
        Err(_) => {
            printed.abort();
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that stands for the builder.
    fn command(folder: &std::path::Path, script: &str) -> BuilderCommand {
        let program = folder.join("builder.sh");
        std::fs::write(&program, script).unwrap();
        let mut mode = std::fs::metadata(&program).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        BuilderCommand {
            program,
            data: folder.to_owned(),
            db: "sqlite://none".to_owned(),
            micro: PathBuf::from("/bin/true"),
            artifacts: None,
            flags: Vec::new(),
        }
    }

    async fn until(condition: &Condition, what: &str, is: impl Fn(&Check) -> bool) -> Check {
        for _ in 0..2_000 {
            let check = condition.check();
            if is(&check) {
                return check;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: {:?}", condition.check());
    }

    #[tokio::test]
    async fn a_builder_that_ends_again_and_again_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let script =
            "#!/bin/sh\necho one >&2\necho 'rustup could not choose a version' >&2\necho >&2\nexit 3\n";
        let (condition, stop) = (Condition::default(), CancellationToken::new());
        let check = condition.check();
        assert_eq!((check.ok, check.detail.as_str()), (false, "the builder is being started"));
        let command = command(scratch.path(), script);
        let task = tokio::spawn(supervise(command, Arc::default(), condition.clone(), stop.clone()));
        let check = until(&condition, "it ends", |check| check.detail.contains("2 times in a row")).await;
        assert_eq!(
            check.detail,
            "the builder ended 2 times in a row, the last time: exit status: 3: rustup could not choose a version"
        );
        assert!(!check.ok);
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_builder_that_is_missing_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let mut command = command(scratch.path(), "");
        command.program = scratch.path().join("none");
        let (condition, stop) = (Condition::default(), CancellationToken::new());
        let task = tokio::spawn(supervise(command, Arc::default(), condition.clone(), stop.clone()));
        let check = until(&condition, "it ends", |check| check.detail.contains("ended")).await;
        assert!(!check.ok && check.detail.contains("none"), "{check:?}");
        stop.cancel();
        task.await.unwrap();
    }

    /// One that ended once and lives now is well.
    #[tokio::test]
    async fn a_builder_that_lives_is_ready() {
        let scratch = tempfile::tempdir().unwrap();
        let seen = scratch.path().join("seen");
        let script =
            format!("#!/bin/sh\nif ! [ -e {0} ]; then : > {0}; exit 1; fi\nexec cat\n", seen.display());
        let (condition, stop) = (Condition::default(), CancellationToken::new());
        let command = command(scratch.path(), &script);
        let task = tokio::spawn(supervise(command, Arc::default(), condition.clone(), stop.clone()));
        until(&condition, "it ends", |check| check.detail.starts_with("the builder ended")).await;
        let check = until(&condition, "it lives", |check| check.ok).await;
        assert_eq!(check.detail, "");
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn what_it_prints_is_passed_on() {
        let mut heard = Vec::new();
        let long = "x".repeat(3 * TAIL_BYTES_MAX);
        let text = format!("{long}\nlast words\n\n");
        assert_eq!(pass_on(text.as_bytes(), &mut heard).await, "last words");
        assert_eq!(heard, text.as_bytes());
        assert_eq!(pass_on(long.as_bytes(), tokio::io::sink()).await.len(), TAIL_BYTES_MAX);
        assert_eq!(pass_on(tokio::io::empty(), tokio::io::sink()).await, "");
    }

    /// A builder that exits is started again, and one that reads its stdin sees the wake-up and then the end.
    #[tokio::test]
    async fn the_builder_is_restarted_woken_and_stopped() {
        let scratch = tempfile::tempdir().unwrap();
        let seen = scratch.path().join("seen");
        let script = format!(
            "#!/bin/sh\nif ! [ -e {0} ]; then echo first > {0}; exit 1; fi\necho second >> {0}\ncat >> {0}\necho end >> {0}\n",
            seen.display()
        );
        let command = command(scratch.path(), &script);
        let (job, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let task = tokio::spawn(supervise(command, Arc::clone(&job), Condition::default(), stop.clone()));
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
        // What wakes one that is about to end is lost: the next one looks for jobs by itself.
        tokio::time::timeout(Duration::from_secs(20), lines(2)).await.expect("restarted");
        job.notify_one();
        tokio::time::timeout(Duration::from_secs(20), lines(3)).await.expect("woken");
        stop.cancel();
        task.await.unwrap();
        assert_eq!(std::fs::read_to_string(&seen).unwrap(), "first\nsecond\njob\nend\n");
    }
}
