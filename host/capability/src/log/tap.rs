//! What one instance writes: lines of stdout and stderr, budgets of a call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use micro_api::logs::LogRecord;
use parking_lot::Mutex;

use super::bucket::Bucket;
use super::{LINE_BYTES_MAX, Meter, Stream, now_ms};
use crate::{Context, Guest};

/// Bytes of log, stdout and stderr that a call may write at once. A call in the usual limits writes no more than
/// little above this; the refill is for jobs, which run for hours.
const CALL_BYTES: u32 = 1 << 20;
const CALL_BYTES_PER_SECOND: u32 = 64 << 10;
/// What a call adds that starts while others run in the instance.
const CALL_BYTES_BESIDE: u32 = 64 << 10;

/// Shared by an instance's two output streams and its `log` import.
#[derive(Debug)]
pub(crate) struct Tap {
    guest: Arc<Guest>,
    meter: Arc<Meter>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    request_id: String,
    budget: Bucket,
    /// The call's log says already that its budget is used up.
    said: bool,
    stdout: Line,
    stderr: Line,
}

/// A line that has no newline yet.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    /// The line is longer than it may be: what follows up to the newline is skipped.
    cut: bool,
}

impl Tap {
    pub(crate) fn new(guest: Arc<Guest>) -> Arc<Self> {
        let meter = guest.capabilities.logs.meter(&guest.scope.key());
        let state = State {
            request_id: String::new(),
            budget: Bucket::new(CALL_BYTES, CALL_BYTES_PER_SECOND, Instant::now()),
            said: false,
            stdout: Line::default(),
            stderr: Line::default(),
        };
        Arc::new(Self { guest, meter, state: Mutex::new(state) })
    }

    /// A call starts. Beside others it brings only some budget of its own, and output is no one call's any more.
    pub(crate) fn begin(&self, context: &Context, alone: bool) {
        let mut state = self.state.lock();
        state.said = false;
        if alone {
            state.request_id.clone_from(&context.request_id);
            state.budget = Bucket::new(CALL_BYTES, CALL_BYTES_PER_SECOND, Instant::now());
        } else {
            state.request_id.clear();
            state.budget.add(CALL_BYTES_BESIDE);
        }
    }

    /// Logs what has no newline yet.
    pub(crate) fn flush(&self) {
        let mut state = self.state.lock();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let line = std::mem::take(state.line(stream));
            self.emit(&state.request_id, stream, line);
        }
    }

    /// Bytes of stdout or stderr. Beyond the budget they vanish, so a guest that floods is never blocked by it.
    pub(crate) fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut state = self.state.lock();
        if !self.pay(&mut state, stream, bytes.len()) {
            return;
        }
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = rest.split_at(end);
            state.line(stream).push(head);
            let line = std::mem::take(state.line(stream));
            self.emit(&state.request_id, stream, line);
            rest = tail.get(1..).unwrap_or_default();
        }
        state.line(stream).push(rest);
    }

    /// One line of the `log` import.
    pub(crate) fn log(&self, level: &str, request_id: &str, message: String, fields: Vec<(String, String)>) {
        let bytes = fields.iter().fold(message.len(), |sum, (key, value)| sum + key.len() + value.len());
        if !self.pay(&mut self.state.lock(), Stream::Log, bytes) {
            return;
        }
        let mut metadata: BTreeMap<_, _> = fields.into_iter().collect();
        metadata.insert("level".to_owned(), level.to_owned());
        self.send(request_id, Stream::Log, metadata, message);
    }

    /// Takes bytes from the call's budget; says once a call, by the limit's name, that it is used up.
    fn pay(&self, state: &mut State, stream: Stream, bytes: usize) -> bool {
        let paid = state.budget.take(u32::try_from(bytes).unwrap_or(u32::MAX), Instant::now());
        if !paid && !state.said {
            state.said = true;
            let limit = if stream == Stream::Log { "log" } else { "stdout" };
            let message = format!(
                "limit: {limit} (over {CALL_BYTES} bytes of output in one call; the rest is dropped)"
            );
            self.guest.capabilities.logs.platform(&self.guest.scope, "warn", &state.request_id, message);
        }
        paid
    }

    fn emit(&self, request_id: &str, stream: Stream, line: Line) {
        if line.bytes.is_empty() && !line.cut {
            return;
        }
        let mut message = String::from_utf8(line.bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        if line.cut {
            message.push_str("… (cut)");
        }
        let level = if stream == Stream::Stderr { "error" } else { "info" };
        let metadata = BTreeMap::from([("level".to_owned(), level.to_owned())]);
        self.send(request_id, stream, metadata, message);
    }

    fn send(
        &self,
        request_id: &str,
        stream: Stream,
        mut metadata: BTreeMap<String, String>,
        message: String,
    ) {
        let scope = &self.guest.scope;
        metadata.insert("stream".to_owned(), stream.as_str().to_owned());
        metadata.insert("version".to_owned(), scope.version.clone());
        if !request_id.is_empty() {
            metadata.insert("request".to_owned(), request_id.to_owned());
        }
        let record = LogRecord { timestamp: now_ms(), metadata, message };
        self.guest.capabilities.logs.send(&scope.key(), &self.meter, stream, record);
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.flush();
    }
}

impl State {
    fn line(&mut self, stream: Stream) -> &mut Line {
        if stream == Stream::Stderr { &mut self.stderr } else { &mut self.stdout }
    }
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.bytes.len() + "… (cut)".len());
        self.cut |= bytes.len() > room;
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
}
