//! The one thread that writes log files.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use micro_api::logs::LogRecord;
use micro_api::name::ServiceKey;
use tokio::sync::{broadcast, oneshot};

use super::age::Ages;
use super::meter::Meters;
use super::{LogsConfig, Stream, now_ms};

/// Commands taken from the queue before files are written.
const BATCH: usize = 1_024;
/// How long lines gather before they are written: waking this thread for each would cost a call several times what the
/// line itself does.
const GATHER: Duration = Duration::from_millis(5);
/// How often what was dropped is reported.
const TICK: Duration = Duration::from_millis(500);

/// Sends to the writer's thread, which ends when the last handle is gone.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    queue: SyncSender<Command>,
    queued_bytes: Arc<AtomicUsize>,
    queued_bytes_max: usize,
}

#[derive(Debug)]
enum Command {
    Line { key: ServiceKey, record: LogRecord, size: usize },
    Open { key: ServiceKey, follow: bool, reply: oneshot::Sender<Source> },
    Flush { reply: oneshot::Sender<()> },
}

/// A service's log at one moment: nothing is missing or doubled between `files` and `live`.
#[derive(Debug)]
pub(crate) struct Source {
    /// Newest first, each with the bytes that count.
    pub(crate) files: Vec<(File, u64)>,
    pub(crate) live: Option<broadcast::Receiver<Arc<LogRecord>>>,
}

pub(crate) fn start(config: LogsConfig, meters: Meters, ages: Ages) -> io::Result<Handle> {
    let (queue, commands) = sync_channel(config.queue_lines_max);
    let queued_bytes = Arc::new(AtomicUsize::new(0));
    let handle =
        Handle { queue, queued_bytes: Arc::clone(&queued_bytes), queued_bytes_max: config.queue_bytes_max };
    let writer =
        Writer { files: Files::new(&config), followers: HashMap::new(), meters, ages, queued_bytes, config };
    std::thread::Builder::new().name("micro-log".to_owned()).spawn(move || writer.run(&commands))?;
    Ok(handle)
}

impl Handle {
    /// Queues a line; false when there is no room.
    pub(crate) fn send(&self, key: &ServiceKey, record: LogRecord) -> bool {
        let fields = record.metadata.iter().map(|(key, value)| key.len() + value.len());
        let size = record.message.len() + fields.sum::<usize>() + 256;
        if self.queued_bytes.fetch_add(size, Ordering::Relaxed) + size <= self.queued_bytes_max
            && self.queue.try_send(Command::Line { key: key.clone(), record, size }).is_ok()
        {
            return true;
        }
        self.queued_bytes.fetch_sub(size, Ordering::Relaxed);
        false
    }

    /// The service's files after all lines queued so far, and with `follow` its lines from then on.
    pub(crate) async fn open(&self, key: ServiceKey, follow: bool) -> Option<Source> {
        let (reply, answer) = oneshot::channel();
        self.wait_and_send(Command::Open { key, follow, reply }).await;
        answer.await.ok()
    }

    pub(crate) async fn flush(&self, timeout: Duration) {
        let (reply, answer) = oneshot::channel();
        let flushed = async {
            self.wait_and_send(Command::Flush { reply }).await;
            answer.await.ok()
        };
        if tokio::time::timeout(timeout, flushed).await.is_err() {
            tracing::warn!("the log writer did not finish in time");
        }
    }

    /// A full queue is waited for on a thread that may block.
    async fn wait_and_send(&self, command: Command) {
        let queue = self.queue.clone();
        // Without the writer's thread the command is dropped, and with it the reply.
        drop(tokio::task::spawn_blocking(move || queue.send(command).ok()).await);
    }
}

struct Writer {
    files: Files,
    followers: HashMap<ServiceKey, broadcast::Sender<Arc<LogRecord>>>,
    meters: Meters,
    ages: Ages,
    queued_bytes: Arc<AtomicUsize>,
    config: LogsConfig,
}

impl Writer {
    fn run(mut self, commands: &Receiver<Command>) {
        let mut tick = Instant::now() + TICK;
        let mut expire = Instant::now() + self.config.expire_every;
        loop {
            let mut open = true;
            match commands.recv_timeout(tick.saturating_duration_since(Instant::now())) {
                Ok(command) => {
                    let batch: Vec<_> =
                        std::iter::once(command).chain(commands.try_iter()).take(BATCH).collect();
                    let is_drained = batch.len() < BATCH;
                    self.execute(batch);
                    if is_drained {
                        std::thread::sleep(GATHER);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
            if !open || Instant::now() >= tick {
                self.report_dropped();
                self.followers.retain(|_, sender| sender.receiver_count() > 0);
                tick = Instant::now() + TICK;
            }
            if !open {
                return;
            }
            if Instant::now() >= expire {
                self.expire();
                expire = Instant::now() + self.config.expire_every;
            }
        }
    }

    fn execute(&mut self, batch: Vec<Command>) {
        let mut lines: BTreeMap<ServiceKey, Vec<LogRecord>> = BTreeMap::new();
        for command in batch {
            match command {
                Command::Line { key, record, size } => {
                    self.queued_bytes.fetch_sub(size, Ordering::Relaxed);
                    lines.entry(key).or_default().push(record);
                }
                Command::Open { key, follow, reply } => {
                    self.write(std::mem::take(&mut lines));
                    let live = follow.then(|| self.follow(&key));
                    // Whoever asked may have gone.
                    drop(reply.send(Source { files: self.files.read_all(&key), live }));
                }
                Command::Flush { reply } => {
                    self.write(std::mem::take(&mut lines));
                    reply.send(()).ok();
                }
            }
        }
        self.write(lines);
    }

    fn follow(&mut self, key: &ServiceKey) -> broadcast::Receiver<Arc<LogRecord>> {
        let lag = self.config.follow_lag_max;
        self.followers.entry(key.clone()).or_insert_with(|| broadcast::channel(lag).0).subscribe()
    }

    fn write(&mut self, lines: BTreeMap<ServiceKey, Vec<LogRecord>>) {
        for (key, records) in lines {
            if let Err(error) = self.files.append(&key, &records) {
                tracing::error!(service = %key, lines = records.len(), %error, "cannot write a service's log");
            }
            if let Some(follower) = self.followers.get(&key) {
                for record in records {
                    // No receiver is left: the entry goes at the next tick.
                    drop(follower.send(Arc::new(record)));
                }
            }
        }
    }

    fn expire(&mut self) {
        for (key, number) in self.ages.expired(&self.config.folder, self.config.files_max) {
            if let Err(error) = self.files.remove(&key, number) {
                tracing::warn!(service = %key, %error, "cannot remove old lines of a log");
            }
        }
    }

    fn report_dropped(&mut self) {
        let lines = self.meters.take_dropped().into_iter().map(|(key, count)| {
            let metadata = BTreeMap::from([
                ("stream".to_owned(), Stream::Platform.as_str().to_owned()),
                ("level".to_owned(), "warn".to_owned()),
            ]);
            let message = format!("limit: log ({count} lines dropped: too many at once)");
            (key, vec![LogRecord { timestamp: now_ms(), metadata, message }])
        });
        let lines = lines.collect();
        self.write(lines);
    }
}

// === Files ===

struct Files {
    folder: PathBuf,
    file_bytes_max: u64,
    files_max: u32,
    open_max: usize,
    open: HashMap<ServiceKey, Open>,
    uses: u64,
}

struct Open {
    file: File,
    bytes: u64,
    used: u64,
}

impl Files {
    fn new(config: &LogsConfig) -> Self {
        Self {
            folder: config.folder.clone(),
            file_bytes_max: config.file_bytes_max,
            files_max: config.files_max.max(1),
            open_max: config.open_files_max.max(1),
            open: HashMap::new(),
            uses: 0,
        }
    }

    /// The current file is number 0. Names of namespaces and services have no `/` and no `..`.
    fn path(&self, key: &ServiceKey, number: u32) -> PathBuf {
        self.folder.join(key.namespace.as_str()).join(key.name.to_string()).join(file_name(number))
    }

    fn remove(&mut self, key: &ServiceKey, number: u32) -> io::Result<()> {
        if number == 0 {
            self.open.remove(key);
        }
        fs::remove_file(self.path(key, number))
    }

    fn append(&mut self, key: &ServiceKey, records: &[LogRecord]) -> io::Result<()> {
        let mut text = Vec::new();
        for record in records {
            let before = text.len();
            serde_json::to_writer(&mut text, record)?;
            text.push(b'\n');
            let written = self.current(key)?.bytes;
            if written + text.len() as u64 > self.file_bytes_max && (written > 0 || before > 0) {
                let line = text.split_off(before);
                self.write(key, &text)?;
                self.rotate(key)?;
                text = line;
            }
        }
        self.write(key, &text)
    }

    fn write(&mut self, key: &ServiceKey, text: &[u8]) -> io::Result<()> {
        let open = self.current(key)?;
        let result = open.file.write_all(text);
        open.bytes += text.len() as u64;
        if result.is_err() {
            // Opened anew, the file is mended and its true length known.
            self.open.remove(key);
        }
        result
    }

    fn current(&mut self, key: &ServiceKey) -> io::Result<&mut Open> {
        self.uses += 1;
        let used = self.uses;
        if !self.open.contains_key(key) {
            if self.open.len() >= self.open_max
                && let Some(oldest) =
                    self.open.iter().min_by_key(|(_, open)| open.used).map(|(key, _)| key.clone())
            {
                self.open.remove(&oldest);
            }
            let open = open_for_append(&self.path(key, 0), used)?;
            self.open.insert(key.clone(), open);
        }
        let open = self.open.get_mut(key).ok_or_else(|| io::Error::other("the file was just opened"))?;
        open.used = used;
        Ok(open)
    }

    fn rotate(&mut self, key: &ServiceKey) -> io::Result<()> {
        self.open.remove(key);
        for number in (1..self.files_max).rev() {
            match fs::rename(self.path(key, number - 1), self.path(key, number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.files_max == 1 {
            fs::remove_file(self.path(key, 0))?;
        }
        Ok(())
    }

    fn read_all(&self, key: &ServiceKey) -> Vec<(File, u64)> {
        let opened = (0..self.files_max).map(|number| {
            let file = File::open(self.path(key, number)).ok()?;
            let bytes = file.metadata().ok()?.len();
            Some((file, bytes))
        });
        opened.flatten().collect()
    }
}

pub(crate) fn file_name(number: u32) -> String {
    if number == 0 { "log.ndjson".to_owned() } else { format!("log.{number}.ndjson") }
}

/// A crash may have left half a line at the end: it is closed, so that the next one stands alone.
fn open_for_append(path: &std::path::Path, used: u64) -> io::Result<Open> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    let mut bytes = file.metadata()?.len();
    if bytes > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            bytes += 1;
        }
    }
    Ok(Open { file, bytes, used })
}
