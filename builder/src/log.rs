//! The lines of one build, on their way to the database.

use std::collections::BTreeMap;

use micro_api::deployment::Stage;
use micro_api::logs::LogRecord;
use parking_lot::Mutex;

/// Bytes of messages in one build; what follows is dropped, and the database's own, lower bound says so in the log.
const BYTES_MAX: usize = 2 * micro_db::build_log::BUILD_LOG_BYTES_MAX as usize;
/// Lines of one build, likewise: each takes far more memory than an empty message shows.
const LINES_MAX: usize = micro_db::build_log::BUILD_LOG_LINES_MAX as usize + 1;

/// Collects lines until somebody takes them.
#[derive(Debug)]
pub(crate) struct Log {
    version: String,
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    records: Vec<LogRecord>,
    bytes: usize,
    lines: usize,
}

impl Log {
    pub(crate) fn new(version: &str) -> Self {
        Self { version: version.to_owned(), pending: Mutex::default() }
    }

    /// What a stage has to say.
    pub(crate) fn info(&self, stage: Stage, text: &str) {
        self.add(stage, "info", text);
    }

    /// Why a stage failed.
    pub(crate) fn error(&self, stage: Stage, text: &str) {
        self.add(stage, "error", text);
    }

    fn add(&self, stage: Stage, level: &str, text: &str) {
        let mut pending = self.pending.lock();
        if pending.bytes > BYTES_MAX || pending.lines >= LINES_MAX {
            return;
        }
        let message = printable(text);
        pending.bytes += message.len() + 1;
        pending.lines += 1;
        let metadata = BTreeMap::from(
            [("level", level), ("stage", stage.as_str()), ("stream", "build"), ("version", &self.version)]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        pending.records.push(LogRecord { timestamp: micro_db::now_ms(), metadata, message });
    }

    /// What came since the last time.
    pub(crate) fn take(&self) -> Vec<LogRecord> {
        std::mem::take(&mut self.pending.lock().records)
    }
}

/// Without colours and control characters: a log is read on terminals.
fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                // `ESC [` … letter; any other sequence has one character.
                if characters.next() == Some('[') {
                    characters.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            '\t' => clean.push(character),
            character if character.is_control() => {}
            character => clean.push(character),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_what_a_terminal_would_obey() {
        assert_eq!(printable("\u{1b}[1;31merror\u{1b}[0m:\tx\u{7}\r"), "error:\tx");
        let log = Log::new("latest");
        log.error(Stage::Build, "one");
        let lines = log.take();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines.first().unwrap().metadata.get("stage").unwrap(), "build");
        assert!(log.take().is_empty());
        let line = "x".repeat(1 << 16);
        (0..100).for_each(|_| log.info(Stage::Build, &line));
        assert!(log.take().len() <= BYTES_MAX / line.len() + 1);
        let log = Log::new("latest");
        (0..3 * LINES_MAX).for_each(|_| log.info(Stage::Build, "y"));
        assert_eq!(log.take().len(), LINES_MAX);
    }
}
