//! Which capability was tested on which backend, by how many cases.
//!
//! Every contract suite notes each backend that a case ran on, a line each, in the file that `MICRO_TEST_MATRIX` names:
//! what is counted did run. The table stands in the README, and a whole run holds it against what it counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::paths;

const BEGIN: &str = "<!-- matrix -->\n";
const END: &str = "<!-- end of matrix -->";
/// The order of the columns; others follow by name.
const BACKENDS: [&str; 6] = ["memory", "SQLite", "PostgreSQL", "Redis", "folder", "S3"];

/// Where this run's notes go.
#[derive(Debug)]
pub(crate) struct Matrix {
    file: PathBuf,
}

impl Matrix {
    /// An empty file for a run that is about to start.
    pub(crate) fn start() -> Result<Self> {
        let file = paths::target().join("matrix");
        fs::write(&file, "").with_context(|| format!("write {}", file.display()))?;
        Ok(Self { file })
    }

    pub(crate) fn file(&self) -> &PathBuf {
        &self.file
    }

    /// Prints the table. After a `whole` run it must be what the README says; `MICRO_UPDATE=1` writes it there.
    pub(crate) fn finish(self, whole: bool) -> Result<()> {
        let notes = fs::read_to_string(&self.file).context("read the notes of the contract suites")?;
        let table = table(&notes);
        if table.is_empty() {
            return Ok(());
        }
        println!("\nCases that passed, by capability and backend:\n\n{table}");
        if !whole {
            return Ok(());
        }
        let path = paths::root().join("README.md");
        let readme = fs::read_to_string(&path).context("read README.md")?;
        let (before, rest) = readme.split_once(BEGIN).context("README.md has no place for the matrix")?;
        let (said, after) = rest.split_once(END).context("the matrix of README.md has no end")?;
        if said == table {
            return Ok(());
        }
        if std::env::var_os("MICRO_UPDATE").is_none() {
            bail!("README.md shows another matrix: run `MICRO_UPDATE=1 cargo xtask test` and commit");
        }
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).context("write README.md")
    }
}

/// A Markdown table of `capability\tbackend\tcase` lines; a case counts once.
fn table(notes: &str) -> String {
    let mut cases: BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    let mut backends = BTreeSet::new();
    for line in notes.lines() {
        let mut parts = line.splitn(3, '\t');
        let (Some(capability), Some(backend), Some(case)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        cases.entry(capability).or_default().entry(backend).or_default().insert(case);
        backends.insert(backend);
    }
    if cases.is_empty() {
        return String::new();
    }
    let known = BACKENDS.into_iter().filter(|name| backends.contains(name));
    let others = backends.iter().copied().filter(|name| !BACKENDS.contains(name));
    let columns: Vec<&str> = known.chain(others).collect();
    let mut text =
        format!("| capability | {} |\n|---{}|\n", columns.join(" | "), "|---:".repeat(columns.len()));
    for (capability, on) in &cases {
        let count =
            |column: &&str| on.get(column).map_or_else(|| "–".to_owned(), |cases| cases.len().to_string());
        let counts: Vec<_> = columns.iter().map(count).collect();
        text.push_str(&format!("| {capability} | {} |\n", counts.join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_counts_once_on_each_backend() {
        let notes = "store\tSQLite\ta\nstore\tSQLite\ta\nstore\tSQLite\tb\nstore\tRedis\ta\nlocks\tmemory\tc\n\
                     store\tfolder\ta\ncut off";
        assert_eq!(
            table(notes),
            "| capability | memory | SQLite | Redis | folder |\n|---|---:|---:|---:|---:|\n\
             | locks | 1 | – | – | – |\n| store | – | 2 | 1 | 1 |\n"
        );
        assert_eq!(table(""), "");
    }
}
