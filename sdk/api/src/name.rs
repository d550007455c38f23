//! Names of namespaces and services.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The isolation boundary of a tenant: one DNS label, at most 63 bytes of `a-z`, `0-9` and inner `-`.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(String);

/// The operator's ordinary namespace.
pub const DEFAULT_NAMESPACE: &str = "default";

impl Namespace {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self(DEFAULT_NAMESPACE.to_owned())
    }
}

impl FromStr for Namespace {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let label = text.len() <= 63
            && !text.is_empty()
            && !text.starts_with('-')
            && !text.ends_with('-')
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        label.then(|| Self(text.to_owned())).ok_or_else(|| NameError::Namespace(text.to_owned()))
    }
}

/// What kind of service a name addresses; `greeter`, `api.greeter` and `web.greeter` are three services.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ServiceType {
    #[default]
    Service,
    Api,
    Web,
    Function,
}

impl ServiceType {
    pub const ALL: [Self; 4] = [Self::Service, Self::Api, Self::Web, Self::Function];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Api => "api",
            Self::Web => "web",
            Self::Function => "function",
        }
    }
}

impl fmt::Display for ServiceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ServiceType {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "service" | "srv" => Ok(Self::Service),
            "api" => Ok(Self::Api),
            "web" => Ok(Self::Web),
            "function" => Ok(Self::Function),
            _ => Err(NameError::Type(text.to_owned())),
        }
    }
}

/// A service within a namespace. Displays as its short name: `greeter`, `api.greeter`.
///
/// Parsing strips Micro's prefixes: `go.micro.srv.greeter`, `go.micro.service.greeter`, `srv.greeter` and `greeter`
/// are the same service.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName {
    #[schemars(skip)]
    pub kind: ServiceType,
    /// One or more parts joined by dots, each `[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*` (Micro's pattern, so never `--`).
    alias: String,
}

impl ServiceName {
    pub fn new(kind: ServiceType, alias: &str) -> Result<Self, NameError> {
        if alias.len() > 128 || !alias.split('.').all(is_alias_part) {
            return Err(NameError::Service(alias.to_owned()));
        }
        Ok(Self { kind, alias: alias.to_owned() })
    }

    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// Micro v2's long form, `go.micro.service.greeter`.
    pub fn qualified(&self) -> String {
        format!("go.micro.{}.{}", self.kind, self.alias)
    }
}

fn is_alias_part(part: &str) -> bool {
    part.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric()))
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ServiceType::Service => f.write_str(&self.alias),
            kind => write!(f, "{kind}.{}", self.alias),
        }
    }
}

impl FromStr for ServiceName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let short = text.strip_prefix("go.micro.").unwrap_or(text);
        if let Some((first, rest)) = short.split_once('.')
            && let Ok(kind) = first.parse()
        {
            return Self::new(kind, rest);
        }
        Self::new(ServiceType::Service, short)
    }
}

/// The key of a service on the platform.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct ServiceKey {
    pub namespace: Namespace,
    pub name: ServiceName,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace.0, self.name)
    }
}

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error(
        "`{0}` is not a namespace: use lower-case letters, digits and inner hyphens, at most 63 characters"
    )]
    Namespace(String),
    #[error("`{0}` is not a service name: use letters and digits, joined by single hyphens")]
    Service(String),
    #[error("Unknown type {0}")]
    Type(String),
}

macro_rules! string_conversions {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}
string_conversions!(Namespace);
string_conversions!(ServiceName);

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn micros_prefixes_are_stripped() {
        for text in
            ["greeter", "go.micro.srv.greeter", "go.micro.service.greeter", "srv.greeter", "service.greeter"]
        {
            let name: ServiceName = text.parse().unwrap();
            assert_eq!((name.kind, name.to_string().as_str()), (ServiceType::Service, "greeter"), "{text}");
        }
        let api: ServiceName = "go.micro.api.greeter".parse().unwrap();
        assert_eq!((api.kind, api.to_string().as_str()), (ServiceType::Api, "api.greeter"));
        assert_eq!("v1.foo.bar".parse::<ServiceName>().unwrap().alias(), "v1.foo.bar");
    }

    #[test]
    fn names_that_could_escape_are_refused() {
        for text in ["", "a--b", "-a", "a-", "../etc", "a/b", "a b", "ü", ".", "a..b"] {
            assert!(text.parse::<ServiceName>().is_err(), "{text}");
        }
        for text in ["", "Foo", "a.b", "-a", &"a".repeat(64)] {
            assert!(text.parse::<Namespace>().is_err(), "{text}");
        }
    }
}
