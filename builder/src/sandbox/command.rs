//! The command line of a run.
//!
//! As root: a mount namespace of its own in which the sources are bound below a folder that everybody may enter (the
//! user of the run could not walk to a source below a 0700 home), then the control groups, limits, the user, and
//! bubblewrap. Everything that is made so vanishes with the last process of the run.

use std::path::Path;

use tokio::process::Command;

use super::cgroup::Group;
use super::{Error, Host, Limits, Spec, io};

/// Where sources are bound, in a mount namespace that nobody else sees.
const STAGE: &str = "/run/micro-builder";

/// Arguments: the stage or `-`; then `dir NAME SOURCE`, `file NAME SOURCE`, `cgroup FILE`; then `--` and the command.
const SCRIPT: &str = r#"
set -e
umask 022
cd /
stage=$1; shift
if [ "$stage" != - ]; then mount -t tmpfs -o size=1m,mode=755,nosuid,nodev tmpfs "$stage"; fi
while [ "$1" != -- ]; do
  case $1 in
    dir) mkdir "$stage/$2"; mount --bind "$3" "$stage/$2"; shift 3;;
    file) : > "$stage/$2"; mount --bind "$3" "$stage/$2"; shift 3;;
    cgroup) echo $$ > "$2"; shift 2;;
  esac
done
shift
exec "$@"
"#;

/// The user inside.
const USER: &str = "1000";

pub(super) fn make_stage() -> Result<(), Error> {
    std::fs::create_dir_all(STAGE).map_err(io("make", Path::new(STAGE)))
}

/// A minimal `/etc`: programs such as ssh want a user, and nothing of the host's is their business.
pub(super) fn write_etc(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(io("make", folder))?;
    for (name, text) in [
        ("passwd", "micro:x:1000:1000:micro:/work/home:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
        ("group", "micro:x:1000:\nnogroup:x:65534:\n"),
        ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(io("write", &path))?;
    }
    // Where the host's are mounted.
    let alternatives = folder.join("alternatives");
    std::fs::create_dir_all(&alternatives).map_err(io("make", &alternatives))?;
    let cache = folder.join("ld.so.cache");
    std::fs::write(&cache, "").map_err(io("write", &cache))
}

pub(super) fn build(host: &Host, spec: &Spec, group: &Group) -> Command {
    let mut command = if host.root {
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "--",
            "/bin/sh",
            "-c",
            SCRIPT,
            "micro-sandbox",
            STAGE,
        ]);
        command.args(["dir", "etc"]).arg(&host.etc);
        for (number, mount) in spec.mounts.iter().enumerate() {
            command.arg(if mount.source.is_dir() { "dir" } else { "file" });
            command.arg(number.to_string()).arg(&mount.source);
        }
        command
    } else {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "micro-sandbox", "-"]);
        command
    };
    for door in group.doors() {
        command.arg("cgroup").arg(door);
    }
    command.arg("--").args(["nice", "-n", "5"]);
    limit(&mut command, &spec.limits, host, group);
    if host.root {
        let uid = spec.uid.to_string();
        command.args(["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups", "--inh-caps=-all"]);
        command.args(["--no-new-privs", "--pdeathsig", "KILL"]);
    }
    bubblewrap(&mut command, host, spec);
    // Nothing of the builder's environment reaches even the launcher.
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/");
    command
}

fn limit(command: &mut Command, limits: &Limits, host: &Host, group: &Group) {
    command.arg("prlimit").args([
        "--core=0".to_owned(),
        format!("--fsize={}", limits.disk_bytes),
        format!("--nofile={}", limits.files),
        // At the soft limit a signal that says so, a second later the one that nothing survives.
        format!("--cpu={}:{}", limits.cpu_seconds, limits.cpu_seconds.saturating_add(1)),
    ]);
    if host.root && !group.bounds_processes(limits) {
        // Counted by user: only a user of the run's own can have a limit of its own. Another builder of this machine
        // may have given the same user away, so a control group is better: it counts this run alone, and tells.
        command.arg(format!("--nproc={}", limits.processes));
    }
    if !group.bounds_memory(limits) {
        command.arg(format!("--as={}", limits.memory_bytes.saturating_mul(2)));
    }
}

fn bubblewrap(command: &mut Command, host: &Host, spec: &Spec) {
    command.arg("bwrap").args(["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"]);
    command.args(["--new-session", "--cap-drop", "ALL", "--clearenv", "--hostname", "micro"]);
    command.args(["--uid", USER, "--gid", USER, "--ro-bind", "/usr", "/usr"]);
    for name in ["lib", "lib32", "lib64", "libx32", "bin", "sbin"] {
        let path = Path::new("/").join(name);
        if path.is_symlink() {
            command.args(["--symlink", &format!("usr/{name}"), &format!("/{name}")]);
        } else if path.is_dir() {
            command.arg("--ro-bind").arg(&path).arg(&path);
        }
    }
    command.arg("--ro-bind");
    if host.root {
        command.arg(format!("{STAGE}/etc"));
    } else {
        command.arg(&host.etc);
    }
    command.arg("/etc");
    // `cc` is a chain of links through here.
    command.args(["--ro-bind-try", "/etc/alternatives", "/etc/alternatives"]);
    command.args(["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]);
    command.args(["--proc", "/proc", "--dev", "/dev"]);
    command.args(["--size", &spec.limits.disk_bytes.min(TMP_BYTES_MAX).to_string(), "--tmpfs", "/tmp"]);
    for (number, mount) in spec.mounts.iter().enumerate() {
        command.arg(if mount.writable { "--bind" } else { "--ro-bind" });
        if host.root {
            command.arg(format!("{STAGE}/{number}"));
        } else {
            command.arg(&mount.source);
        }
        command.arg(&mount.target);
    }
    for (name, value) in &spec.env {
        command.args(["--setenv", name, value]);
    }
    // The root and /dev are memory that no disk limit sees.
    command.args(["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--"]).args(&spec.program);
}

/// Bytes of `/tmp`; they also count as memory.
const TMP_BYTES_MAX: u64 = 1 << 30;
