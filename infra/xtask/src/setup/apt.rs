//! Packages of the distribution.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Level;
use crate::{paths, process};

/// A program that must be there, and the package that brings it.
struct Need {
    level: Level,
    program: &'static str,
    package: &'static str,
}

const fn need(level: Level, program: &'static str, package: &'static str) -> Need {
    Need { level, program, package }
}

const NEEDS: [Need; 15] = [
    need(Level::Up, "git", "git"),
    need(Level::Up, "bwrap", "bubblewrap"),
    need(Level::Up, "setpriv", "util-linux"),
    need(Level::Up, "unshare", "util-linux"),
    need(Level::Up, "ssh", "openssh-client"),
    need(Level::Test, "sshd", "openssh-server"),
    need(Level::Test, "node", "nodejs"),
    need(Level::Test, "npm", "npm"),
    need(Level::Test, "postgres", "postgresql"),
    need(Level::Test, "redis-server", "redis-server"),
    need(Level::Test, "chromium", "chromium"),
    need(Level::Test, "curl", "curl"),
    need(Level::Test, "openssl", "openssl"),
    need(Level::Bench, "wrk", "wrk"),
    need(Level::Test, "python3", "python3-venv"),
];

/// A file that must be there although no program tells.
const CA_FILE: (&str, &str) = ("/etc/ssl/certs/ca-certificates.crt", "ca-certificates");

/// While it exists, packages do not start the services that they bring.
const START_POLICY: &str = "/usr/sbin/policy-rc.d";

pub(super) fn ensure(level: Level) -> Result<()> {
    let packages = missing(level);
    if packages.is_empty() {
        return Ok(());
    }
    if paths::find_program("apt-get").is_none() {
        bail!("these are missing and there is no apt-get to install them: {}", packages.join(" "));
    }
    super::announce(&format!("apt packages {}", packages.join(" ")))?;
    privileged(&["apt-get", "update", "-qq"])?;
    let quiet = StartPolicy::refuse()?;
    let mut words = vec![
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
        "-y",
        "-qq",
        "--no-install-recommends",
    ];
    words.extend(&packages);
    let installed = privileged(&words);
    drop(quiet);
    installed
}

fn missing(level: Level) -> Vec<&'static str> {
    let programs = NEEDS.iter().filter(|need| need.level <= level && !is_there(need.program));
    let mut packages: Vec<_> = programs.map(|need| need.package).collect();
    if !Path::new(CA_FILE.0).exists() {
        packages.push(CA_FILE.1);
    }
    packages.dedup();
    packages
}

fn is_there(program: &str) -> bool {
    match program {
        "postgres" => crate::postgres::programs().is_some(),
        "python3" => process::succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"])),
        _ => paths::find_program(program).is_some(),
    }
}

/// Runs a command as root, by sudo when this process is not.
fn privileged(words: &[&str]) -> Result<()> {
    let is_root = process::output(Command::new("id").arg("-u"))?.trim() == "0";
    let mut command = Command::new(if is_root { "env" } else { "sudo" });
    if !is_root && paths::find_program("sudo").is_none() {
        bail!("`{}` needs root, and there is no sudo: run it as root", words.join(" "));
    }
    process::run(command.args(words))
}

/// Keeps a freshly installed PostgreSQL, Redis or SSH server from starting. Only as root; elsewhere the operator's policy
/// stands.
struct StartPolicy {
    ours: bool,
}

impl StartPolicy {
    fn refuse() -> Result<Self> {
        let path = Path::new(START_POLICY);
        if path.exists() || fs::write(path, "#!/bin/sh\nexit 101\n").is_err() {
            return Ok(Self { ours: false });
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .context("make policy-rc.d executable")?;
        Ok(Self { ours: true })
    }
}

impl Drop for StartPolicy {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(START_POLICY);
        }
    }
}
