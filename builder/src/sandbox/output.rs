//! Bytes of a run's output to lines.

/// Where a line was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Longest line; what is longer is cut and the rest dropped.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;

/// Collects lines, bounded. Bytes that are not UTF-8 are replaced.
pub(super) struct Splitter {
    stream: Stream,
    line: Vec<u8>,
}

impl Splitter {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, line: Vec::new() }
    }

    pub(super) fn push(&mut self, bytes: &[u8], lines: &mut (dyn FnMut(Stream, &str) + Send)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(text.get(..room.min(text.len())).unwrap_or_default());
            if ended {
                self.emit(lines);
            }
        }
    }

    pub(super) fn finish(mut self, lines: &mut (dyn FnMut(Stream, &str) + Send)) {
        if !self.line.is_empty() {
            self.emit(lines);
        }
    }

    fn emit(&mut self, lines: &mut (dyn FnMut(Stream, &str) + Send)) {
        let text = String::from_utf8_lossy(&self.line);
        lines(self.stream, text.trim_end_matches('\r'));
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_any_cut_and_are_bounded() {
        let mut seen = Vec::new();
        let mut splitter = Splitter::new(Stream::Stdout);
        let mut sink = |_: Stream, line: &str| seen.push(line.to_owned());
        splitter.push(b"on", &mut sink);
        splitter.push(b"e\r\ntwo\n\nth", &mut sink);
        splitter.push(&vec![b'x'; LINE_BYTES_MAX * 2], &mut sink);
        splitter.finish(&mut sink);
        assert_eq!(seen.get(..3).unwrap(), ["one", "two", ""]);
        assert_eq!(seen.last().unwrap().len(), LINE_BYTES_MAX);
    }
}
