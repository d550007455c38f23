//! Control groups, both generations, where this process can write them.
//!
//! Groups lie in a folder `micro-builder` and are named `<builder's process id>-<number>`, so that a later builder
//! knows which ones nobody owns any more.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Limits;

const ROOT: &str = "/sys/fs/cgroup";
const FOLDER: &str = "micro-builder";
/// A period of the CPU quota, microseconds.
const PERIOD_US: u64 = 100_000;
/// Weight against serving, of 1 024 (first generation) and of 100 (second).
const SHARES: (u64, u64) = (256, 25);
/// How often and how long a dying group is waited for.
const REMOVE_TRIES: u32 = 100;
const REMOVE_PAUSE: Duration = Duration::from_millis(10);

/// Which control groups can be used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cgroups {
    /// One folder a controller (first generation), or the single one (second).
    folders: Vec<(Controller, PathBuf)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Controller {
    Memory,
    Pids,
    Cpu,
    Unified,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Cgroups {
    /// Tries what this process may write.
    pub(crate) fn detect() -> Self {
        let root = Path::new(ROOT);
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        if root.join("cgroup.controllers").exists() {
            Self::unified(root, &own)
        } else {
            Self::split(root, &own)
        }
    }

    /// The second generation. A group that has processes cannot have limited children, so ours lie beside the
    /// builder's own group, or at the top.
    fn unified(root: &Path, own: &str) -> Self {
        let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let beside = Path::new(path).parent().map(|parent| root.join(parent));
        for base in beside.into_iter().chain([root.to_owned()]) {
            enable(&base);
            let folder = base.join(FOLDER);
            let _ = std::fs::create_dir(&folder);
            let enabled = enable(&folder);
            if enabled.contains("memory") && enabled.contains("pids") && writable(&folder) {
                return Self { folders: vec![(Controller::Unified, folder)] };
            }
        }
        Self::default()
    }

    /// The first generation: a hierarchy a controller, ours below the builder's own group.
    fn split(root: &Path, own: &str) -> Self {
        let mut folders = Vec::new();
        for (controller, name) in
            [(Controller::Memory, "memory"), (Controller::Pids, "pids"), (Controller::Cpu, "cpu")]
        {
            let path = own.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':');
                let names = parts.nth(1)?;
                names.split(',').any(|other| other == name).then(|| parts.next())?
            });
            let below = root.join(name).join(path.unwrap_or_default().trim_start_matches('/'));
            for base in [below, root.join(name)] {
                let folder = base.join(FOLDER);
                let _ = std::fs::create_dir(&folder);
                if writable(&folder) {
                    folders.push((controller, folder));
                    break;
                }
            }
        }
        Self { folders }
    }

    pub(crate) fn describe(&self) -> String {
        if self.folders.is_empty() {
            return "no control groups".to_owned();
        }
        let names: Vec<_> = self.folders.iter().map(|(controller, _)| format!("{controller:?}")).collect();
        format!("control groups {}", names.join(", ").to_lowercase())
    }

    /// A group with these limits. A controller may refuse: [`Group::bounds_memory`] and [`Group::bounds_processes`]
    /// tell what holds.
    pub(super) fn create(&self, limits: &Limits) -> Group {
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut folders = Vec::new();
        for (controller, parent) in &self.folders {
            let folder = parent.join(&name);
            match std::fs::create_dir(&folder) {
                Ok(()) => {
                    configure(*controller, &folder, limits);
                    folders.push((*controller, folder));
                }
                Err(error) => {
                    tracing::warn!(%error, folder = %folder.display(), "Cannot make a control group")
                }
            }
        }
        Group { folders }
    }

    /// Ends what lives in groups of builders that are gone, and removes the groups.
    pub(crate) async fn reap(&self) {
        for (controller, parent) in &self.folders {
            for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let Some(owner) = name.to_str().and_then(|name| name.split_once('-')).map(|(pid, _)| pid)
                else {
                    continue;
                };
                let own = owner == std::process::id().to_string();
                if owner.parse::<u32>().is_err() || own || Path::new("/proc").join(owner).exists() {
                    continue;
                }
                let group = Group { folders: vec![(*controller, entry.path())] };
                group.kill();
                group.remove().await;
            }
        }
    }
}

/// One run's group.
#[derive(Debug)]
pub(super) struct Group {
    folders: Vec<(Controller, PathBuf)>,
}

impl Group {
    /// The files that a process writes its id to, to join.
    pub(super) fn doors(&self) -> impl Iterator<Item = PathBuf> {
        self.folders.iter().map(|(_, folder)| folder.join("cgroup.procs"))
    }

    pub(super) fn bounds_memory(&self, limits: &Limits) -> bool {
        self.bounds(&["memory.limit_in_bytes", "memory.max"], limits.memory_bytes)
    }

    pub(super) fn bounds_processes(&self, limits: &Limits) -> bool {
        self.bounds(&["pids.max"], limits.processes)
    }

    /// Whether the kernel has taken a limit on: one that was refused says `max`, or more than was asked for.
    fn bounds(&self, files: &[&str], max: u64) -> bool {
        let set = |folder: &Path, file: &str| {
            let text = std::fs::read_to_string(folder.join(file)).ok()?;
            text.trim().parse::<u64>().ok()
        };
        let mut found =
            self.folders.iter().flat_map(|(_, folder)| files.iter().map(move |file| set(folder, file)));
        found.any(|set| set.is_some_and(|set| set <= max))
    }

    /// Kills everything in it.
    pub(super) fn kill(&self) {
        for (_, folder) in &self.folders {
            if std::fs::write(folder.join("cgroup.kill"), "1").is_ok() {
                continue;
            }
            let processes = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            for pid in processes.lines().filter_map(|line| line.parse().ok()) {
                if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
        }
    }

    /// Removes it; waits a little for processes that are ending.
    pub(super) async fn remove(self) {
        for (_, folder) in &self.folders {
            for _ in 0..REMOVE_TRIES {
                match std::fs::remove_dir(folder) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        self.kill();
                        tokio::time::sleep(REMOVE_PAUSE).await;
                    }
                    _ => break,
                }
            }
        }
    }

    pub(super) fn was_out_of_memory(&self) -> bool {
        self.counter(&[("memory.oom_control", "oom_kill"), ("memory.events", "oom_kill")]) > 0
    }

    pub(super) fn was_out_of_processes(&self) -> bool {
        self.counter(&[("pids.events", "max")]) > 0
    }

    fn counter(&self, places: &[(&str, &str)]) -> u64 {
        let mut sum = 0;
        for (_, folder) in &self.folders {
            for (file, key) in places {
                let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
                let value =
                    text.lines().filter_map(|line| line.split_once(' ')).find(|(name, _)| name == key);
                sum += value.and_then(|(_, value)| value.trim().parse::<u64>().ok()).unwrap_or(0);
            }
        }
        sum
    }
}

impl Drop for Group {
    /// A run that was dropped half-way leaves nothing alive.
    fn drop(&mut self) {
        if self.folders.iter().any(|(_, folder)| folder.exists()) {
            self.kill();
            for (_, folder) in &self.folders {
                let _ = std::fs::remove_dir(folder);
            }
        }
    }
}

fn configure(controller: Controller, folder: &Path, limits: &Limits) {
    let quota = PERIOD_US * u64::from(limits.cpu_percent) / 100;
    let memory = limits.memory_bytes.to_string();
    let settings: &[(&str, String)] = &match controller {
        Controller::Memory => vec![
            ("memory.limit_in_bytes", memory.clone()),
            // Absent where swap is not accounted.
            ("memory.memsw.limit_in_bytes", memory),
        ],
        Controller::Pids => vec![("pids.max", limits.processes.to_string())],
        Controller::Cpu => vec![
            ("cpu.cfs_period_us", PERIOD_US.to_string()),
            ("cpu.cfs_quota_us", quota.to_string()),
            ("cpu.shares", SHARES.0.to_string()),
        ],
        Controller::Unified => vec![
            ("memory.max", memory),
            ("memory.swap.max", "0".to_owned()),
            ("pids.max", limits.processes.to_string()),
            ("cpu.max", format!("{quota} {PERIOD_US}")),
            ("cpu.weight", SHARES.1.to_string()),
        ],
    };
    for (file, value) in settings {
        if let Err(error) = std::fs::write(folder.join(file), value) {
            tracing::debug!(%error, file, folder = %folder.display(), "A control group refuses a setting");
        }
    }
}

/// Gives the controllers to the groups below, one by one: a machine may lack any of them. What they have then.
fn enable(folder: &Path) -> String {
    let control = folder.join("cgroup.subtree_control");
    for controller in ["+memory", "+pids", "+cpu"] {
        let _ = std::fs::write(&control, controller);
    }
    std::fs::read_to_string(&control).unwrap_or_default()
}

/// Whether groups can be made in `folder`.
fn writable(folder: &Path) -> bool {
    let probe = folder.join(format!("{}-probe", std::process::id()));
    std::fs::create_dir(&probe).is_ok_and(|()| std::fs::remove_dir(&probe).is_ok())
}
