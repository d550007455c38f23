//! The documented conversations with the command line and the gateway, held against the real binaries.

mod accounts;
mod cases;
mod compare;
mod http;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use micro_integration::git_server::HttpServer;
use micro_integration::guest::Guest;
use micro_integration::repo::checkout;
use micro_integration::{Database, Micro, Options, Platform, Repo};
use tempfile::tempdir;
use tokio::io::AsyncWriteExt;

use compare::Expect;

/// One command and what it must print.
struct Step {
    id: &'static str,
    /// As one would type it, single quotes included.
    line: &'static str,
    /// Below the test's folder.
    dir: &'static str,
    code: i32,
    stdout: Expect,
    stderr: Expect,
    /// What is typed meanwhile.
    input: &'static str,
}

/// A command that succeeds and prints this.
const fn prints(id: &'static str, line: &'static str, stdout: Expect) -> Step {
    Step { id, line, dir: "", code: 0, stdout, stderr: Expect::Anything, input: "" }
}

/// A command that fails with this reason.
const fn fails(id: &'static str, line: &'static str, stderr: Expect) -> Step {
    Step { id, line, dir: "", code: 1, stdout: Expect::Nothing, stderr, input: "" }
}

impl Step {
    /// The same in a folder.
    const fn within(mut self, dir: &'static str) -> Self {
        self.dir = dir;
        self
    }

    /// The same with answers to what it asks.
    const fn typing(mut self, input: &'static str) -> Self {
        self.input = input;
        self
    }
}

/// How long what a command shows may take to become what it must be.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// What is known only when it runs: `{token}`, and its value.
type Names<'a> = [(&'a str, &'a str)];

/// Runs one step; how it differs.
async fn attempt(micro: &Micro, step: &Step, names: &Names<'_>) -> Result<String> {
    let named = |word: String| names.iter().fold(word, |word, (name, value)| word.replace(name, value));
    let words: Vec<_> = words(step.line).into_iter().map(named).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let output = micro
        .answer(&words, async |mut keyboard| {
            // Who asks nothing does not read it.
            let _ = keyboard.write_all(step.input.as_bytes()).await;
            Ok(())
        })
        .await?;
    let mut wrong = String::new();
    let mut check = |what: &str, result: Result<()>| {
        if let Err(error) = result {
            wrong.push_str(&format!("{} `micro {}`, {what}: {error:#}\n", step.id, step.line));
        }
    };
    let code = if output.code == step.code { Ok(()) } else { Err(anyhow::anyhow!("{}", output.code)) };
    check("exit code", code);
    check("stdout", step.stdout.check(&output.stdout));
    check("stderr", step.stderr.check(&output.stderr));
    Ok(wrong)
}

/// Runs all steps, and reports every one that differs.
async fn converse(micro: &Micro, dir: &Path, steps: &[Step]) -> Result<()> {
    converse_with(micro, dir, steps, &[]).await
}

/// The same with these values in its lines.
async fn converse_with(micro: &Micro, dir: &Path, steps: &[Step], names: &Names<'_>) -> Result<()> {
    let mut wrong = String::new();
    for step in steps {
        let micro = micro.in_dir(&dir.join(step.dir));
        let started = Instant::now();
        let mut differs = attempt(&micro, step, names).await?;
        // What a job prints, and its end, come a moment after `run` has said that it runs.
        let may_change = step.line.starts_with("logs ") || step.line.starts_with("status ");
        while !differs.is_empty() && may_change && started.elapsed() < SETTLED_WITHIN {
            tokio::time::sleep(PAUSE).await;
            differs = attempt(&micro, step, names).await?;
        }
        wrong.push_str(&differs);
    }
    anyhow::ensure!(wrong.is_empty(), "{wrong}");
    Ok(())
}

/// Splits a line at spaces, but not within single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in line.split('\'').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[tokio::test]
async fn commands_without_a_server() -> Result<()> {
    let scratch = tempdir()?;
    let micro = Micro::new(scratch.path());
    converse(&micro, scratch.path(), cases::WITHOUT_SERVER).await?;
    let unknown = micro.with_env("MICRO_ENV", "nosuch").run(&["list", "services"]).await?;
    assert_eq!(unknown.code, 1);
    Expect::Text("Env \"nosuch\" not found. See `micro env` for available environments.")
        .check(&unknown.stderr)
}

/// G-11: the help of each command that the help lists.
#[tokio::test]
async fn every_command_explains_itself() -> Result<()> {
    let scratch = tempdir()?;
    let micro = Micro::new(scratch.path());
    let help = micro.ok(&["--help"]).await?;
    let (_, commands) = help.split_once("COMMANDS:").context("find the commands")?;
    let (commands, _) = commands.split_once("GLOBAL OPTIONS").context("find the end of the commands")?;
    let names: Vec<_> = commands
        .lines()
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.len() > 10, "{help}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let name = name.trim_end_matches(',');
        let text = micro.ok(&[name, "--help"]).await?;
        let first = text.split("\n\n").next().unwrap_or_default();
        assert!(first.contains(&format!("micro {name} - ")), "{text}");
    }
    Ok(())
}

/// From the first `run` to the last `kill`, with one service built from source and the others from components.
#[tokio::test(flavor = "multi_thread")]
async fn commands_with_a_server() -> Result<()> {
    let mirror = tempdir()?;
    let services = Repo::init(&mirror.path().join("micro/services"))?;
    micro_integration::repo::copy(&checkout("examples/helloworld"), &services.dir().join("helloworld"))?;
    services.commit("Say hello")?;
    services.git(&["branch", "feature/slash"])?;
    let git = HttpServer::start(mirror.path()).await?;
    let flag = format!("--mirror=https://github.com/={}", git.url(""));
    let options = Options { flags: vec![format!("--builder_flag={flag}")], ..Options::default() };
    let platform = Platform::start_with(options).await?;
    for (folder, example) in cases::PREBUILT {
        Guest::Example(example).place_example(&platform.scratch().join(folder))?;
    }
    let broken = platform.scratch().join("broken");
    micro_integration::repo::copy(&checkout("examples/helloworld"), &broken)?;
    fs::write(broken.join("src/handler.rs"), "fn broken( {\n").context("break a service")?;
    fs::write(broken.join("micro.toml"), "[service]\nname = \"broken\"\n").context("name it")?;
    converse(&platform.micro(), platform.scratch(), cases::WITH_SERVER).await?;
    Expect::Pieces(cases::SERVER_LOG).check(&platform.log())
}

/// From somebody's sign-up to a corrupted token.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_tokens_on_sqlite() -> Result<()> {
    accounts::check(Vec::new()).await
}

/// The same with the control plane on PostgreSQL, where there is one.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_tokens_on_postgresql() -> Result<()> {
    let Some(database) = Database::create()? else { return Ok(()) };
    accounts::check(vec![format!("--db={}", database.url())]).await
}

/// What the gateway answers.
#[tokio::test(flavor = "multi_thread")]
async fn requests_to_the_gateway() -> Result<()> {
    let platform = Platform::start().await?;
    for example in ["helloworld", "greeter-srv", "greeter-api", "caller", "page"] {
        let folder = platform.scratch().join(example);
        Guest::Example(example).place_example(&folder)?;
        platform.micro().ok(&["run", &folder.display().to_string()]).await?;
    }
    http::check(&platform).await
}
