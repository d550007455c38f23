//! Questions to a person, or to a program that writes the answers.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// A longer answer is cut, as a terminal does it.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Whether a person can answer.
pub(crate) fn is_person() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Whether nothing will ever come, as from `/dev/null`. Does not wait.
pub(crate) fn is_over() -> bool {
    let mut stdin = io::stdin().lock();
    let mut waiting = [PollFd::new(&stdin, PollFlags::IN)];
    let ready = poll(&mut waiting, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }));
    match ready {
        Ok(0) => false,
        Ok(_) => stdin.fill_buf().map_or(true, <[u8]>::is_empty),
        Err(_) => true,
    }
}

/// The answer to a question that needs one.
pub(crate) fn required(question: &str) -> Result<String> {
    line(question)?.filter(|answer| !answer.is_empty()).context("an answer is needed")
}

/// Asks for `name` before something is deleted for good, unless `yes` was given.
pub(crate) fn confirm(name: &str, yes: bool) -> Result<()> {
    if yes || line(&format!("Type {name} to delete it for good: "))?.as_deref() == Some(name) {
        return Ok(());
    }
    anyhow::bail!("nothing was deleted: type the name {name}, or give --yes")
}

/// A password that is typed twice, until both are the same.
pub(crate) fn new_password() -> Result<String> {
    let gone = "a password is needed";
    loop {
        let password = hidden("Enter a new password: ")?.context(gone)?;
        let again = hidden("Verify your password: ")?.context(gone)?;
        if password == again {
            return Ok(password);
        }
        crate::output::line("Passwords do not match. Please try again.")?;
    }
}

/// Asks for a line. None at the end of the input.
pub(crate) fn line(question: &str) -> Result<Option<String>> {
    ask(question)?;
    answer()
}

/// Asks for a line that is not shown.
pub(crate) fn hidden(question: &str) -> Result<Option<String>> {
    let quiet = Quiet::new();
    ask(question)?;
    let answer = answer();
    drop(quiet);
    crate::output::line("")?;
    answer
}

fn ask(question: &str) -> Result<()> {
    crate::output::print(question)?;
    io::stdout().flush().context("asking")
}

fn answer() -> Result<Option<String>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(ANSWER_BYTES_MAX).unwrap_or(u64::MAX);
    let mut stdin = io::Read::take(io::stdin().lock(), limit);
    let read = stdin.read_until(b'\n', &mut bytes).context("reading the answer")?;
    let text = String::from_utf8(bytes).context("the answer is no text")?;
    Ok((read > 0).then(|| text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Quiet(Option<rustix::termios::Termios>);

impl Quiet {
    fn new() -> Self {
        let stdin = io::stdin();
        let Some(before) = stdin.is_terminal().then(|| tcgetattr(&stdin).ok()).flatten() else {
            return Self(None);
        };
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &quiet).ok();
        Self(Some(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            tcsetattr(io::stdin(), OptionalActions::Now, before).ok();
        }
    }
}
