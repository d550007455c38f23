//! `[config]` and the grant of the same name.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use crate::config::{PATH_PARTS_MAX, Path};

/// What a line of `config` under `[grants]` begins with that names a secret.
pub const SECRET: &str = "secret:";

/// The first line that grants nothing, with what is wrong.
pub(super) fn check_grant(lines: &[String]) -> Result<(), (usize, String)> {
    for (index, line) in lines.iter().enumerate() {
        let understood = match line.strip_prefix(SECRET) {
            Some(path) => path.parse::<Path>().map(drop).map_err(|error| error.to_string()),
            None if line == "own" || line == "*" => Ok(()),
            None => Err(format!("`{line}` is not known here; use `own`, `*` or `{SECRET}PATH`")),
        };
        understood.map_err(|text| (index, text))?;
    }
    Ok(())
}

/// The first value below `[config]` that could not be read by a path, or that JSON has no form for.
pub(super) fn check_defaults(value: &Spanned<DeValue<'_>>) -> Result<(), (Range<usize>, String)> {
    match value.get_ref() {
        DeValue::Table(_) => check(value, 0),
        _ => Err((value.span(), "[config] is a table".to_owned())),
    }
}

fn check(value: &Spanned<DeValue<'_>>, depth: usize) -> Result<(), (Range<usize>, String)> {
    let fault = |text: &str| Err((value.span(), text.to_owned()));
    match value.get_ref() {
        DeValue::Datetime(_) => fault("write a date as text, in quotes"),
        DeValue::Float(float) if float.as_str().contains("nan") || float.as_str().contains("inf") => {
            fault("write a number that has an end")
        }
        DeValue::Array(items) => items.iter().try_for_each(|item| check(item, depth)),
        DeValue::Table(_) if depth >= PATH_PARTS_MAX => fault("values may lie 16 keys deep at most"),
        DeValue::Table(table) => table.iter().try_for_each(|(key, value)| {
            let name = key.get_ref().as_ref();
            if name.contains('.') || name.parse::<Path>().is_err() {
                return Err((
                    key.span(),
                    "a key is not empty and has no dots and no control characters".to_owned(),
                ));
            }
            check(value, depth + 1)
        }),
        _ => Ok(()),
    }
}
