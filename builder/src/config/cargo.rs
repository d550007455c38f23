//! What of the operator's cargo configuration a fetch needs: where crates come from. Programs, tokens and build settings
//! stay out.

use std::path::PathBuf;

use toml::{Table, Value};

use crate::door::Place;

/// Tables that are passed on whole.
const TABLES: [&str; 3] = ["source", "registries", "net"];

/// The sources and registries of `$CARGO_HOME/config.toml`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CargoConfig {
    table: Table,
}

impl CargoConfig {
    /// Reads it where cargo would; an absent or broken one is empty.
    pub(crate) fn find() -> Self {
        let home = std::env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
        let Some(home) = home else { return Self::default() };
        let text =
            ["config.toml", "config"].iter().find_map(|name| std::fs::read_to_string(home.join(name)).ok());
        Self::parse(&text.unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let whole: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                tracing::warn!(%error, "Ignoring cargo's configuration");
                return Self::default();
            }
        };
        let mut table = Table::new();
        for name in TABLES {
            if let Some(Value::Table(part)) = whole.get(name) {
                table.insert(name.to_owned(), Value::Table(part.clone()));
            }
        }
        // The one setting of [net] that runs a program, and those of [registries] that hold secrets or run one.
        if let Some(Value::Table(net)) = table.get_mut("net") {
            net.remove("git-fetch-with-cli");
        }
        if let Some(Value::Table(registries)) = table.get_mut("registries") {
            for (_, registry) in registries.iter_mut() {
                if let Value::Table(registry) = registry {
                    registry.retain(|key, _| matches!(key, "index" | "protocol"));
                }
            }
        }
        Self { table }
    }

    /// The hosts that it names.
    pub(crate) fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for (section, key) in [("source", "registry"), ("registries", "index")] {
            let Some(Value::Table(entries)) = self.table.get(section) else { continue };
            for (_, entry) in entries {
                let text = entry.get(key).and_then(Value::as_str).unwrap_or_default();
                let plain = text.strip_prefix("sparse+").unwrap_or(text);
                let Ok(url) = url::Url::parse(plain) else { continue };
                if let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) {
                    places.push(Place { host: host.trim_matches(['[', ']']).to_ascii_lowercase(), port });
                }
            }
        }
        places
    }

    /// The folders that it names, each to be mounted at its own path.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let Some(Value::Table(sources)) = self.table.get("source") else { return Vec::new() };
        let paths = sources.iter().flat_map(|(_, source)| {
            ["directory", "local-registry"]
                .into_iter()
                .filter_map(|key| source.get(key).and_then(Value::as_str))
        });
        paths.map(PathBuf::from).filter(|path| path.is_absolute() && path.is_dir()).collect()
    }

    /// As a file for `cargo --config`.
    pub(crate) fn text(&self) -> String {
        self.table.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_crates_come_from_is_passed_on() {
        let config = CargoConfig::parse(
            r#"
            [build]
            rustc-wrapper = "sccache"
            [registry]
            token = "secret"
            [registries.corp]
            index = "sparse+https://crates.corp:8443/index/"
            token = "secret"
            credential-provider = ["program"]
            [source.crates-io]
            replace-with = "mirror"
            [source.mirror]
            registry = "sparse+http://mirror.corp/index/"
            [net]
            retry = 5
            git-fetch-with-cli = true
            "#,
        );
        let text = config.text();
        assert!(!text.contains("secret") && !text.contains("program") && !text.contains("sccache"), "{text}");
        assert!(text.contains("replace-with") && text.contains("retry"), "{text}");
        let places: Vec<_> = config.places().into_iter().map(|place| (place.host, place.port)).collect();
        assert_eq!(places, [("mirror.corp".to_owned(), 80), ("crates.corp".to_owned(), 8443)]);
        assert_eq!(CargoConfig::parse("not toml ["), CargoConfig::default());
    }
}
