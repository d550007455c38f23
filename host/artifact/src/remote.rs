//! Files that nodes share: in a bucket of S3, each of them written once and read by whoever lacks it.
//!
//! The functions here block, like all of this crate: what they wait for runs on a thread of their own.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::TryStreamExt;
use micro_s3::Place;
use object_store::path::Path as Name;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use crate::Error;

/// Files above this go up in parts of this size.
const PART_BYTES: usize = 8 << 20;
/// What was written longer ago is written again, since nodes remove what is old and that nobody needs.
const FRESH: Duration = Duration::from_secs(3_600);

/// A bucket. Clones are one.
#[derive(Clone)]
pub struct Remote {
    objects: Arc<dyn ObjectStore>,
    prefix: String,
    thread: Arc<Thread>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Remote").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// A file that lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its name, without the folder.
    pub name: String,
    /// When it was written.
    pub written: SystemTime,
}

impl Remote {
    /// Opens the bucket, and looks whether it lets us in.
    pub fn open(place: &Place) -> Result<Self, Error> {
        let wrong = |reason| Error::Remote { doing: "open", name: place.bucket.clone(), reason };
        let remote = Self::over(Arc::new(place.connect().map_err(wrong)?), &place.prefix)?;
        remote.look("artifacts")?;
        Ok(remote)
    }

    fn over(objects: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self, Error> {
        let thread = Thread::start().map_err(crate::io("start a thread for", Path::new("S3")))?;
        Ok(Self { objects, prefix: prefix.to_owned(), thread: Arc::new(thread) })
    }

    /// Writes a file, unless one of that name was written a moment ago. Once this returns every node can read it.
    pub fn put(&self, name: &str, file: &Path) -> Result<(), Error> {
        let (objects, at) = (Arc::clone(&self.objects), self.at(name));
        let opened = File::open(file).map_err(crate::io("open", file))?;
        let size = opened.metadata().map_err(crate::io("look at", file))?.len();
        let sent = async move {
            let fresh = objects.head(&at).await;
            if fresh.is_ok_and(|found| found.size == size && !is_older(found.last_modified.into(), FRESH)) {
                return Ok(());
            }
            send(&*objects, &at, opened, size).await
        };
        self.thread.wait(sent).map_err(failed("write", name))
    }

    /// Reads a file into `to`; false: there is none.
    pub fn fetch(&self, name: &str, mut to: File) -> Result<bool, Error> {
        let (objects, at) = (Arc::clone(&self.objects), self.at(name));
        let read = async move {
            let size = match objects.head(&at).await {
                Err(object_store::Error::NotFound { .. }) => return Ok(false),
                found => found?.size,
            };
            // In pieces, each a call that can be made again.
            for begin in (0..size).step_by(PART_BYTES) {
                let end = size.min(begin + PART_BYTES as u64);
                to.write_all(&objects.get_range(&at, begin..end).await?).map_err(disk)?;
            }
            to.flush().map_err(disk)?;
            Ok(true)
        };
        self.thread.wait(read).map_err(failed("read", name))
    }

    /// Removes a file that was written longer than `age` ago; one that is missing, or was written anew, is no error.
    pub fn remove(&self, name: &str, age: Duration) -> Result<(), Error> {
        let (objects, at) = (Arc::clone(&self.objects), self.at(name));
        let removed = async move {
            match objects.head(&at).await {
                Ok(found) if is_older(found.last_modified.into(), age) => objects.delete(&at).await,
                Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        };
        self.thread.wait(removed).map_err(failed("remove", name))
    }

    /// Whether this node is the first that asks for a turn within a time. The turn is an empty file: who finds that it was
    /// written longer ago than `every` writes it again. Two that ask at once may both have it.
    pub fn turn(&self, name: &str, every: Duration) -> Result<bool, Error> {
        let (objects, at) = (Arc::clone(&self.objects), self.at(name));
        let asked = async move {
            match objects.head(&at).await {
                Ok(found) if !is_older(found.last_modified.into(), every) => return Ok(false),
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            objects.put(&at, PutPayload::new()).await.map(|_| true)
        };
        self.thread.wait(asked).map_err(failed("take a turn at", name))
    }

    /// Asks for the first of a folder's files, be there one or not: whether that is allowed.
    fn look(&self, folder: &str) -> Result<(), Error> {
        let (objects, at) = (Arc::clone(&self.objects), self.at(folder));
        // The stream asks for a page at a time, so what comes after the first is not asked for.
        let looked = async move { objects.list(Some(&at)).try_next().await.map(drop) };
        self.thread.wait(looked).map_err(failed("list", folder))
    }

    /// The files of a folder.
    pub fn list(&self, folder: &str) -> Result<Vec<RemoteFile>, Error> {
        let (objects, at) = (Arc::clone(&self.objects), self.at(folder));
        let listed = async move {
            let found = objects.list(Some(&at)).map_ok(|meta| RemoteFile {
                name: meta.location.filename().unwrap_or_default().to_owned(),
                written: meta.last_modified.into(),
            });
            found.try_collect().await
        };
        self.thread.wait(listed).map_err(failed("list", folder))
    }

    fn at(&self, name: &str) -> Name {
        Name::from(format!("{}/{name}", self.prefix))
    }
}

/// Whether `at` is longer than `age` ago.
pub(crate) fn is_older(at: SystemTime, age: Duration) -> bool {
    SystemTime::now().duration_since(at).is_ok_and(|since| since >= age)
}

async fn send(objects: &dyn ObjectStore, at: &Name, mut file: File, size: u64) -> object_store::Result<()> {
    if size <= PART_BYTES as u64 {
        let bytes = part(&mut file)?;
        return objects.put(at, bytes.into()).await.map(drop);
    }
    let mut upload = objects.put_multipart(at).await?;
    let sent = async {
        loop {
            let bytes = part(&mut file)?;
            if bytes.is_empty() {
                return upload.complete().await.map(drop);
            }
            upload.put_part(PutPayload::from(bytes)).await?;
        }
    };
    let sent: object_store::Result<()> = sent.await;
    if sent.is_err() {
        // What was sent would be kept, and paid for. If that fails too, the first error says why.
        upload.abort().await.ok();
    }
    sent
}

/// The next part of a file; empty at its end.
fn part(file: &mut File) -> object_store::Result<Bytes> {
    let mut bytes = Vec::with_capacity(PART_BYTES);
    file.take(PART_BYTES as u64).read_to_end(&mut bytes).map_err(disk)?;
    Ok(bytes.into())
}

fn disk(error: std::io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "disk", source: Box::new(error) }
}

fn failed(doing: &'static str, name: &str) -> impl FnOnce(object_store::Error) -> Error {
    let name = name.to_owned();
    move |error| Error::Remote { doing, name, reason: error.to_string() }
}

/// The thread that talks to the server.
#[derive(Debug)]
struct Thread(Option<tokio::runtime::Runtime>);

impl Thread {
    fn start() -> std::io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(1)
            .thread_name("artifacts")
            .enable_all()
            .build()
            .map(|thread| Self(Some(thread)))
    }

    /// Runs to the end, and waits for it, wherever it is called.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> object_store::Result<T> {
        let gone = || object_store::Error::Generic { store: "S3", source: "the thread has stopped".into() };
        let Some(thread) = &self.0 else { return Err(gone()) };
        let (send, answer) = std::sync::mpsc::sync_channel(1);
        thread.spawn(async move { drop(send.send(work.await)) });
        answer.recv().map_err(|_| gone())?
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // To wait for it is not allowed on an async thread.
        if let Some(thread) = self.0.take() {
            thread.shutdown_background();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use micro_s3::AccessKey;
    use object_store::memory::InMemory;

    use super::*;

    /// A bucket of this process.
    pub(crate) fn bucket() -> Remote {
        Remote::over(Arc::new(InMemory::new()), "micro").unwrap()
    }

    #[test]
    fn a_file_goes_up_once_and_comes_down_whole() {
        let scratch = tempfile::tempdir().unwrap();
        let remote = bucket();
        for size in [0, 5, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 7] {
            let bytes: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
            std::fs::write(&from, &bytes).unwrap();
            let name = format!("artifacts/{size}");
            assert!(!remote.fetch(&name, File::create(&to).unwrap()).unwrap(), "not yet");
            remote.put(&name, &from).unwrap();
            assert!(remote.fetch(&name, File::create(&to).unwrap()).unwrap());
            assert!(std::fs::read(&to).unwrap() == bytes, "{size}");
        }
        assert_eq!(remote.list("artifacts").unwrap().len(), 5);
        assert_eq!(remote.list("uploads").unwrap(), []);
        remote.remove("artifacts/5", Duration::from_secs(3_600)).unwrap();
        assert_eq!(remote.list("artifacts").unwrap().len(), 5, "what is new stays");
        remote.remove("artifacts/5", Duration::ZERO).unwrap();
        remote.remove("artifacts/5", Duration::ZERO).unwrap();
        assert_eq!(remote.list("artifacts").unwrap().len(), 4);
    }

    #[test]
    fn a_turn_is_one_nodes_until_its_time_is_over() {
        let remote = bucket();
        let hour = Duration::from_secs(3_600);
        assert!(remote.turn("turns/a", hour).unwrap());
        assert!(!remote.turn("turns/a", hour).unwrap());
        assert!(remote.turn("turns/b", hour).unwrap());
        assert!(remote.turn("turns/a", Duration::ZERO).unwrap());
        assert_eq!(remote.list("artifacts").unwrap(), []);
        remote.look("artifacts").unwrap();
    }

    /// On a real server, if the tests have one.
    #[test]
    fn a_bucket_that_is_not_there_is_told_at_the_start() {
        let Ok(url) = std::env::var("MICRO_TEST_S3") else { return };
        let url = url::Url::parse(&url).unwrap();
        let access_key =
            AccessKey { id: url.username().to_owned(), secret: url.password().unwrap().to_owned() };
        let endpoint = format!("http://{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let missing = format!("s3://missing-{}?endpoint={endpoint}", uuid::Uuid::new_v4().simple());
        let config = Place::parse(&missing, access_key).unwrap();
        let refused = Remote::open(&config).unwrap_err().to_string();
        assert!(refused.contains("in the bucket"), "{refused}");
    }
}
