//! A data folder, a database and a running builder.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use micro_api::Namespace;
use micro_api::deployment::{Deployment, DeploymentState, RunRequest, Source};
use micro_db::{Action, Db};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

const BUILDER: &str = env!("CARGO_BIN_EXE_micro-builder");
/// How long a build may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) struct Platform {
    scratch: tempfile::TempDir,
    pub(crate) db: Db,
    pub(crate) child: Child,
}

impl Platform {
    /// Starts a builder with these flags.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        Self::start_by(|_| Command::new(BUILDER), flags).await
    }

    /// Starts a builder by a command that is given the data folder.
    async fn start_by(command: impl FnOnce(&Path) -> Command, flags: &[&str]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let data = scratch.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let db = Db::connect(&format!("sqlite://{}/control.db", data.display())).await.unwrap();
        db.migrate().await.unwrap();
        let child = spawn(command(&data), &data, flags);
        Self { scratch, db, child }
    }

    /// Starts a builder whose build folder is a disk of its own. Only root can make one; without, there is none.
    pub(crate) async fn start_on_disk(size: &str, flags: &[&str]) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        // In a mount namespace that ends with the builder.
        let script = "mkdir -p \"$2\" && mount -t tmpfs -o size=\"$1\" none \"$2\" && shift 2 && exec \"$@\"";
        let command = |data: &Path| {
            let mut command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", size]);
            command.arg(data.join("build")).arg(BUILDER);
            command
        };
        Some(Self::start_by(command, flags).await)
    }

    /// Starts another builder on the same data, after the first ended.
    pub(crate) fn restart(&mut self, flags: &[&str]) {
        self.child = spawn(Command::new(BUILDER), &self.data(), flags);
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// A folder for sources.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.scratch.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Asks for a build; the builder is poked.
    pub(crate) async fn submit(&mut self, source: Source, name: &str, version: &str) -> Deployment {
        let request = RunRequest {
            version: version.to_owned(),
            env: [("A".to_owned(), "1".to_owned())].into(),
            ..RunRequest::new(source, "test", name.parse().unwrap())
        };
        let deployment = self.db.submit(&Namespace::default(), Action::Run, &request).await.unwrap();
        self.child.stdin.as_mut().unwrap().write_all(b"job\n").await.unwrap();
        deployment
    }

    /// Asks for a build and waits for its end.
    pub(crate) async fn build(&mut self, source: Source, name: &str, version: &str) -> Deployment {
        let deployment = self.submit(source, name, version).await;
        self.wait(&deployment.id, |found| {
            matches!(found.state, DeploymentState::Built | DeploymentState::Failed)
        })
        .await
    }

    /// Waits until a deployment is as wanted.
    pub(crate) async fn wait(&self, id: &str, wanted: impl Fn(&Deployment) -> bool) -> Deployment {
        let waiting = async {
            loop {
                let found = self.db.deployment_by_id(id).await.unwrap().unwrap().deployment;
                if wanted(&found) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("{:?}\n{}", self.db.deployment_by_id(id).await.unwrap(), self.log(id).await),
        }
    }

    /// The build's log as text.
    pub(crate) async fn log(&self, id: &str) -> String {
        let (lines, _) = self.db.build_log(id, 0, 100_000).await.unwrap();
        lines.into_iter().map(|line| line.message).collect::<Vec<_>>().join("\n")
    }

    /// The error of a source that cannot be built.
    pub(crate) async fn error(&mut self, source: Source, name: &str) -> String {
        let found = self.build(source, name, "latest").await;
        match found.error {
            Some(error) => error.detail,
            None => panic!("built: {}", self.log(&found.id).await),
        }
    }

    /// The log of a source that can.
    pub(crate) async fn built(&mut self, source: Source, name: &str) -> String {
        let found = self.build(source, name, "latest").await;
        let log = self.log(&found.id).await;
        assert_eq!(found.error, None, "{log}");
        log
    }
}

fn spawn(mut command: Command, data: &Path, flags: &[&str]) -> Child {
    command
        .arg("--data")
        .arg(data)
        .args(["--micro", "/nonexistent"])
        .args(flags)
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// A git source.
pub(crate) fn git(url: &str, folder: &str, reference: &str) -> Source {
    Source::Git { url: url.to_owned(), folder: folder.to_owned(), reference: reference.to_owned() }
}

/// The same of a folder of this machine.
pub(crate) fn local(path: &Path) -> Source {
    git(&format!("file://{}", path.display()), "", "")
}

/// Writes files and commits them; gives the commit.
pub(crate) fn commit(repository: &Path, files: &[(&str, &str)]) -> String {
    if !repository.join(".git").exists() {
        run_git(repository, &["init", "--quiet", "--initial-branch=main"]);
    }
    for (name, text) in files {
        let path = repository.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    run_git(repository, &["add", "--all"]);
    run_git(repository, &["commit", "--quiet", "--allow-empty", "--message=change"]);
    run_git(repository, &["rev-parse", "HEAD"]).trim().to_owned()
}

pub(crate) fn run_git(folder: &Path, arguments: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .args(["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "protocol.file.allow=always"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A component that exports `wasi:cli/run`, as text that `wat` reads.
pub(crate) const JOB: &str = r#"(component
    (core module $m (func (export "run") (result i32) i32.const 0))
    (core instance $i (instantiate $m))
    (func $run (result (result)) (canon lift (core func $i "run")))
    (instance $inst (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $inst)))"#;

/// Puts a component that a build command needs not make into a folder.
pub(crate) fn write_component(folder: &Path, text: &str) {
    std::fs::write(folder.join("app.wasm"), wat::parse_str(text).unwrap()).unwrap();
}

/// A service whose build runs a shell script.
pub(crate) fn scripted(platform: &Platform, name: &str, script: &str) -> Source {
    let folder = platform.folder(name);
    write_component(&folder, JOB);
    let manifest = "[build]\ncommand = \"sh ./build.sh\"\npath = \"app.wasm\"\n";
    commit(&folder, &[("micro.toml", manifest), ("build.sh", script)]);
    local(&folder)
}
