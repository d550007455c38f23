//! Logs of services: what a guest writes by `log`, to stdout and to stderr, and what the platform says of it.
//!
//! Callers never wait: a line goes into a bounded queue, or is dropped and counted; one thread writes it to the
//! service's file, newline-delimited JSON, rotated and so bounded. A line is in the file before a follower sees it.

mod age;
mod bucket;
mod host;
mod meter;
mod output;
mod reader;
mod tap;
#[cfg(test)]
mod tests;
pub(crate) mod wasi;
mod writer;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use micro_api::logs::LogRecord;
use micro_api::name::{Namespace, ServiceKey, ServiceName};

pub(crate) use meter::Meter;
pub use output::Output;
pub(crate) use tap::Tap;

use crate::Scope;
use crate::context::unix_ms;

/// Longest message, bytes; the rest is cut and the line says so.
pub const LINE_BYTES_MAX: usize = 8 << 10;
/// Most bytes of a record's metadata.
pub const METADATA_BYTES_MAX: usize = 8 << 10;

/// Bounds of the logs.
#[derive(Debug, Clone)]
pub struct LogsConfig {
    /// Folder of all log files: `<namespace>/<service>/log.ndjson`.
    pub folder: PathBuf,
    /// A file that reaches this many bytes is rotated.
    pub file_bytes_max: u64,
    /// Files kept of one service, the current one included; at least 1.
    pub files_max: u32,
    /// Files that the writer keeps open.
    pub open_files_max: usize,
    /// Lines that wait for the writer.
    pub queue_lines_max: usize,
    /// Bytes that wait for the writer.
    pub queue_bytes_max: usize,
    /// Lines a second of one service, on average.
    pub lines_per_second: u32,
    /// Lines of one service at once.
    pub lines_burst: u32,
    /// Lines that a slow follower may lag behind before it loses some.
    pub follow_lag_max: usize,
    /// How often files are looked for whose lines are older than they may be.
    pub expire_every: Duration,
}

impl LogsConfig {
    /// The defaults, in `folder`: 4 files of 2 MiB a service, 1 000 lines a second.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            file_bytes_max: 2 << 20,
            files_max: 4,
            open_files_max: 128,
            queue_lines_max: 16_384,
            queue_bytes_max: 32 << 20,
            lines_per_second: 1_000,
            lines_burst: 5_000,
            follow_lag_max: 4_096,
            expire_every: Duration::from_secs(60 * 60),
        }
    }
}

/// Where a line came from: the record's `stream`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// The guest's standard output.
    Stdout,
    /// The guest's standard error.
    Stderr,
    /// The `log` capability.
    Log,
    /// The platform itself: limits, traps.
    Platform,
}

impl Stream {
    /// Its name in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Log => "log",
            Self::Platform => "platform",
        }
    }
}

/// Which lines of a service to read.
#[derive(Debug, Clone)]
pub struct Tail {
    /// The tenant.
    pub namespace: Namespace,
    /// Whose log.
    pub service: ServiceName,
    /// Only lines of this version.
    pub version: Option<String>,
    /// The last so many of the lines that match.
    pub lines: usize,
    /// Only lines of this time and later, Unix milliseconds.
    pub since_ms: Option<i64>,
    /// Go on with new lines as they come.
    pub follow: bool,
}

/// All logs of this process.
#[derive(Debug)]
pub struct Logs {
    writer: writer::Handle,
    meters: meter::Meters,
    ages: age::Ages,
}

impl Logs {
    /// Opens the folder and starts the writer's thread.
    ///
    /// # Errors
    /// When the folder or the thread cannot be made.
    pub fn open(config: LogsConfig) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(&config.folder)?;
        let meters = meter::Meters::new(config.lines_per_second, config.lines_burst);
        let ages = age::Ages::default();
        let writer = writer::start(config, meters.clone(), ages.clone())?;
        Ok(Arc::new(Self { writer, meters, ages }))
    }

    /// Adds a line to the scope's log; `version` is set, overlong parts are cut. Never waits: above the service's
    /// rate, or when the queue is full, the line is dropped, and the log says how many were.
    pub fn append(&self, scope: &Scope, mut record: LogRecord) {
        record.metadata.insert("version".to_owned(), scope.version.clone());
        let key = scope.key();
        let meter = self.meters.of(&key);
        let platform =
            record.metadata.get("stream").is_some_and(|stream| stream == Stream::Platform.as_str());
        self.send(&key, &meter, if platform { Stream::Platform } else { Stream::Log }, record);
    }

    /// A line of the platform's own about the service, such as `limit: cpu`.
    pub fn platform(&self, scope: &Scope, level: &str, request_id: &str, message: impl Into<String>) {
        let mut metadata = std::collections::BTreeMap::new();
        metadata.insert("stream".to_owned(), Stream::Platform.as_str().to_owned());
        metadata.insert("level".to_owned(), level.to_owned());
        if !request_id.is_empty() {
            metadata.insert("request".to_owned(), request_id.to_owned());
        }
        self.append(scope, LogRecord { timestamp: now_ms(), metadata, message: message.into() });
    }

    /// The last lines of a service's log, oldest first, and with `follow` those that come. The stream of a follower
    /// ends when it is dropped; one that lags too far behind gets a line that says how many it lost.
    pub fn tail(&self, mut tail: Tail) -> BoxStream<'static, LogRecord> {
        tail.since_ms = tail.since_ms.max(self.ages.since_ms(&tail.namespace));
        reader::tail(self.writer.clone(), tail)
    }

    /// Sets for how many days lines of namespaces are kept: older ones are not shown, and files of them are removed. All
    /// other namespaces keep theirs as long as there is room.
    pub fn keep_days(&self, days: HashMap<Namespace, u32>) {
        self.ages.set(days);
    }

    /// Waits until all that was appended before is in the files; at shutdown, and in tests.
    pub async fn flush(&self) {
        self.writer.flush(Duration::from_secs(5)).await;
    }

    pub(crate) fn meter(&self, key: &ServiceKey) -> Arc<Meter> {
        self.meters.of(key)
    }

    pub(crate) fn send(&self, key: &ServiceKey, meter: &Meter, stream: Stream, mut record: LogRecord) {
        if !meter.admit(stream) {
            return;
        }
        cut_record(&mut record);
        if !self.writer.send(key, record) {
            meter.drop_one();
        }
    }
}

fn cut_record(record: &mut LogRecord) {
    cut(&mut record.message, LINE_BYTES_MAX);
    let mut left = METADATA_BYTES_MAX;
    record.metadata.retain(|key, value| {
        let fits = key.len() < left;
        if fits {
            left -= key.len();
            cut(value, left);
            left = left.saturating_sub(value.len());
        }
        fits
    });
}

/// Cuts at a character boundary and marks the cut.
pub(crate) fn cut(text: &mut String, bytes_max: usize) {
    const MARK: &str = "… (cut)";
    if text.len() <= bytes_max {
        return;
    }
    let mut end = bytes_max.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push_str(MARK);
}

pub(crate) fn now_ms() -> i64 {
    i64::try_from(unix_ms()).unwrap_or(i64::MAX)
}
