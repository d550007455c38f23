//! One value, in the type that its reader wants.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::duration;
use crate::Error;

/// What stands at a path, or nothing. Each reader names the default that counts when there is nothing, or nothing of
/// that type.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Value(pub(super) Option<serde_json::Value>);

impl Value {
    /// Whether there is anything.
    pub fn exists(&self) -> bool {
        self.0.is_some()
    }

    /// The JSON itself.
    pub fn json(&self) -> Option<&serde_json::Value> {
        self.0.as_ref()
    }

    /// `true` or `false`, also as text.
    pub fn bool(&self, default: bool) -> bool {
        match &self.0 {
            Some(serde_json::Value::Bool(value)) => *value,
            Some(serde_json::Value::String(text)) => text.trim().parse().unwrap_or(default),
            _ => default,
        }
    }

    /// A whole number, also as text.
    pub fn int(&self, default: i64) -> i64 {
        match &self.0 {
            Some(serde_json::Value::Number(number)) => number.as_i64().unwrap_or(default),
            Some(serde_json::Value::String(text)) => text.trim().parse().unwrap_or(default),
            _ => default,
        }
    }

    /// A number, also as text.
    pub fn float(&self, default: f64) -> f64 {
        match &self.0 {
            Some(serde_json::Value::Number(number)) => number.as_f64().unwrap_or(default),
            Some(serde_json::Value::String(text)) => text.trim().parse().unwrap_or(default),
            _ => default,
        }
    }

    /// Text; numbers and booleans as they are written.
    pub fn string(&self, default: impl Into<String>) -> String {
        match &self.0 {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => value.to_string(),
            _ => default.into(),
        }
    }

    /// Text such as `1m30s`, `250ms` or `1.5h`.
    pub fn duration(&self, default: Duration) -> Duration {
        match &self.0 {
            Some(serde_json::Value::String(text)) => duration::parse(text).unwrap_or(default),
            _ => default,
        }
    }

    /// A list of texts, or one text with commas.
    pub fn string_list(&self, default: &[&str]) -> Vec<String> {
        let default = || default.iter().map(|text| (*text).to_owned()).collect();
        match &self.0 {
            Some(serde_json::Value::Array(items)) => {
                let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
                texts.collect::<Option<_>>().unwrap_or_else(default)
            }
            Some(serde_json::Value::String(text)) if !text.is_empty() => {
                text.split(',').map(|part| part.trim().to_owned()).collect()
            }
            _ => default(),
        }
    }

    /// An object of texts; numbers and booleans as they are written.
    pub fn string_map(&self, default: &[(&str, &str)]) -> BTreeMap<String, String> {
        let default =
            || default.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let Some(serde_json::Value::Object(object)) = &self.0 else { return default() };
        let text = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Number(_) | serde_json::Value::Bool(_) => Some(value.to_string()),
            _ => None,
        };
        let pairs = object.iter().map(|(key, value)| Some((key.clone(), text(value)?)));
        pairs.collect::<Option<_>>().unwrap_or_else(default)
    }

    /// The value as JSON text; empty when there is none.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.as_ref().map(|value| value.to_string().into_bytes()).unwrap_or_default()
    }

    /// The value as a type of yours.
    ///
    /// # Errors
    /// 400 when there is none, or it is not of that form. The text holds no value.
    pub fn scan<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let Some(value) = &self.0 else {
            return Err(Error::bad_request("go.micro.config", "there is no value at this path"));
        };
        T::deserialize(value).map_err(|error| {
            let kind = error.to_string();
            // What serde found stands in quotes or backquotes: it may be a secret.
            let shown = kind.split(['"', '`']).next().unwrap_or_default().trim().to_owned();
            Error::bad_request("go.micro.config", format!("the value has another form: {shown}"))
        })
    }
}
