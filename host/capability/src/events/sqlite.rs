//! Events in SQLite: one file a namespace, so that a tenant's data is bounded, backed up and deleted by itself.
//!
//! A few workers do all file work, each namespace's always the same one, so whatever a topic is asked happens one after
//! the other: positions are given and become visible in one order.

mod file;
mod groups;
mod job;
#[cfg(test)]
pub(super) mod model;
mod trim;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_api::name::Namespace;
use tokio::sync::watch;
use uuid::Uuid;

use super::backend::check_events;
use super::bells::Bells;
use super::{
    Appended, Backend, Delivery, Error, From, GroupInfo, GroupKey, Lease, Nack, New, Page, Plans, TopicInfo,
    TopicKey,
};
use crate::context::unix_ms;
use crate::sqlite::{Bounds, Refused, Workers};
use file::EventFile;
use groups::Taken;
use job::{Access, Asked, Task};
use worker::Worker;

/// A read of no more than so many events is over soon.
const GLANCE_EVENTS_MAX: usize = 16;

/// Bounds of the events.
#[derive(Debug, Clone)]
pub struct SqliteConfig {
    /// Folder of the files, `<namespace>.db`; none: all is in memory and gone with the process.
    pub folder: Option<PathBuf>,
    /// Largest file of one namespace; four times what its plan keeps, where that is more.
    pub namespace_bytes_max: u64,
    /// Files open at once, over all workers; in memory, namespaces that may have events.
    pub open_files_max: usize,
    /// Workers that do file work, each with a thread.
    pub workers: usize,
    /// Calls that wait for one worker.
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
            workers: 2,
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
    workers: Workers<Worker>,
    bells: Bells,
}

impl Sqlite {
    /// Makes the folder and starts the workers.
    ///
    /// # Errors
    /// When the folder or a thread cannot be made.
    pub fn open(config: &SqliteConfig) -> Result<Arc<Self>, Error> {
        if let Some(folder) = &config.folder {
            std::fs::create_dir_all(folder)
                .map_err(|error| Error::Backend(format!("make {}: {error}", folder.display())))?;
        }
        let workers = config.workers.max(1);
        let bounds =
            Bounds { queue_max: config.queue_max, calls_per_namespace_max: config.calls_per_namespace_max };
        let worker = |index| Worker::new(config, index, workers);
        let workers = Workers::start("micro-events", workers, &bounds, worker)
            .map_err(|error| Error::Backend(format!("start an events thread: {error}")))?;
        Ok(Arc::new(Self { workers, bells: Bells::default() }))
    }

    /// Has the namespace's worker do the work, which holds so many bytes, and waits for the answer. A namespace that never
    /// wrote has no file, and only [`Access::Create`] makes one.
    async fn ask<R: Send + 'static>(
        &self,
        namespace: &Namespace,
        access: Access,
        bytes: usize,
        work: impl FnMut(Option<&mut EventFile>) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        let task =
            |asker| Task { namespace: namespace.clone(), access, job: Box::new(Asked::new(work, asker)) };
        self.workers.ask(namespace, access.kind(), bytes, task).await?
    }
}

impl std::convert::From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Busy => Self::Busy,
            Refused::Stopped => Self::Backend("the worker of the events has stopped".to_owned()),
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
        let (key, bytes) = (topic.clone(), events.iter().map(New::bytes).sum());
        let append =
            move |file: Option<&mut EventFile>| file.ok_or_else(stopped)?.append(&key, &events, unix_ms());
        let appended = self.ask(topic.namespace(), Access::Create, bytes, append).await?;
        self.bells.ring(topic);
        Ok(appended)
    }

    async fn read(&self, topic: &TopicKey, from: From, limit: usize) -> Result<Page, Error> {
        let key = topic.clone();
        let read = move |file: Option<&mut EventFile>| {
            file.map_or_else(|| Ok(Page::default()), |file| file.read(&key, from, limit, unix_ms()))
        };
        let access = if limit <= GLANCE_EVENTS_MAX { Access::Glance } else { Access::Read };
        self.ask(topic.namespace(), access, 0, read).await
    }

    async fn next(&self, group: &GroupKey, lease: Lease) -> Result<Vec<Delivery>, Error> {
        if lease.ack_wait_ms == 0 {
            return Err(Error::AckWait);
        }
        let key = group.clone();
        let next = move |file: Option<&mut EventFile>| {
            file.map_or_else(|| Ok(Taken::default()), |file| file.next(&key, &lease, unix_ms()))
        };
        let taken = self.ask(group.topic().namespace(), Access::Change, 0, next).await?;
        if taken.died
            && let Some(dead) = group.topic().dead()
        {
            self.bells.ring(&dead);
        }
        Ok(taken.deliveries)
    }

    async fn ack(&self, group: &GroupKey, ids: &[Uuid]) -> Result<usize, Error> {
        let (key, ids) = (group.clone(), ids.to_vec());
        let was = self.ask(group.topic().namespace(), Access::Change, 0, move |file| {
            file.map_or(Ok(0), |file| file.ack(&key, &ids))
        });
        let was = was.await?;
        // Places in flight are free again.
        self.bells.ring(group.topic());
        Ok(was)
    }

    async fn nack(&self, group: &GroupKey, id: Uuid, nack: Nack) -> Result<bool, Error> {
        let key = group.clone();
        let was = self.ask(group.topic().namespace(), Access::Change, 0, move |file| {
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
        self.ask(namespace, Access::Read, 0, |file| file.map_or_else(|| Ok(Vec::new()), |file| file.topics()))
            .await
    }

    async fn groups(&self, topic: &TopicKey) -> Result<Vec<GroupInfo>, Error> {
        let key = topic.clone();
        let groups =
            move |file: Option<&mut EventFile>| file.map_or_else(|| Ok(Vec::new()), |file| file.groups(&key));
        self.ask(topic.namespace(), Access::Read, 0, groups).await
    }

    async fn held(&self, namespace: &Namespace) -> Result<u64, Error> {
        self.ask(namespace, Access::Read, 0, |file| file.map_or(Ok(0), |file| file.held())).await
    }

    fn bell(&self, topic: &TopicKey) -> watch::Receiver<u64> {
        self.bells.of(topic)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use bytes::Bytes;

    use super::file::Fault;
    use super::*;
    use crate::events::Retention;

    /// A log whose files have at most so many bytes.
    fn open(folder: &std::path::Path, bytes_max: u64) -> (Arc<Sqlite>, TopicKey) {
        let kept = Retention { bytes: bytes_max / 4, age_ms: 86_400_000 };
        let config = SqliteConfig {
            namespace_bytes_max: bytes_max,
            plans: Arc::new(Plans::new(kept)),
            ..SqliteConfig::new(folder.to_owned())
        };
        let topic = TopicKey::named(&"tests".parse().unwrap(), "orders").unwrap();
        (Sqlite::open(&config).unwrap(), topic)
    }

    /// The worker does nothing more before the sender goes; what waits for that.
    async fn blocked(log: &Sqlite, topic: &TopicKey) -> (impl Future<Output = ()>, Sender<()>) {
        let (send, receive) = channel::<()>();
        let wait = move |_: Option<&mut EventFile>| {
            // An error: the sender is gone.
            let _ = receive.recv();
            Ok(())
        };
        let mut wait = Box::pin(log.ask(topic.namespace(), Access::Read, 0, wait));
        assert!(futures::poll!(&mut wait).is_pending());
        (async move { wait.await.unwrap() }, send)
    }

    fn event(bytes: usize) -> Vec<New> {
        let (id, payload) = (Uuid::new_v4(), Bytes::from(vec![b'x'; bytes]));
        vec![New { id, metadata: Default::default(), payload }]
    }

    async fn positions(log: &Sqlite, topic: &TopicKey) -> Vec<(u64, usize)> {
        let page = log.read(topic, From::Start, 100).await.unwrap();
        page.events.into_iter().map(|event| (event.position, event.payload.len())).collect()
    }

    #[tokio::test]
    async fn what_waits_together_is_done_in_order_and_one_that_is_refused_takes_none_along() {
        let folder = tempfile::tempdir().unwrap();
        let (log, topic) = open(folder.path(), 1 << 30);
        log.append(&topic, event(1)).await.unwrap();
        let (blocked, go) = blocked(&log, &topic).await;
        let undone = log.ask(topic.namespace(), Access::Change, 0, |file| {
            let file = file.ok_or_else(stopped)?;
            assert!(file.is_together(), "it has company");
            file.transact("try", |file| -> Result<(), Fault> {
                file.execute("DELETE FROM events", [])?;
                Err(Fault::Refused(Error::Topics))
            })
        });
        let release = async move { drop(go) };
        let (first, undone, seen, second, (), ()) = futures::join!(
            log.append(&topic, event(2)),
            undone,
            log.read(&topic, From::Start, 100),
            log.append(&topic, event(3)),
            blocked,
            release,
        );
        assert_eq!((first.unwrap()[0].position, second.unwrap()[0].position), (2, 3));
        assert!(matches!(undone, Err(Error::Topics)), "{undone:?}");
        assert_eq!(seen.unwrap().events.len(), 2, "what came after it is not there yet");
        assert_eq!(positions(&log, &topic).await, [(1, 1), (2, 2), (3, 3)]);
    }

    #[tokio::test]
    async fn what_finds_no_room_takes_none_along() {
        let folder = tempfile::tempdir().unwrap();
        let (log, topic) = open(folder.path(), 256 << 10);
        log.append(&topic, event(1)).await.unwrap();
        let (blocked, go) = blocked(&log, &topic).await;
        let release = async move { drop(go) };
        let (first, large, second, (), ()) = futures::join!(
            log.append(&topic, event(2)),
            log.append(&topic, event(512 << 10)),
            log.append(&topic, event(3)),
            blocked,
            release,
        );
        assert!(matches!(large, Err(Error::Full)), "{large:?}");
        assert_eq!((first.unwrap()[0].position, second.unwrap()[0].position), (2, 3));
        drop(log);
        let (log, topic) = open(folder.path(), 256 << 10);
        assert_eq!(positions(&log, &topic).await, [(1, 1), (2, 2), (3, 3)]);
    }

    #[test]
    fn a_transaction_of_several_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (namespace, path) = ("tests".parse().unwrap(), folder.path().join("tests.db"));
        let mut file = EventFile::open(&namespace, Some(&path), 1 << 30, Arc::default()).unwrap();
        let topic = TopicKey::named(&namespace, "orders").unwrap();
        let other = EventFile::open(&namespace, Some(&path), 1 << 30, Arc::default());
        let mut other = other.unwrap();
        let append = |file: &mut EventFile, other: &mut EventFile, done| {
            file.together(|file| {
                for _ in 0..2 {
                    file.append(&topic, &event(1), unix_ms()).unwrap();
                    assert!(!file.is_undone());
                }
                let seen = other.read(&topic, From::Start, 9, unix_ms()).unwrap();
                assert!(seen.events.is_empty(), "nobody sees a part of it");
                done
            })
        };
        assert!(!append(&mut file, &mut other, false));
        assert!(other.read(&topic, From::Start, 9, unix_ms()).unwrap().events.is_empty());
        assert!(append(&mut file, &mut other, true));
        assert_eq!(other.read(&topic, From::Start, 9, unix_ms()).unwrap().events.len(), 2);
        assert!(!file.is_together() && !file.is_undone());
    }
}
