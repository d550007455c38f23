//! Tables, times and JSON in the forms that Go's libraries give them.

mod json;
mod table;
mod time;

pub(crate) use json::indent as indent_json;
pub(crate) use table::{Pad, table};
pub(crate) use time::{ago, from_now, go_duration, now_ms, started};

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
    pub(crate) fn is_json(&self) -> bool {
        self.json || self.output == Output::Json
    }
}

/// `k=v,k=v`.
pub(crate) fn pairs<'a>(map: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    map.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}
