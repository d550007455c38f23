//! How far it is, for whoever looks at a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often the line changes.
const EVERY: Duration = Duration::from_millis(200);

/// A line on stderr that is overwritten; nothing where stderr is no terminal.
pub(super) struct Progress {
    shown: bool,
    last: Option<Instant>,
    files: usize,
    bytes: u64,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal(), last: None, files: 0, bytes: 0 }
    }

    /// One more file is done.
    pub(super) fn add(&mut self, doing: &str, bytes: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.shown && self.last.is_none_or(|last| last.elapsed() >= EVERY) {
            self.last = Some(Instant::now());
            let (files, size) = (self.files, size(self.bytes));
            // A terminal that is gone is no reason to stop.
            let _ = write!(std::io::stderr(), "\r\x1b[K{doing}: {files} files, {size}");
        }
    }

    /// Removes the line.
    pub(super) fn clear(&mut self) {
        if self.shown && self.last.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// `34.2 MiB`
pub(super) fn size(bytes: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{} KiB", tenths(1 << 10)),
        1_048_576..1_073_741_824 => format!("{} MiB", tenths(1 << 20)),
        _ => format!("{} GiB", tenths(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_one_digit_after_the_point() {
        assert_eq!(size(12), "12 bytes");
        assert_eq!(size(1_536), "1.5 KiB");
        assert_eq!(size(35_861_299), "34.1 MiB");
        assert_eq!(size(5 << 30), "5.0 GiB");
    }
}
