//! The table that a run prints.

use std::fmt;
use std::time::Duration;

/// What a ratio must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// Ours ÷ theirs at most.
    AtMost(f64),
    /// Ours ÷ theirs at least.
    AtLeast(f64),
    /// Shown, not judged.
    None,
}

/// One measurement.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) ours: String,
    /// The floor or peer, by name and value.
    pub(crate) other: String,
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: Goal,
}

/// All rows, and the groups that could not be measured.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    missing: Vec<String>,
}

impl Table {
    /// Adds a group's rows, or why there are none.
    pub(crate) fn attempt(&mut self, group: &str, rows: anyhow::Result<Vec<Row>>) {
        match rows {
            Ok(rows) => {
                for row in &rows {
                    eprintln!("{}: {} | {} | {:?}", row.what, row.ours, row.other, row.ratio);
                }
                self.rows.extend(rows);
            }
            Err(error) => self.missing.push(format!("{group}: not measured: {error:#}")),
        }
    }
}

impl Row {
    fn verdict(&self) -> &'static str {
        match (self.goal, self.ratio) {
            (Goal::AtMost(limit), Some(ratio)) if ratio <= limit => "ok",
            (Goal::AtLeast(limit), Some(ratio)) if ratio >= limit => "ok",
            (Goal::None, _) => "",
            _ => "MISSED",
        }
    }

    fn goal(&self) -> String {
        match self.goal {
            Goal::AtMost(limit) => format!("<= {limit}"),
            Goal::AtLeast(limit) => format!(">= {limit}"),
            Goal::None => String::new(),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "ours", "floor or peer", "ratio", "goal", "verdict"].map(str::to_owned);
        let mut lines = vec![head];
        for row in &self.rows {
            let ratio = row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            let verdict = row.verdict().to_owned();
            lines.push([row.what.clone(), row.ours.clone(), row.other.clone(), ratio, row.goal(), verdict]);
        }
        let mut widths = [0; 6];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        for line in &lines {
            let cells: Vec<_> =
                line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(f, "| {} |", cells.join(" | "))?;
        }
        for missing in &self.missing {
            writeln!(f, "{missing}")?;
        }
        Ok(())
    }
}

/// Turns of us and of what we are compared with, each pair measured side by side.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    ratios: Vec<f64>,
    ours: Vec<f64>,
    others: Vec<f64>,
}

impl Pairs {
    pub(crate) fn push(&mut self, ours: f64, other: f64) {
        self.ratios.push(ours / other);
        self.ours.push(ours);
        self.others.push(other);
    }

    /// The medians as a row; `show` makes a value readable.
    pub(crate) fn row(self, what: String, other: &str, show: impl Fn(f64) -> String, goal: Goal) -> Row {
        Row {
            what,
            ours: show(median(self.ours)),
            other: format!("{other}: {}", show(median(self.others))),
            ratio: Some(median(self.ratios)),
            goal,
        }
    }
}

/// The middle value; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// [`time`] of seconds.
pub(crate) fn seconds(seconds: f64) -> String {
    time(Duration::from_secs_f64(seconds))
}

/// For people: microseconds below ten milliseconds, milliseconds above.
pub(crate) fn time(duration: Duration) -> String {
    if duration < Duration::from_millis(10) {
        format!("{:.1} us", duration.as_secs_f64() * 1e6)
    } else {
        format!("{:.0} ms", duration.as_secs_f64() * 1e3)
    }
}
