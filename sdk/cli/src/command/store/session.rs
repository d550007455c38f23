//! What export and import have in common: a server that is asked thousands of times, and how far that is.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use micro_client::{Client, Error};

use crate::environment::Selection;
use crate::format::bytes;

/// How often a request is sent before it has failed. Reading twice and writing the same twice are harmless.
const TRIES_MAX: u32 = 6;
/// The pause before the second try; each one after is twice as long: 6 s in all.
const PAUSE: Duration = Duration::from_millis(200);
/// What `--database` means the caller's own by.
const OWN: &str = "micro";

/// A server for as long as it takes, longer than an access token lives.
pub(super) struct Session {
    selection: Selection,
    client: Client,
}

impl Session {
    /// In the namespace `database`.
    pub(super) async fn open(selection: &Selection, database: &str) -> Result<Self> {
        let mut selection = selection.clone();
        if database != OWN {
            selection.namespace = Some(database.to_owned());
        }
        let client = selection.client().await?;
        Ok(Self { selection, client })
    }

    /// Asks until there is an answer, where another try may have one: the server is away, or busy, or the token ended.
    pub(super) async fn ask<T>(&mut self, request: impl AsyncFn(&Client) -> Result<T, Error>) -> Result<T> {
        let (mut pause, mut renewed) = (PAUSE, false);
        for _ in 1..TRIES_MAX {
            match request(&self.client).await {
                Err(error) if error.code() == 401 && !renewed => {
                    self.client = self.selection.client().await?;
                    renewed = true;
                }
                Err(error) if error.is_unreachable() || matches!(error.code(), 429 | 503) => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                answer => return Ok(answer?),
            }
        }
        Ok(request(&self.client).await?)
    }
}

/// The tables of `all` that were asked for: all when none was.
pub(super) fn chosen(asked: &[String], all: Vec<String>) -> Result<Vec<String>> {
    if asked.is_empty() {
        return Ok(all);
    }
    let mut tables = asked.iter().map(|table| super::table_name(table)).collect::<Result<Vec<_>>>()?;
    tables.sort();
    tables.dedup();
    match tables.iter().find(|table| !all.contains(table)) {
        Some(table) => bail!("table {table} not found"),
        None => Ok(tables),
    }
}

/// How many records there were, on stderr where that is a terminal.
pub(super) struct Meter(Option<ProgressBar>);

impl Meter {
    /// `of`: how many there will be, if that is known.
    pub(super) fn new(of: Option<u64>) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let (bar, template) = match of {
                Some(of) => (ProgressBar::new(of), "{bar:30} {human_pos} of {human_len} records, {eta} left"),
                None => (ProgressBar::new_spinner(), "{spinner} {human_pos} records, {msg}"),
            };
            bar.set_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self(bar)
    }

    pub(super) fn show(&self, records: u64, size: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(records);
            bar.set_message(bytes(i64::try_from(size).unwrap_or(i64::MAX)));
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_those_that_exist() {
        let all = || vec!["a".to_owned(), "b".to_owned()];
        let asked =
            |names: &[&str]| chosen(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(), all());
        assert_eq!(asked(&[]).unwrap(), all());
        assert_eq!(asked(&["b", "b"]).unwrap(), ["b"]);
        assert_eq!(asked(&["go.micro.service.a"]).unwrap(), ["a"]);
        assert_eq!(asked(&["c"]).unwrap_err().to_string(), "table c not found");
    }
}
