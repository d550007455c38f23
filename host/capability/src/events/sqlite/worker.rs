//! Does the file work of some namespaces.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use micro_api::name::Namespace;

use super::SqliteConfig;
use super::file::EventFile;
use super::job::{Access, Task};
use crate::context::unix_ms;
use crate::events::{Error, Plans};
use crate::sqlite::{self, Kind, shard};

/// Namespaces whose old events one round removes; the next round goes on after them.
const SWEEP_NAMESPACES: usize = 64;

#[derive(Debug)]
pub(crate) struct Worker {
    folder: Option<PathBuf>,
    namespace_bytes_max: u64,
    files_max: usize,
    index: usize,
    workers: usize,
    files: HashMap<Namespace, Open>,
    uses: u64,
    sweep_every: Duration,
    /// Up to where the last round got.
    swept: Option<Namespace>,
    plans: Arc<Plans>,
}

#[derive(Debug)]
struct Open {
    file: EventFile,
    used: u64,
}

impl Worker {
    pub(crate) fn new(config: &SqliteConfig, index: usize, workers: usize) -> Self {
        Self {
            folder: config.folder.clone(),
            namespace_bytes_max: config.namespace_bytes_max,
            files_max: (config.open_files_max / workers).max(1),
            index,
            workers,
            files: HashMap::new(),
            uses: 0,
            sweep_every: config.sweep_every,
            swept: None,
            plans: Arc::clone(&config.plans),
        }
    }

    /// One transaction for all, which reaches the disk once; false: it was undone, because one of them, or the whole,
    /// failed for want of room or by the file's fault.
    fn work_together(&mut self, namespace: &Namespace, tasks: &mut [Task]) -> bool {
        let create = tasks.iter().any(|task| task.access == Access::Create);
        let Ok(Some(file)) = self.file(namespace, create) else { return false };
        file.together(|file| {
            tasks.iter_mut().all(|task| {
                task.job.work(Ok(Some(file)));
                !task.job.is_broken() && !file.is_undone()
            })
        })
    }

    fn work_alone(&mut self, task: &mut Task) {
        task.job.work(self.file(&task.namespace, task.access == Access::Create));
        if task.job.is_broken() && self.folder.is_some() {
            self.files.remove(&task.namespace);
        }
    }

    /// The namespaces of this worker that have events, from the folder: no list in memory grows with them for long.
    fn namespaces(&self) -> Vec<Namespace> {
        let Some(folder) = &self.folder else { return self.files.keys().cloned().collect() };
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(%error, "cannot list the files of the events");
                return Vec::new();
            }
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let namespaces = names.filter_map(|name| name.strip_suffix(".db")?.parse::<Namespace>().ok());
        namespaces.filter(|namespace| shard(namespace, self.workers) == self.index).collect()
    }

    /// A namespace that never wrote has no file, and reading makes none.
    fn file(&mut self, namespace: &Namespace, create: bool) -> Result<Option<&mut EventFile>, Error> {
        self.uses += 1;
        let used = self.uses;
        if !self.files.contains_key(namespace) {
            let path = self.folder.as_ref().map(|folder| folder.join(format!("{namespace}.db")));
            if !create && path.as_ref().is_none_or(|path| !path.exists()) {
                return Ok(None);
            }
            if self.files.len() >= self.files_max {
                self.close_oldest()?;
            }
            let plans = Arc::clone(&self.plans);
            let file = EventFile::open(namespace, path.as_deref(), self.namespace_bytes_max, plans)?;
            self.files.insert(namespace.clone(), Open { file, used });
        }
        let open = self.files.get_mut(namespace).ok_or_else(super::stopped)?;
        open.used = used;
        Ok(Some(&mut open.file))
    }

    /// What is only in memory cannot be closed.
    fn close_oldest(&mut self) -> Result<(), Error> {
        if self.folder.is_none() {
            return Err(Error::Full);
        }
        let oldest = self.files.iter().min_by_key(|(_, open)| open.used).map(|(name, _)| name.clone());
        if let Some(oldest) = oldest {
            self.files.remove(&oldest);
        }
        Ok(())
    }
}

impl sqlite::Worker for Worker {
    type Task = Task;

    const BATCH: usize = 64;

    fn work_one(&mut self, mut task: Task) {
        self.work_alone(&mut task);
        task.job.tell();
    }

    /// Each namespace's tasks in the order in which they came, in one transaction.
    fn work(&mut self, tasks: impl Iterator<Item = Task>) {
        for (namespace, mut tasks) in sqlite::by_namespace(tasks, |task| &task.namespace) {
            let changes = tasks.iter().any(|task| task.access.kind() == Kind::Write);
            let done = changes && tasks.len() > 1 && self.work_together(&namespace, &mut tasks);
            for mut task in tasks {
                if !done {
                    self.work_alone(&mut task);
                }
                task.job.tell();
            }
        }
    }

    fn sweep(&mut self) {
        let mut all = self.namespaces();
        all.sort_unstable();
        let done = self.swept.take();
        let ahead = all.into_iter().filter(|namespace| done.as_ref().is_none_or(|done| namespace > done));
        let ahead: Vec<_> = ahead.take(SWEEP_NAMESPACES).collect();
        // A round that was not full has come to the end: the next starts at the beginning.
        self.swept = if ahead.len() < SWEEP_NAMESPACES { None } else { ahead.last().cloned() };
        for namespace in ahead {
            let swept = self.file(&namespace, false).and_then(|file| {
                let Some(file) = file else { return Ok(()) };
                file.sweep(unix_ms())
            });
            if let Err(error) = swept {
                tracing::warn!(%namespace, %error, "cannot remove old events");
                if self.folder.is_some() {
                    self.files.remove(&namespace);
                }
            }
        }
    }

    fn sweep_every(&self) -> Duration {
        self.sweep_every
    }
}
