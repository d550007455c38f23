//! The real server with its builder, on ports of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tempfile::TempDir;

use crate::http::{self, Answer};
use crate::{Micro, eventually};

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// What differs from the defaults.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More flags for `micro server`.
    pub flags: Vec<String>,
    /// More variables.
    pub env: Vec<(String, String)>,
    /// Leave the rules as a new platform has them: services need an account unless they say that they are public.
    /// Otherwise everybody may call everything of the namespace `default`, so that tests of other things need none.
    pub closed: bool,
}

/// A running platform. Its files go with it.
#[derive(Debug)]
pub struct Platform {
    server: Option<Child>,
    addresses: Addresses,
    options: Options,
    dir: TempDir,
}

/// `addresses.json` of the data folder.
#[derive(Debug, Clone, Deserialize)]
struct Addresses {
    pid: u32,
    api: SocketAddr,
    proxy: SocketAddr,
    web: SocketAddr,
    health: SocketAddr,
}

impl Platform {
    /// Starts one with the defaults.
    pub async fn start() -> Result<Self> {
        Self::start_with(Options::default()).await
    }

    pub async fn start_with(options: Options) -> Result<Self> {
        let mut platform = Self::prepare(options)?;
        platform.start_server().await?;
        if !platform.options.closed {
            let rule = ["auth", "create", "rule", "--resource=*:*:*", "everyone"];
            platform.micro().ok(&rule).await.context("open the namespace")?;
        }
        Ok(platform)
    }

    /// One that was never started: [`Self::start_server`] does, on what [`Self::data`] holds by then.
    pub fn prepare(options: Options) -> Result<Self> {
        let dir =
            tempfile::Builder::new().prefix("micro-it-").tempdir().context("make a folder for the test")?;
        fs::create_dir(dir.path().join("home")).context("make a home")?;
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let addresses = Addresses { pid: 0, api: unknown, proxy: unknown, web: unknown, health: unknown };
        Ok(Self { server: None, addresses, options, dir })
    }

    /// Other options from the next start on.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// The flags that it starts with.
    pub fn flags(&self) -> &[String] {
        &self.options.flags
    }

    /// Starts the server on the data folder as it is, after [`Self::kill`] or [`Self::stop`].
    pub async fn start_server(&mut self) -> Result<()> {
        let file = self.data().join("addresses.json");
        let _ = fs::remove_file(&file);
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.log_file()).context("open the log")?;
        let mut command = die_with_parent(&self.command());
        command.stdin(Stdio::null()).stdout(log.try_clone().context("share the log")?).stderr(log);
        let mut server = command.spawn().context("start the server")?;
        let text = eventually("the server writes its addresses", READY_WITHIN, async || {
            if let Some(status) = server.try_wait()? {
                bail!("the server ended with {status}: {}", self.log());
            }
            fs::read_to_string(&file).context("read addresses.json")
        })
        .await?;
        self.addresses = serde_json::from_str(&text).context("read addresses.json")?;
        self.server = Some(server);
        let ready = format!("http://{}/readyz", self.addresses.health);
        let client = http::client()?;
        eventually("the server is ready", READY_WITHIN, async || {
            let answer = http::send(client.get(&ready)).await?;
            if answer.status == 200 { Ok(()) } else { bail!("{} {}", answer.status, answer.body) }
        })
        .await
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary("micro-server"));
        command.arg("all").arg("--data").arg(self.data());
        command.arg("--socket").arg(self.socket());
        for role in ["api", "proxy", "web", "health"] {
            command.args([format!("--{role}_address"), "127.0.0.1:0".to_owned()]);
        }
        command.args(&self.options.flags);
        command.envs(self.options.env.iter().cloned());
        command
    }

    /// The socket that the command line finds in its home.
    fn socket(&self) -> PathBuf {
        self.dir.path().join("home/.micro/server.sock")
    }

    /// The server's data folder.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A folder for the test's own files; it goes with the platform.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    /// What server and builder printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The gateway's address.
    pub fn api(&self) -> SocketAddr {
        self.addresses.api
    }

    /// The address for the command line and clients.
    pub fn control(&self) -> SocketAddr {
        self.addresses.proxy
    }

    /// The portal's address.
    pub fn web(&self) -> SocketAddr {
        self.addresses.web
    }

    /// The address of health and metrics.
    pub fn health(&self) -> SocketAddr {
        self.addresses.health
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.addresses.pid
    }

    /// The command line against this platform, as the owner of the machine that it runs on.
    pub fn micro(&self) -> Micro {
        Micro::new(&self.dir.path().join("home"))
    }

    /// `http://<gateway><path>`
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addresses.api)
    }

    /// GET from the gateway.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        http::send(http::client()?.get(self.url(path))).await
    }

    /// GET from the control API, by the owner's socket.
    pub async fn control_get(&self, path: &str) -> Result<Answer> {
        http::send(self.owner()?.get(format!("http://localhost{path}"))).await
    }

    /// A client of the control API by the owner's socket, whatever host a URL names. The socket's place outlives the
    /// server.
    pub fn owner(&self) -> Result<reqwest::Client> {
        http::client_of(reqwest::Client::builder().unix_socket(self.socket()))
    }

    /// POST of JSON to the gateway.
    pub async fn post(&self, path: &str, json: &str) -> Result<Answer> {
        let request = http::client()?.post(self.url(path)).header("content-type", "application/json");
        http::send(request.body(json.to_owned())).await
    }

    /// Ends the server without warning; what it started must notice by itself.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut server) = self.server.take() {
            server.kill().context("kill the server")?;
            server.wait().context("wait for the server")?;
        }
        Ok(())
    }

    /// Asks the server to end and waits until it did.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        signal(server.id(), "TERM")?;
        eventually("the server stops", STOP_WITHIN, async || {
            let status = server.try_wait()?.context("it still runs")?;
            if status.success() { Ok(()) } else { bail!("it ended with {status}") }
        })
        .await
    }

    /// The builder's process, if it runs.
    pub fn builder(&self) -> Option<u32> {
        let data = self.data();
        processes_with(&data.display().to_string())
            .into_iter()
            .find(|(_, line)| line.starts_with(b"micro-builder") || contains(line, b"/micro-builder\0"))
            .map(|(pid, _)| pid)
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the server ---\n{}", self.log());
        }
    }
}

/// Every process whose command line contains `text`, with that line.
pub fn processes_with(text: &str) -> Vec<(u32, Vec<u8>)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let lines = pids.filter_map(|pid: u32| Some((pid, fs::read(format!("/proc/{pid}/cmdline")).ok()?)));
    lines.filter(|(_, line)| contains(line, text.as_bytes())).collect()
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    line.windows(part.len().max(1)).any(|window| window == part)
}

/// Sends a signal by its name.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    let status =
        Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().context("start kill")?;
    if status.success() { Ok(()) } else { bail!("kill -{name} {pid}: {status}") }
}

/// The same command, killed when this process goes, so that no test leaves a server behind.
pub fn die_with_parent(command: &Command) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        wrapped.current_dir(dir);
    }
    wrapped
}

/// Cargo's target folder, found from where this program lies.
pub fn target() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let profile = own.ancestors().find(|dir| dir.ends_with("debug") || dir.ends_with("release"));
    profile.and_then(Path::parent).unwrap_or_else(|| Path::new("target")).to_owned()
}

/// A program of this workspace.
pub fn binary(name: &str) -> PathBuf {
    target().join("debug").join(name)
}
