//! Where text goes: data to stdout, everything else to stderr.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

/// An error that has been told already and only sets the exit code.
#[derive(Debug)]
pub(crate) struct Exit(pub(crate) u8);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}", self.0)
    }
}

impl std::error::Error for Exit {}

/// Writes `text` as it is to stdout.
pub(crate) fn print(text: &str) -> io::Result<()> {
    bytes(text.as_bytes())
}

/// Writes `text` and a line end to stdout.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(b"\n")
}

/// Writes bytes as they are to stdout.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Writes `value` as indented JSON to stdout.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(line(&text)?)
}

/// Writes a line to stderr. A closed stderr is nobody's loss.
pub(crate) fn complain(text: &str) {
    let mut stderr = io::stderr().lock();
    stderr.write_all(text.as_bytes()).and_then(|()| stderr.write_all(b"\n")).ok();
}

/// Tells an error once and gives the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(Exit(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    let pipe_closed = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    if pipe_closed.into_iter().any(|cause| cause.kind() == io::ErrorKind::BrokenPipe) {
        // The reader, `head` for one, has seen enough.
        return ExitCode::SUCCESS;
    }
    complain(&format!("{error:#}"));
    ExitCode::FAILURE
}

/// What a message of a service may do to a terminal: nothing. Control characters other than tab are replaced when
/// stdout is one.
pub(crate) fn harmless(text: &str) -> String {
    if io::stdout().is_terminal() { printable(text) } else { text.to_owned() }
}

/// Replaces control characters other than tab.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
