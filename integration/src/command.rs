//! The real `micro`, with a home of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::ChildStdin;

/// The longest that one command may take: a cold build of a Rust service on two busy cores fits.
const DEADLINE: Duration = Duration::from_secs(280);

/// Runs `micro` against one server.
#[derive(Debug, Clone)]
pub struct Micro {
    home: PathBuf,
    dir: PathBuf,
    env: Vec<(String, String)>,
}

/// What a command printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    /// The exit code; -1 after a signal.
    pub code: i32,
}

/// So much of an output goes to the test's own: a log may have megabytes.
const SHOWN_CHARS_MAX: usize = 8_000;

fn beginning(text: &str) -> &str {
    text.char_indices().nth(SHOWN_CHARS_MAX).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

impl Micro {
    /// With `home` as its own folder and as working directory.
    pub fn new(home: &Path) -> Self {
        Self { home: home.to_owned(), dir: home.to_owned(), env: Vec::new() }
    }

    /// The same command line in another working directory.
    pub fn in_dir(&self, dir: &Path) -> Self {
        Self { dir: dir.to_owned(), ..self.clone() }
    }

    /// The same command line with one more variable.
    pub fn with_env(&self, name: &str, value: &str) -> Self {
        let mut next = self.clone();
        next.env.push((name.to_owned(), value.to_owned()));
        next
    }

    /// The home folder of this command line.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A command that is ready to start.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(crate::platform::binary("micro"));
        command.args(words).current_dir(&self.dir).env("MICRO_HOME", self.home.join(".micro"));
        command
            .env_remove("MICRO_ENV")
            .env_remove("MICRO_TOKEN")
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end, whatever that is.
    pub async fn run(&self, words: &[&str]) -> Result<Output> {
        self.answer(words, async |_| Ok(())).await
    }

    /// Runs to the end, while somebody `types` into it.
    pub async fn answer(
        &self,
        words: &[&str],
        types: impl AsyncFnOnce(ChildStdin) -> Result<()>,
    ) -> Result<Output> {
        let mut command = tokio::process::Command::from(self.command(words));
        command.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("start micro {words:?}"))?;
        let keyboard = child.stdin.take();
        let type_in = async {
            match keyboard {
                Some(keyboard) => types(keyboard).await,
                None => Ok(()),
            }
        };
        let output = tokio::time::timeout(DEADLINE, async {
            let (typed, output) = tokio::join!(type_in, child.wait_with_output());
            typed.and_then(|()| output.context("read what it printed"))
        });
        let output = output
            .await
            .with_context(|| format!("micro {words:?} did not end within {DEADLINE:?}"))?
            .with_context(|| format!("run micro {words:?}"))?;
        let output = Output {
            stdout: String::from_utf8(output.stdout).context("read stdout")?,
            stderr: String::from_utf8(output.stderr).context("read stderr")?,
            code: output.status.code().unwrap_or(-1),
        };
        eprintln!(
            "micro {words:?} -> {} after {:?}\n{}{}",
            output.code,
            started.elapsed(),
            beginning(&output.stdout),
            beginning(&output.stderr)
        );
        Ok(output)
    }

    /// Runs to a good end and returns its stdout.
    pub async fn ok(&self, words: &[&str]) -> Result<String> {
        let output = self.run(words).await?;
        if output.code != 0 {
            bail!("micro {words:?} ended with {}: {}{}", output.code, output.stdout, output.stderr);
        }
        Ok(output.stdout)
    }

    /// Runs to exit code 1 and returns stdout and stderr together.
    pub async fn fails(&self, words: &[&str]) -> Result<String> {
        let output = self.run(words).await?;
        if output.code != 1 {
            bail!(
                "micro {words:?} ended with {} instead of 1: {}{}",
                output.code,
                output.stdout,
                output.stderr
            );
        }
        Ok(format!("{}{}", output.stdout, output.stderr))
    }
}
