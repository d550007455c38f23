//! Does the file work of some namespaces.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_api::name::Namespace;

use super::change::{Change, Outcome, Part};
use super::due::Due;
use super::file::{NamespaceFile, Sizes};
use super::{CACHED_VALUE_BYTES_MAX, HotKey, HotKeys, SqliteConfig, Wanted};
use crate::context::unix_ms;
use crate::sqlite::{self, Kind, shard};
use crate::store::books::Books;
use crate::store::{Error, Page, Range, Record, TableKey, Want};

/// How often expired records are looked for, and how many namespaces' at once.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
const SWEEP_NAMESPACES: usize = 32;

/// A job with who waits for it.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) job: Job,
    pub(crate) asker: Asker,
}

#[derive(Debug)]
pub(crate) enum Job {
    Get { table: TableKey, key: Bytes },
    Change(Change),
    Scan { table: TableKey, range: Range, want: Want },
    Tables { namespace: Namespace },
}

#[derive(Debug)]
pub(crate) enum Answer {
    Done,
    Sum(i64),
    /// A check did not hold.
    Unmet,
    Record(Option<Record>),
    Page(Page),
    Tables(Vec<String>),
}

type Asker = sqlite::Asker<Result<Answer, Error>>;

#[derive(Debug)]
pub(crate) struct Worker {
    folder: PathBuf,
    namespace_bytes_max: u64,
    files_max: usize,
    index: usize,
    workers: usize,
    files: HashMap<Namespace, Open>,
    uses: u64,
    hot: HotKeys,
    due: Arc<Due>,
    books: Arc<Books>,
}

#[derive(Debug)]
struct Open {
    file: NamespaceFile,
    used: u64,
}

impl Worker {
    pub(crate) fn new(
        config: &SqliteConfig,
        index: usize,
        workers: usize,
        hot: HotKeys,
        due: Arc<Due>,
    ) -> Self {
        Self {
            folder: config.folder.clone(),
            namespace_bytes_max: config.namespace_bytes_max,
            files_max: (config.open_files_max / workers).max(1),
            index,
            workers,
            files: HashMap::new(),
            uses: 0,
            hot,
            due,
            books: Arc::clone(&config.books),
        }
    }

    /// One transaction for all; if it fails, one for each, so that no caller fails for another's write.
    fn change(&mut self, namespace: &Namespace, changes: Vec<(Change, Asker)>) {
        let all: Vec<_> = changes.iter().map(|(change, _)| change).collect();
        let together = self.apply(namespace, &all);
        let mut together = together.ok().map(Vec::into_iter);
        for (change, asker) in changes {
            let answer = match together.as_mut().map(Iterator::next) {
                Some(Some(outcome)) => self.remember(change, outcome),
                Some(None) => Err(super::stopped()),
                None => self.change_one(change),
            };
            asker.tell(answer);
        }
    }

    fn apply(&mut self, namespace: &Namespace, changes: &[&Change]) -> Result<Vec<Outcome>, Error> {
        let expires_ms = changes.iter().filter_map(|change| change.expires_ms()).min();
        self.write(namespace, expires_ms, |file, max| file.apply(changes, max))
    }

    /// Writes records of which the first expires then, within what the namespace may hold.
    fn write<R>(
        &mut self,
        namespace: &Namespace,
        expires_ms: Option<u64>,
        write: impl FnOnce(&mut NamespaceFile, Option<u64>) -> Result<(R, Sizes), Error>,
    ) -> Result<R, Error> {
        if let Some(at) = expires_ms {
            self.due.lower(namespace, at);
        }
        let max = self.books.max(namespace);
        let result = self.open(namespace).and_then(|file| write(file, max));
        self.forget_if_broken(namespace, &result);
        let (done, sizes) = result?;
        self.note(namespace, sizes);
        Ok(done)
    }

    fn change_one(&mut self, change: Change) -> Result<Answer, Error> {
        let namespace = change.table().namespace();
        match self.write(namespace, change.expires_ms(), |file, max| file.apply_one(&change, max)) {
            Ok(outcome) => self.remember(change, outcome),
            // Whether it happened after all, the file knows.
            Err(error) => {
                self.forget(change);
                Err(error)
            }
        }
    }

    fn read_one(&mut self, job: Job) -> Result<Answer, Error> {
        let namespace = job.namespace().clone();
        let answer = self.read(&namespace, job);
        self.forget_if_broken(&namespace, &answer);
        answer
    }

    fn note(&self, namespace: &Namespace, sizes: Sizes) {
        for (table, bytes) in sizes {
            self.books.note(namespace, table, bytes);
        }
    }

    fn read(&mut self, namespace: &Namespace, job: Job) -> Result<Answer, Error> {
        let file = self.open_existing(namespace)?;
        match job {
            Job::Get { table, key } => {
                let found = file.map_or(Ok(None), |file| file.get(&table, &key))?;
                self.cache(table, key, found.clone());
                Ok(Answer::Record(found))
            }
            Job::Scan { table, range, want } => {
                let page = file
                    .map_or_else(|| Ok(Page::default()), |file| file.scan(&table, &range, want, unix_ms()))?;
                Ok(Answer::Page(page))
            }
            Job::Tables { .. } => {
                Ok(Answer::Tables(file.map_or_else(|| Ok(Vec::new()), |file| file.tables(unix_ms()))?))
            }
            Job::Change(_) => Ok(Answer::Done),
        }
    }

    /// Keeps what the change left behind; what to tell its caller.
    fn remember(&self, change: Change, outcome: Outcome) -> Result<Answer, Error> {
        match (change, outcome) {
            (_, Outcome::Refused(error)) => Err(error),
            (_, Outcome::Unmet) => Ok(Answer::Unmet),
            (change, Outcome::Sum(sum, record)) => {
                self.cache(change.table().clone(), record.key.clone(), Some(record));
                Ok(Answer::Sum(sum))
            }
            (Change::One { table, part }, Outcome::Done) => {
                let (key, record) = part.into_record();
                self.cache(table, key, record);
                Ok(Answer::Done)
            }
            (Change::Commit { table, parts, .. }, Outcome::Done) => {
                let records: Vec<_> = parts.into_iter().map(Part::into_record).collect();
                // Who finds one key's new value must not find another's old one: so all old ones go first.
                for (key, _) in &records {
                    self.hot.remove(&Wanted { table: &table, key });
                }
                for (key, record) in records {
                    self.cache(table.clone(), key, record);
                }
                Ok(Answer::Done)
            }
            (change @ Change::Increment { .. }, Outcome::Done) => {
                self.forget(change);
                Ok(Answer::Done)
            }
        }
    }

    fn forget(&self, change: Change) {
        let (table, keys) = match change {
            Change::One { table, part } => (table, vec![part.into_record().0]),
            Change::Increment { table, key, .. } => (table, vec![key]),
            Change::Commit { table, parts, .. } => {
                (table, parts.into_iter().map(|part| part.into_record().0).collect())
            }
        };
        for key in keys {
            self.hot.remove(&Wanted { table: &table, key: &key });
        }
    }

    fn cache(&self, table: TableKey, key: Bytes, record: Option<Record>) {
        if record.as_ref().is_some_and(|record| record.value.len() > CACHED_VALUE_BYTES_MAX) {
            self.hot.remove(&Wanted { table: &table, key: &key });
        } else {
            self.hot.insert(HotKey { table, key }, record);
        }
    }

    // === Open files ===

    fn path(&self, namespace: &Namespace) -> PathBuf {
        self.folder.join(format!("{namespace}.db"))
    }

    /// A namespace that never wrote has no file, and reading makes none.
    fn open_existing(&mut self, namespace: &Namespace) -> Result<Option<&mut NamespaceFile>, Error> {
        if !self.files.contains_key(namespace) && !self.path(namespace).exists() {
            return Ok(None);
        }
        self.open(namespace).map(Some)
    }

    fn open(&mut self, namespace: &Namespace) -> Result<&mut NamespaceFile, Error> {
        self.uses += 1;
        let used = self.uses;
        if !self.files.contains_key(namespace) {
            if self.files.len() >= self.files_max
                && let Some(oldest) =
                    self.files.iter().min_by_key(|(_, open)| open.used).map(|(name, _)| name.clone())
            {
                self.files.remove(&oldest);
            }
            let file = NamespaceFile::open(&self.path(namespace), self.namespace_bytes_max)?;
            if let Some(next) = file.next_expiry()? {
                self.due.lower(namespace, next);
            }
            // A crash may have lost what was noted last.
            let sizes = file.sizes()?;
            self.note(namespace, sizes);
            self.files.insert(namespace.clone(), Open { file, used });
        }
        let open = self.files.get_mut(namespace).ok_or_else(super::stopped)?;
        open.used = used;
        Ok(&mut open.file)
    }

    /// After an error that is not the caller's, the file is opened anew.
    fn forget_if_broken<R>(&mut self, namespace: &Namespace, result: &Result<R, Error>) {
        if matches!(result, Err(Error::Backend(_))) {
            self.files.remove(namespace);
        }
    }
}

impl sqlite::Worker for Worker {
    type Task = Task;

    const BATCH: usize = 256;

    fn work_one(&mut self, task: Task) {
        let Task { job, asker } = task;
        asker.tell(match job {
            Job::Change(change) => self.change_one(change),
            read => self.read_one(read),
        });
    }

    /// What one namespace writes among them is one transaction, and is read after it.
    fn work(&mut self, tasks: impl Iterator<Item = Task>) {
        for (namespace, tasks) in sqlite::by_namespace(tasks, |task| task.job.namespace()) {
            let (mut changes, mut reads) = (Vec::new(), Vec::new());
            for Task { job, asker } in tasks {
                match job {
                    Job::Change(change) => changes.push((change, asker)),
                    read => reads.push((read, asker)),
                }
            }
            if changes.len() > 1 {
                self.change(&namespace, changes);
            } else if let Some((change, asker)) = changes.pop() {
                asker.tell(self.change_one(change));
            }
            for (job, asker) in reads {
                asker.tell(self.read_one(job));
            }
        }
    }

    fn sweep(&mut self) {
        let (index, workers, now_ms) = (self.index, self.workers, unix_ms());
        let mine = |namespace: &Namespace| shard(namespace, workers) == index;
        for namespace in self.due.take(now_ms, SWEEP_NAMESPACES, mine) {
            let swept = self.open_existing(&namespace).and_then(|file| {
                let Some(file) = file else { return Ok((None, Sizes::new())) };
                let sizes = file.sweep(now_ms)?;
                Ok((file.next_expiry()?, sizes))
            });
            match swept {
                Ok((next, sizes)) => {
                    self.due.correct(&namespace, next);
                    self.note(&namespace, sizes);
                }
                Err(ref error) => {
                    tracing::warn!(%namespace, %error, "cannot remove expired records");
                    self.forget_if_broken(&namespace, &swept);
                }
            }
        }
    }

    fn sweep_every(&self) -> Duration {
        SWEEP_EVERY
    }
}

impl Job {
    /// What it does to the file.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Change(_) => Kind::Write,
            Self::Get { .. } => Kind::Glance,
            Self::Scan { .. } | Self::Tables { .. } => Kind::Read,
        }
    }

    /// What it carries.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Change(change) => change.bytes(),
            Self::Get { .. } | Self::Scan { .. } | Self::Tables { .. } => 0,
        }
    }

    fn namespace(&self) -> &Namespace {
        match self {
            Self::Get { table, .. } | Self::Scan { table, .. } => table.namespace(),
            Self::Change(change) => change.table().namespace(),
            Self::Tables { namespace } => namespace,
        }
    }
}
