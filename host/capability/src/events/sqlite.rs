//! Events in SQLite: one file a namespace, so that a tenant's data is bounded, backed up and deleted by itself.
//!
//! A few threads of our own do all file work, each namespace always on the same one, so whatever a topic is asked
//! happens one after the other: positions are given and become visible in one order.

mod file;
mod groups;
#[cfg(test)]
pub(super) mod model;
mod trim;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_api::name::Namespace;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::backend::check_events;
use super::bells::Bells;
use super::{
    Appended, Backend, Delivery, Error, From, GroupInfo, GroupKey, Lease, Nack, New, Page, Plans, TopicInfo,
    TopicKey,
};
use crate::context::unix_ms;
use crate::sqlite::{Bounds, Refused, Threads};
use file::EventFile;
use groups::Taken;
use worker::{Task, Worker};

/// Bounds of the events.
#[derive(Debug, Clone)]
pub struct SqliteConfig {
    /// Folder of the files, `<namespace>.db`; none: all is in memory and gone with the process.
    pub folder: Option<PathBuf>,
    /// Largest file of one namespace; four times what its plan keeps, where that is more.
    pub namespace_bytes_max: u64,
    /// Files open at once, over all threads; in memory, namespaces that may have events.
    pub open_files_max: usize,
    /// Threads that do file work.
    pub threads: usize,
    /// Calls that wait for one thread.
    pub queue_max: usize,
    /// Calls of one namespace that wait or run; more wait their turn outside the queue.
    pub calls_per_namespace_max: usize,
    /// How often old events are looked for where nobody appends.
    pub sweep_every: Duration,
    /// How long each namespace's events are kept.
    pub plans: Arc<Plans>,
}

impl SqliteConfig {
    /// The defaults, in `folder`: 1 GiB a namespace or what its plan needs, 256 files open, a sweep each minute.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder: Some(folder),
            namespace_bytes_max: 1 << 30,
            open_files_max: 256,
            threads: 2,
            queue_max: 4_096,
            calls_per_namespace_max: 512,
            sweep_every: Duration::from_secs(60),
            plans: Arc::default(),
        }
    }

    /// The same in memory, for at most 10 000 namespaces: for tests, and for platforms that keep nothing.
    pub fn memory() -> Self {
        Self { folder: None, open_files_max: 10_000, ..Self::new(PathBuf::new()) }
    }
}

/// A log of events in SQLite files.
#[derive(Debug)]
pub struct Sqlite {
    threads: Threads<Task>,
    bells: Bells,
}

impl Sqlite {
    /// Makes the folder and starts the threads.
    ///
    /// # Errors
    /// When the folder or a thread cannot be made.
    pub fn open(config: &SqliteConfig) -> Result<Arc<Self>, Error> {
        if let Some(folder) = &config.folder {
            std::fs::create_dir_all(folder)
                .map_err(|error| Error::Backend(format!("make {}: {error}", folder.display())))?;
        }
        let threads = config.threads.max(1);
        let bounds =
            Bounds { queue_max: config.queue_max, calls_per_namespace_max: config.calls_per_namespace_max };
        let worker = |index| {
            let worker = Worker::new(config, index, threads);
            move |tasks| worker.run(&tasks)
        };
        let threads = Threads::start("micro-events", threads, &bounds, worker)
            .map_err(|error| Error::Backend(format!("start an events thread: {error}")))?;
        Ok(Arc::new(Self { threads, bells: Bells::default() }))
    }

    /// Waits for the namespace's turn, has its thread do the job and waits for the answer. A read of a namespace that
    /// never wrote makes no file: the job gets none.
    async fn ask<R: Send + 'static>(
        &self,
        namespace: &Namespace,
        create: bool,
        job: impl FnOnce(Option<&mut EventFile>) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        let turn = self.threads.turn(namespace).await?;
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move |file: Result<Option<&mut EventFile>, Error>| {
            let result = file.and_then(job);
            let broken = matches!(result, Err(Error::Backend(_)));
            // The turn was kept until here: a caller that gave up leaves the place taken until the work is done.
            drop(turn);
            // A caller whose deadline passed is gone.
            drop(reply.send(result));
            broken
        });
        let task = Task { namespace: namespace.clone(), create, job };
        self.threads.send(namespace, task)?;
        answer.await.map_err(|_| Refused::Stopped)?
    }
}

impl std::convert::From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Busy => Self::Busy,
            Refused::Stopped => Self::Backend("the thread of the events has stopped".to_owned()),
        }
    }
}

fn stopped() -> Error {
    Refused::Stopped.into()
}

#[async_trait]
impl Backend for Sqlite {
    async fn append(&self, topic: &TopicKey, events: Vec<New>) -> Result<Vec<Appended>, Error> {
        if topic.dead().is_none() {
            return Err(Error::Reserved);
        }
        check_events(&events)?;
        let key = topic.clone();
        let append =
            move |file: Option<&mut EventFile>| file.ok_or_else(stopped)?.append(&key, &events, unix_ms());
        let appended = self.ask(topic.namespace(), true, append).await?;
        self.bells.ring(topic);
        Ok(appended)
    }

    async fn read(&self, topic: &TopicKey, from: From, limit: usize) -> Result<Page, Error> {
        let key = topic.clone();
        let read = move |file: Option<&mut EventFile>| {
            file.map_or_else(|| Ok(Page::default()), |file| file.read(&key, from, limit, unix_ms()))
        };
        self.ask(topic.namespace(), false, read).await
    }

    async fn next(&self, group: &GroupKey, lease: Lease) -> Result<Vec<Delivery>, Error> {
        if lease.ack_wait_ms == 0 {
            return Err(Error::AckWait);
        }
        let key = group.clone();
        let next = move |file: Option<&mut EventFile>| {
            file.map_or_else(|| Ok(Taken::default()), |file| file.next(&key, &lease, unix_ms()))
        };
        let taken = self.ask(group.topic().namespace(), false, next).await?;
        if taken.died
            && let Some(dead) = group.topic().dead()
        {
            self.bells.ring(&dead);
        }
        Ok(taken.deliveries)
    }

    async fn ack(&self, group: &GroupKey, id: Uuid) -> Result<bool, Error> {
        let key = group.clone();
        let was = self.ask(group.topic().namespace(), false, move |file| {
            file.map_or(Ok(false), |file| file.ack(&key, id))
        });
        let was = was.await?;
        // A place in flight is free again.
        self.bells.ring(group.topic());
        Ok(was)
    }

    async fn nack(&self, group: &GroupKey, id: Uuid, nack: Nack) -> Result<bool, Error> {
        let key = group.clone();
        let was = self.ask(group.topic().namespace(), false, move |file| {
            file.map_or(Ok(false), |file| file.nack(&key, id, &nack, unix_ms()))
        });
        let was = was.await?;
        self.bells.ring(group.topic());
        if let Some(dead) = group.topic().dead() {
            self.bells.ring(&dead);
        }
        Ok(was)
    }

    async fn topics(&self, namespace: &Namespace) -> Result<Vec<TopicInfo>, Error> {
        self.ask(namespace, false, |file| file.map_or_else(|| Ok(Vec::new()), |file| file.topics())).await
    }

    async fn groups(&self, topic: &TopicKey) -> Result<Vec<GroupInfo>, Error> {
        let key = topic.clone();
        let groups =
            move |file: Option<&mut EventFile>| file.map_or_else(|| Ok(Vec::new()), |file| file.groups(&key));
        self.ask(topic.namespace(), false, groups).await
    }

    async fn held(&self, namespace: &Namespace) -> Result<u64, Error> {
        self.ask(namespace, false, |file| file.map_or(Ok(0), |file| file.held())).await
    }

    fn bell(&self, topic: &TopicKey) -> watch::Receiver<u64> {
        self.bells.of(topic)
    }
}
