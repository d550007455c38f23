//! Where values come from.

use serde_json::{Map, Number, Value};

use crate::{Error, LocalFuture};

const ID: &str = "go.micro.config";
/// Levels that the names of variables make at most.
const LEVELS_MAX: usize = 16;

/// Something that values are loaded from. What it gives is an object.
pub trait Source {
    /// All of it, as it is now.
    fn load(&self) -> LocalFuture<'_, Result<Value, Error>>;
}

/// What people set with `micro config`, over the `[config]` of `micro.toml`. It must be granted: `config = ["own"]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Platform;

impl Source for Platform {
    fn load(&self) -> LocalFuture<'_, Result<Value, Error>> {
        Box::pin(async {
            let Some(json) = super::get("").await? else { return Ok(Value::Object(Map::new())) };
            serde_json::from_str(&json)
                .map_err(|_| Error::internal_server_error(ID, "the platform's answer is no JSON"))
        })
    }
}

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `{"database": {"port": 3306}}`
    Json,
    /// `database: {port: 3306}`
    Yaml,
    /// `database.port = 3306`
    Toml,
}

/// A text, as a rule that of a file: `Text::named("config.yaml", include_str!("config.yaml"))`.
#[derive(Clone)]
pub struct Text {
    format: Format,
    text: String,
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Text {
    /// In the form that is named.
    pub fn new(format: Format, text: impl Into<String>) -> Self {
        Self { format, text: text.into() }
    }

    /// In the form that the file's ending says; JSON when it says none.
    pub fn named(file: &str, text: impl Into<String>) -> Self {
        let format = match file.rsplit_once('.').map(|(_, ending)| ending) {
            Some("yaml" | "yml") => Format::Yaml,
            Some("toml") => Format::Toml,
            _ => Format::Json,
        };
        Self::new(format, text)
    }

    fn parse(&self) -> Result<Value, Error> {
        // The parsers' texts quote what they found; a place is enough to mend it.
        let wrong = |format: &str, place: String| {
            Err(Error::bad_request(ID, format!("this is no {format}, or no object of values{place}")))
        };
        let value = match self.format {
            Format::Json => match serde_json::from_str::<Value>(&self.text) {
                Ok(value) => value,
                Err(error) => {
                    return wrong("JSON", format!(": line {}, column {}", error.line(), error.column()));
                }
            },
            Format::Yaml => match serde_saphyr::from_str::<Value>(&self.text) {
                Ok(value) => value,
                Err(error) => {
                    let place =
                        error.location().map(|at| format!(": line {}, column {}", at.line(), at.column()));
                    return wrong("YAML", place.unwrap_or_default());
                }
            },
            Format::Toml => match self.text.parse::<toml::Table>() {
                Ok(table) => of_toml(toml::Value::Table(table)),
                Err(error) => {
                    let before = error.span().and_then(|span| self.text.get(..span.start));
                    let line = before.map(|before| format!(": line {}", before.matches('\n').count() + 1));
                    return wrong("TOML", line.unwrap_or_default());
                }
            },
        };
        match value {
            Value::Object(_) => Ok(value),
            // An empty YAML file.
            Value::Null => Ok(Value::Object(Map::new())),
            _ => wrong(&format!("{:?}", self.format), String::new()),
        }
    }
}

impl Source for Text {
    fn load(&self) -> LocalFuture<'_, Result<Value, Error>> {
        Box::pin(async { self.parse() })
    }
}

/// JSON has no dates, and no numbers without an end.
fn of_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::Number(number.into()),
        toml::Value::Float(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        toml::Value::Boolean(value) => Value::Bool(value),
        toml::Value::Datetime(at) => Value::String(at.to_string()),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(of_toml).collect()),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(key, value)| (key, of_toml(value))).collect())
        }
    }
}

/// Environment variables, such as `env` under `[run]` of `micro.toml` sets: `DATABASE_HOST` is `database.host`. Whole
/// numbers become numbers, everything else is text.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// With whether it is taken away.
    prefixes: Vec<(String, bool)>,
}

impl Environment {
    /// All variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only variables that begin so: `APP` takes `APP_PORT` as `app.port`.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.prefixes.push((prefix.trim_end_matches('_').to_owned(), false));
        self
    }

    /// Only variables that begin so, without that beginning: `APP` takes `APP_PORT` as `port`.
    #[must_use]
    pub fn with_stripped_prefix(mut self, prefix: &str) -> Self {
        self.prefixes.push((prefix.trim_end_matches('_').to_owned(), true));
        self
    }

    /// The values that these variables make.
    pub(super) fn of(&self, variables: impl IntoIterator<Item = (String, String)>) -> Value {
        let mut variables: Vec<_> = variables.into_iter().collect();
        variables.sort();
        let mut all = Value::Object(Map::new());
        for (name, text) in variables {
            let Some(name) = self.taken(&name) else { continue };
            let parts: Vec<_> =
                name.split('_').filter(|part| !part.is_empty()).map(str::to_lowercase).collect();
            if parts.is_empty() || parts.len() > LEVELS_MAX {
                continue;
            }
            let value =
                text.parse::<i64>().map_or(Value::String(text), |number| Value::Number(number.into()));
            let nest = |inner, part| Value::Object(Map::from_iter([(part, inner)]));
            super::merge(&mut all, parts.into_iter().rev().fold(value, nest));
        }
        all
    }

    /// The name as its parts are made of it; none when no prefix fits.
    fn taken<'a>(&self, name: &'a str) -> Option<&'a str> {
        if self.prefixes.is_empty() {
            return Some(name);
        }
        self.prefixes.iter().find_map(|(prefix, stripped)| {
            let rest = name.strip_prefix(prefix.as_str())?.strip_prefix('_')?;
            Some(if *stripped { rest } else { name })
        })
    }
}

impl Source for Environment {
    fn load(&self) -> LocalFuture<'_, Result<Value, Error>> {
        Box::pin(async {
            let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
                Some((name.into_string().ok()?, value.into_string().ok()?))
            };
            Ok(self.of(std::env::vars_os().filter_map(text)))
        })
    }
}
