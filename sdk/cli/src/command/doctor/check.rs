//! The checks. Each runs from `/`, so that no file of the working folder decides what a program does.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Finding;
use crate::command::build;
use crate::environment::{Place, Selection, variable};
use crate::{config, connect, socket};

const TARGET: &str = "wasm32-wasip2";
/// A first build fetches dependencies and compiles them once.
const DISK_BYTES_MIN: u64 = 2 << 30;
const DISK_BYTES_GOOD: u64 = 8 << 30;

/// How long a server may take to say how it is.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// What listens, the variable that moves it, and its port.
const PORTS: [(&str, &str, u16); 3] = [
    ("gateway", "MICRO_API_ADDRESS", 8080),
    ("control", "MICRO_PROXY_ADDRESS", 8081),
    ("health", "MICRO_HEALTH_ADDRESS", 8088),
];

/// The folder of the configuration.
pub(super) fn home() -> Finding {
    let loaded = config::home().and_then(|home| config::load(&home).map(|_| home));
    match loaded {
        Ok(home) => Finding::ok("home", home.display().to_string()),
        Err(error) => {
            Finding::fail("home", format!("{error:#}"), "mend or move that file, or set MICRO_HOME")
        }
    }
}

/// The server's programs beside this one.
pub(super) fn programs() -> Finding {
    let folder = std::env::current_exe().ok().and_then(|this| this.parent().map(Path::to_owned));
    let folder = folder.unwrap_or_default();
    let missing: Vec<_> =
        ["micro-server", "micro-builder"].into_iter().filter(|name| !folder.join(name).is_file()).collect();
    match missing.is_empty() {
        true => Finding::ok("programs", format!("micro-server and micro-builder in {}", folder.display())),
        false => Finding::warn(
            "programs",
            format!("{} not in {}", missing.join(" and "), folder.display()),
            "install them beside micro to run a server here; to use another's, none is needed",
        ),
    }
}

/// A Rust compiler for `micro build` and the builder.
pub(super) fn toolchain() -> Finding {
    match first_line("rustc", &["--version"]) {
        Some(version) => Finding::ok("toolchain", version),
        None if build::fallback_cargo().is_some() => Finding::ok("toolchain", "the one that set-up made"),
        None => Finding::fail("toolchain", "no rustc on PATH", "install Rust: https://rustup.rs"),
    }
}

/// The standard library of the guests' target.
pub(super) fn target() -> Finding {
    if build::has_target("rustc") {
        return Finding::ok("target", TARGET);
    }
    match build::fallback_cargo() {
        Some(cargo) => Finding::ok("target", format!("{TARGET}, by {}", cargo.display())),
        None => Finding::fail(
            "target",
            format!("rustc cannot compile for {TARGET}"),
            format!("rustup target add {TARGET}"),
        ),
    }
}

/// Needed by the builder.
pub(super) fn git() -> Finding {
    match first_line("git", &["--version"]) {
        Some(version) => Finding::ok("git", version),
        None => Finding::fail("git", "no git on PATH", "install git: apt-get install git"),
    }
}

/// Whether bubblewrap can make namespaces.
pub(super) fn sandbox() -> Finding {
    let Some(version) = first_line("bwrap", &["--version"]) else {
        return Finding::fail(
            "sandbox",
            "no bwrap on PATH",
            "install bubblewrap: apt-get install bubblewrap",
        );
    };
    let arguments = ["--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "true"];
    let output = command("bwrap").args(arguments).output();
    match output {
        Ok(output) if output.status.success() => Finding::ok("sandbox", version),
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            let detail =
                format!("{version} cannot make namespaces: {}", error.lines().next().unwrap_or_default());
            Finding::fail("sandbox", detail, sandbox_mend())
        }
        Err(error) => {
            Finding::fail("sandbox", format!("bwrap does not start: {error}"), "reinstall bubblewrap")
        }
    }
}

fn sandbox_mend() -> &'static str {
    let restricted = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
    match std::fs::read_to_string(restricted) {
        Ok(text) if text.trim() == "1" => {
            "AppArmor forbids it: run the server as root, or `sudo sysctl -w \
             kernel.apparmor_restrict_unprivileged_userns=0`"
        }
        _ => {
            "run the server as root, or allow user namespaces: `sudo sysctl -w kernel.unprivileged_userns_clone=1 \
             user.max_user_namespaces=10000`"
        }
    }
}

/// Room for artifacts and caches.
pub(super) fn disk() -> Finding {
    let folder = variable("MICRO_DATA").map(PathBuf::from).or_else(|| config::home().ok());
    let folder = folder.filter(|folder| folder.exists()).unwrap_or_else(|| "/".into());
    let Ok(stat) = rustix::fs::statvfs(&folder) else {
        return Finding::warn(
            "disk",
            format!("cannot tell the room in {}", folder.display()),
            "look with `df`",
        );
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let detail = format!("{} GiB free at {}", free >> 30, folder.display());
    let mend = "free some space, or put the data elsewhere with `micro server --data DIR`";
    match free {
        _ if free < DISK_BYTES_MIN => Finding::fail("disk", detail, mend),
        _ if free < DISK_BYTES_GOOD => Finding::warn("disk", detail, mend),
        _ => Finding::ok("disk", detail),
    }
}

/// Whether a server could listen. When one runs already, its ports are taken by right.
pub(super) fn ports(server_runs: bool) -> Vec<Finding> {
    PORTS.into_iter().map(|(name, moved_by, port)| self::port(name, moved_by, port, server_runs)).collect()
}

fn port(name: &str, moved_by: &str, port: u16, server_runs: bool) -> Finding {
    let moved: Option<SocketAddr> = variable(moved_by).and_then(|address| address.parse().ok());
    let address = moved.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("port", format!("{address} ({name}) is free")),
        Err(_) if server_runs => {
            Finding::ok("port", format!("{address} ({name}) is in use, and a server runs"))
        }
        Err(error) => Finding::fail(
            "port",
            format!("{address} ({name}) cannot be used: {error}"),
            format!(
                "stop what uses it (`ss -ltnp 'sport = :{}'`), or start with {moved_by}=127.0.0.1:PORT",
                address.port()
            ),
        ),
    }
}

/// Whether the socket of this machine's server is ours, where one is there.
pub(super) fn socket(selection: &Selection) -> Finding {
    let home = match config::home() {
        Ok(home) => home,
        Err(error) => {
            return Finding::fail("socket", format!("{error:#}"), "mend the folder that `home` names");
        }
    };
    let path = socket::path(&home);
    let place = config::load(&home).and_then(|config| selection.place(&config));
    match socket::check(&path, rustix::process::geteuid().as_raw()) {
        Ok(()) => Finding::ok("socket", path.display().to_string()),
        Err(error) if is_unreachable(&error) => match place {
            Ok(Place::Socket) => Finding::warn(
                "socket",
                format!("no server listens on {}", path.display()),
                "start one with `micro server`",
            ),
            _ => Finding::ok("socket", "no server of this machine, and none is needed"),
        },
        Err(error) => Finding::fail(
            "socket",
            format!("{error:#}"),
            format!("stop what listens there, remove {}, and start `micro server` again", path.display()),
        ),
    }
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<micro_client::Error>().is_some_and(micro_client::Error::is_unreachable)
}

/// Whether the chosen environment answers, in a version that fits. No login is needed for that.
pub(super) async fn server(selection: &Selection) -> Finding {
    let client = match connect::visit(selection) {
        Ok(visit) => visit.client,
        Err(error) if is_unreachable(&error) => {
            return Finding::warn(
                "server",
                format!("{error:#}"),
                "start one with `micro server`, or choose another with `micro env set NAME`",
            );
        }
        Err(error) => {
            return Finding::fail("server", format!("{error:#}"), "choose one with `micro env set NAME`");
        }
    };
    let ours = env!("CARGO_PKG_VERSION");
    match client.version().await {
        Ok(theirs) if theirs == ours => {
            Finding::ok("server", format!("{} answers, {theirs}", client.address()))
        }
        Ok(theirs) => Finding::warn(
            "server",
            format!("{} is version {theirs}, this is {ours}", client.address()),
            "use the same version of both",
        ),
        Err(error) if error.is_unreachable() => Finding::warn(
            "server",
            format!("nobody answers at {}", client.address()),
            "start one with `micro server`, or choose another with `micro env set NAME`",
        ),
        Err(error) => {
            Finding::fail("server", error.to_string(), "something else listens there: stop or move it")
        }
    }
}

/// A check of the server's own.
#[derive(Debug, serde::Deserialize)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
}

/// What a server of this machine says of itself; nothing when none answers at the health address.
pub(super) async fn readiness() -> Vec<Finding> {
    let (_, moved_by, port) = PORTS[2];
    let address = variable(moved_by).unwrap_or_else(|| format!("127.0.0.1:{port}"));
    let ask = async {
        let client = reqwest::Client::builder().no_proxy().timeout(READY_WITHIN).build()?;
        client.get(format!("http://{address}/readyz")).send().await?.json::<Vec<Check>>().await
    };
    let checks = ask.await.unwrap_or_default();
    checks.into_iter().map(|check| verdict(&check, &address)).collect()
}

fn verdict(check: &Check, address: &str) -> Finding {
    match check.ok {
        true => Finding::ok("ready", format!("{}: well", check.name)),
        false => Finding::fail(
            "ready",
            format!("the server's {} is not well: {}", check.name, check.detail),
            format!(
                "the log of `micro server` says more; `curl http://{address}/readyz` tells when it is mended"
            ),
        ),
    }
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = command(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn what_is_not_well_in_the_server_is_told() {
        let check = |ok| Check { name: "builder".to_owned(), ok, detail: "it ended".to_owned() };
        assert_eq!(verdict(&check(true), "h").status, Status::Ok);
        let bad = verdict(&check(false), "h");
        assert_eq!(bad.status, Status::Fail);
        assert_eq!(bad.detail, "the server's builder is not well: it ended");
    }
}
