//! How an output is held against a transcript: `<…>` stands for anything, and in tables a run of tabs or of two or more
//! spaces separates cells.

use anyhow::{Context, Result, bail};
use regex::Regex;

/// What an output must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expect {
    /// Nothing at all.
    Nothing,
    /// These lines; a missing newline at the end is no difference.
    Text(&'static str),
    /// These rows, cell by cell.
    Table(&'static str),
    /// These pieces, in this order, with anything between.
    Pieces(&'static [&'static str]),
    /// Whatever.
    Anything,
}

impl Expect {
    pub(crate) fn check(self, actual: &str) -> Result<()> {
        match self {
            Self::Anything => Ok(()),
            Self::Nothing if actual.is_empty() => Ok(()),
            Self::Nothing => bail!("expected nothing, got:\n{actual}"),
            Self::Text(expected) => lines(expected, actual, str::to_owned),
            Self::Table(expected) => lines(expected, actual, cells),
            Self::Pieces(pieces) => in_order(pieces, actual),
        }
    }
}

fn lines(expected: &str, actual: &str, normal: impl Fn(&str) -> String) -> Result<()> {
    let (want, have): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    let same = want.len() == have.len()
        && want.iter().zip(&have).try_fold(true, |same, (want, have)| {
            anyhow::Ok(same && pattern(&normal(want))?.is_match(&normal(have)))
        })?;
    if same { Ok(()) } else { bail!("expected:\n{expected}\ngot:\n{actual}") }
}

/// One line with a bar between its cells.
fn cells(line: &str) -> String {
    let mut normal = String::new();
    let mut gap = String::new();
    for character in line.trim_end().chars() {
        if character == ' ' || character == '\t' {
            gap.push(character);
            continue;
        }
        if gap.contains('\t') || gap.len() > 1 {
            normal.push('|');
        } else {
            normal.push_str(&gap);
        }
        gap.clear();
        normal.push(character);
    }
    normal
}

fn in_order(pieces: &[&str], actual: &str) -> Result<()> {
    let mut rest = actual;
    for piece in pieces {
        let source = pattern(piece)?.as_str().trim_start_matches('^').trim_end_matches('$').to_owned();
        let found =
            Regex::new(&source)?.find(rest).with_context(|| format!("{piece:?} is not in:\n{actual}"))?;
        rest = rest.get(found.end()..).unwrap_or_default();
    }
    Ok(())
}

/// The text as a pattern for a whole line; `<…>` matches anything.
fn pattern(text: &str) -> Result<Regex> {
    let hole = Regex::new("<[^<>]*>")?;
    let fixed: Vec<_> = hole.split(text).map(regex::escape).collect();
    Regex::new(&format!("^{}$", fixed.join(".+"))).context("make a pattern")
}

#[test]
fn holes_match_anything_and_tables_ignore_widths() {
    Expect::Text("a <x> c").check("a bb c\n").unwrap();
    Expect::Text("a <x> c").check("a bb d\n").unwrap_err();
    Expect::Table("NAME   VERSION\nfoo    latest").check("NAME\tVERSION\nfoo\tlatest\n").unwrap();
    Expect::Table("a  b").check("a b").unwrap_err();
    Expect::Pieces(&["one", "t<w>o"]).check("zero one two xo").unwrap();
    Expect::Pieces(&["one", "zero"]).check("zero one two").unwrap_err();
    Expect::Nothing.check("x").unwrap_err();
}
