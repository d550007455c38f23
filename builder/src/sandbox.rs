//! Where everything that a repository brings runs.
//!
//! bubblewrap gives each run namespaces of its own: no network, no process but its own, no file but `/usr`, the
//! toolchain and what the caller mounts. As root a run also gets a user id of its own, because bubblewrap started as
//! root stays root towards the host, and control groups where they can be written. Each run is bounded in memory,
//! processes, CPU time, wall time, disk and output; the bound that ended it is named in [`End`].
//!
//! A run dies with the thread that spawned it: [`Host::run`] must be awaited on the runtime's own threads, never on a
//! blocking one.

pub(crate) mod cgroup;
mod command;
mod output;
pub(crate) mod tree;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

use cgroup::{Cgroups, Group};
use output::Splitter;
pub(crate) use output::Stream;

/// The disk is looked at this often, or rarer when looking takes long.
const DISK_INTERVAL: Duration = Duration::from_millis(200);
/// Looking at the disk takes at most this share of the time: one part in twenty.
const DISK_SHARE: u32 = 20;
const CHUNK_BYTES: usize = 16 * 1024;

/// What a run may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Memory of all its processes, bytes. Needs control groups; without them each process has twice this as address
    /// space.
    pub(crate) memory_bytes: u64,
    /// Processes and threads at once.
    pub(crate) processes: u64,
    /// Open files of one process.
    pub(crate) files: u64,
    /// Bytes in the writable mounts together; also the largest file.
    pub(crate) disk_bytes: u64,
    /// CPU time of one process, seconds.
    pub(crate) cpu_seconds: u64,
    /// CPUs at once, in percent of one.
    pub(crate) cpu_percent: u32,
    /// Time from start to end.
    pub(crate) wall: Duration,
    /// Bytes printed on both streams.
    pub(crate) output_bytes: u64,
}

/// A file or folder of the host that the run sees.
#[derive(Debug, Clone)]
pub(crate) struct Mount {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
    pub(crate) writable: bool,
}

impl Mount {
    pub(crate) fn read(source: impl Into<PathBuf>, target: impl Into<String>) -> Self {
        Self { source: source.into(), target: target.into(), writable: false }
    }
    pub(crate) fn write(source: impl Into<PathBuf>, target: impl Into<String>) -> Self {
        Self { source: source.into(), target: target.into(), writable: true }
    }
}

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// The host's user id of the run, used as root only. Writable mounts must belong to it.
    pub(crate) uid: u32,
    pub(crate) mounts: Vec<Mount>,
    /// The whole environment.
    pub(crate) env: Vec<(String, String)>,
    /// The program, as seen inside, and its arguments.
    pub(crate) program: Vec<String>,
    pub(crate) limits: Limits,
}

/// A bound that ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Memory,
    Processes,
    Cpu,
    Wall,
    Disk,
    FileSize,
    Output,
    /// The machine's disk, not the run's share of it.
    HostDisk,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// 0 is success.
    Exit(i32),
    Limit(Limit),
    /// Its caller gave up.
    Cancelled,
}

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{doing} {path}", path = path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Not this run's doing.
    #[error("the platform's disk is full")]
    Full,
    #[error("start {program}")]
    Spawn {
        program: String,
        #[source]
        source: std::io::Error,
    },
}

pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { doing, path, source }
}

/// The confinement that this machine allows.
#[derive(Debug)]
pub(crate) struct Host {
    /// Own user ids and staged mounts: only root can.
    root: bool,
    cgroups: Cgroups,
    /// Files that stand in for `/etc`.
    etc: PathBuf,
    /// Free bytes that the machine's disk keeps.
    free_bytes_min: u64,
}

impl Host {
    /// Looks at what the machine allows. `folder` gets the files that stand in for `/etc`.
    pub(crate) fn new(folder: &Path, free_bytes_min: u64) -> Result<Self, Error> {
        let root = rustix::process::geteuid().is_root();
        let etc = folder.join("etc");
        command::write_etc(&etc)?;
        if root {
            command::make_stage()?;
        }
        Ok(Self { root, cgroups: Cgroups::detect(), etc, free_bytes_min })
    }

    /// What confines a run, for the log.
    pub(crate) fn describe(&self) -> String {
        let uid = if self.root { "own uid" } else { "user namespace" };
        format!("bubblewrap, {uid}, {}", self.cgroups.describe())
    }

    /// Ends what builders that are gone left behind.
    pub(crate) async fn reap(&self) {
        self.cgroups.reap().await;
    }

    /// Runs to the end, to a bound, or until `stop`. Each line of output goes to `lines`.
    pub(crate) async fn run(
        &self,
        spec: &Spec,
        stop: &CancellationToken,
        lines: &mut (dyn FnMut(Stream, &str) + Send),
    ) -> Result<End, Error> {
        if self.disk_is_full(spec) {
            // Not this run's doing: nothing of its service need go.
            return Err(Error::Full);
        }
        let group = self.cgroups.create(&spec.limits);
        let mut child = command::build(self, spec, &group)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::Spawn { program: "bwrap".to_owned(), source })?;
        let stopped = self.watch(&mut child, spec, stop, lines).await;
        if stopped.is_some() {
            // What is inside dies with bubblewrap; the group makes sure.
            let _ = child.start_kill();
            group.kill();
        }
        let status =
            child.wait().await.map_err(|source| Error::Spawn { program: "bwrap".to_owned(), source })?;
        let end = match stopped.unwrap_or_else(|| judge(status, &group)) {
            // What cannot write fails by itself, often before the disk is looked at again.
            End::Exit(code) if code != 0 && self.disk_is_full(spec) => End::Limit(Limit::HostDisk),
            end => end,
        };
        group.remove().await;
        Ok(end)
    }

    /// Reads the output until both streams end. `Some` is the reason to kill.
    async fn watch(
        &self,
        child: &mut Child,
        spec: &Spec,
        stop: &CancellationToken,
        lines: &mut (dyn FnMut(Stream, &str) + Send),
    ) -> Option<End> {
        let (mut stdout, mut stderr) = (child.stdout.take()?, child.stderr.take()?);
        let (mut out, mut err) = (Splitter::new(Stream::Stdout), Splitter::new(Stream::Stderr));
        let (mut out_buffer, mut err_buffer) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
        let (mut out_open, mut err_open) = (true, true);
        let mut printed = 0u64;
        let wall = tokio::time::sleep(spec.limits.wall);
        let disk = self.watch_disk(spec);
        tokio::pin!(wall, disk);
        while out_open || err_open {
            let read = tokio::select! {
                read = stdout.read(&mut out_buffer), if out_open => {
                    let read = read.unwrap_or(0);
                    out_open = read > 0;
                    out.push(out_buffer.get(..read).unwrap_or_default(), lines);
                    read
                }
                read = stderr.read(&mut err_buffer), if err_open => {
                    let read = read.unwrap_or(0);
                    err_open = read > 0;
                    err.push(err_buffer.get(..read).unwrap_or_default(), lines);
                    read
                }
                () = &mut wall => return Some(End::Limit(Limit::Wall)),
                limit = &mut disk => return Some(End::Limit(limit)),
                () = stop.cancelled() => return Some(End::Cancelled),
            };
            printed += read as u64;
            if printed > spec.limits.output_bytes {
                return Some(End::Limit(Limit::Output));
            }
        }
        out.finish(lines);
        err.finish(lines);
        None
    }

    /// Ends when the writable mounts hold too much, or the machine's disk too little.
    async fn watch_disk(&self, spec: &Spec) -> Limit {
        let folders: Vec<PathBuf> =
            spec.mounts.iter().filter(|mount| mount.writable).map(|mount| mount.source.clone()).collect();
        let mut pause = DISK_INTERVAL;
        loop {
            tokio::time::sleep(pause).await;
            let started = Instant::now();
            let (folders, max) = (folders.clone(), spec.limits.disk_bytes);
            let used = tokio::task::spawn_blocking(move || {
                folders.iter().fold(0u64, |sum, folder| sum.saturating_add(tree::usage(folder, max)))
            });
            if used.await.unwrap_or(0) > max {
                return Limit::Disk;
            }
            if self.disk_is_full(spec) {
                return Limit::HostDisk;
            }
            pause = DISK_INTERVAL.max(started.elapsed() * DISK_SHARE);
        }
    }

    fn disk_is_full(&self, spec: &Spec) -> bool {
        spec.mounts.iter().filter(|mount| mount.writable).any(|mount| {
            rustix::fs::statvfs(&mount.source)
                .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < self.free_bytes_min)
        })
    }
}

/// 128 + a signal's number, as bubblewrap and the shells report it.
const EXIT_XCPU: i32 = 128 + 24;
const EXIT_XFSZ: i32 = 128 + 25;

fn judge(status: std::process::ExitStatus, group: &Group) -> End {
    use std::os::unix::process::ExitStatusExt;
    if status.success() {
        return End::Exit(0);
    }
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    if group.was_out_of_memory() {
        return End::Limit(Limit::Memory);
    }
    match code {
        EXIT_XCPU => End::Limit(Limit::Cpu),
        EXIT_XFSZ => End::Limit(Limit::FileSize),
        code if group.was_out_of_processes() && code != 0 => End::Limit(Limit::Processes),
        code => End::Exit(code),
    }
}

#[cfg(test)]
pub(crate) mod tests;
