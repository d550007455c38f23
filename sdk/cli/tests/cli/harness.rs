//! Runs `micro` in an environment of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What a command printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

/// A home folder, a working folder and a few variables.
pub(crate) struct Micro {
    folder: TempDir,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) program: PathBuf,
}

impl Micro {
    /// Without a server: `local` finds whatever listens on this machine, so tests name another environment.
    pub(crate) fn alone() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        Self { folder, variables: Vec::new(), program: env!("CARGO_BIN_EXE_micro").into() }
    }

    /// With the server at `address`.
    pub(crate) fn with(address: &str) -> Self {
        let mut micro = Self::alone();
        micro.set("MICRO_PROXY_ADDRESS", address);
        micro
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// The working folder.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("work")
    }

    /// The folder of the configuration.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join(".micro")
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.work().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn command(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .current_dir(folder)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", "/usr/bin:/bin")
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run_in(&self, folder: &str, args: &[&str]) -> Outcome {
        let output = self.command(&self.work().join(folder), args).output().unwrap();
        Outcome {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
        }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        self.run_in("", args)
    }

    /// Runs with `input` on a pipe.
    pub(crate) fn answer(&self, args: &[&str], input: &str) -> Outcome {
        let mut command = self.command(&self.work(), args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Who asks nothing does not read it.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        let output = child.wait_with_output().unwrap();
        Outcome {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
        }
    }

    /// What `config.json` holds.
    pub(crate) fn config(&self) -> serde_json::Value {
        match std::fs::read_to_string(self.home().join("config.json")) {
            Ok(text) => serde_json::from_str(&text).unwrap(),
            Err(_) => serde_json::Value::Null,
        }
    }

    /// Changes `config.json` as a test needs it.
    pub(crate) fn set_config(&self, config: &serde_json::Value) {
        std::fs::create_dir_all(self.home()).unwrap();
        std::fs::write(self.home().join("config.json"), config.to_string()).unwrap();
    }

    /// Runs what must succeed without a word on stderr.
    pub(crate) fn stdout(&self, args: &[&str]) -> String {
        let outcome = self.run(args);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{args:?}: {outcome:?}");
        outcome.stdout
    }

    /// Runs what must fail without a word on stdout.
    pub(crate) fn stderr(&self, args: &[&str]) -> String {
        let outcome = self.run(args);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{args:?}: {outcome:?}");
        outcome.stderr
    }
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
