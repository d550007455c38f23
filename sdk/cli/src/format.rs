//! Tables, times and JSON in the forms that Go's libraries give them.

mod json;
mod table;
mod time;

pub(crate) use json::indent as indent_json;
pub(crate) use table::{Pad, table};
pub(crate) use time::{ago, from_now, go_duration, now_ms, started, until};

/// How a command with a table prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    // No doc comments: clap would show them and make every help text twice as long.
    #[value(alias = "text")]
    Table,
    Json,
}

/// The two ways to ask for JSON.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Format {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How to print: table or json
    #[arg(long, value_enum, default_value = "table", hide_default_value = true, hide_possible_values = true)]
    output: Output,
}

impl Format {
    /// What a command without these flags has.
    pub(crate) fn table() -> Self {
        Self { json: false, output: Output::Table }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json || self.output == Output::Json
    }
}

/// One line for a cell of a table, `n/a` when empty.
pub(crate) fn cell(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() { "n/a".to_owned() } else { crate::output::printable(line).replace('\t', " ") }
}

/// `12 B`, `1.5 KiB`, `20.0 MiB`; less than nothing is nothing.
pub(crate) fn bytes(bytes: i64) -> String {
    let bytes = u64::try_from(bytes).unwrap_or_default();
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| bytes >> shift > 0) {
        Some((unit, shift)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// `k=v,k=v`.
pub(crate) fn pairs<'a>(map: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    map.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}
