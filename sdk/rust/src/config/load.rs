//! Values of several sources in one.

use std::rc::Rc;

use super::{Platform, Source, Value};
use crate::Error;

/// Values, loaded from sources of which a later one lies over those before it.
///
/// ```
/// use micro_sdk::config::{Config, Platform, Text};
/// use micro_sdk::test::World;
///
/// let world = World::new();
/// world.set_config(r#"{"hosts": {"database": {"address": "10.0.0.1"}}}"#);
/// world.block_on(async {
///     let defaults = Text::named("config.yaml", "hosts: {database: {address: localhost, port: 3306}}");
///     let config = Config::builder().source(defaults).source(Platform).load().await?;
///     let address = config.get("hosts.database.address").string("localhost");
///     let port = config.get("hosts.database.port").int(3000);
///     assert_eq!((address.as_str(), port), ("10.0.0.1", 3306));
///     Ok::<_, micro_sdk::Error>(())
/// })?;
/// # Ok::<_, micro_sdk::Error>(())
/// ```
#[derive(Clone)]
pub struct Config {
    sources: Vec<Loaded>,
    all: serde_json::Value,
}

#[derive(Clone)]
struct Loaded {
    source: Rc<dyn Source>,
    optional: bool,
    /// What it gave last.
    last: serde_json::Value,
}

/// Which sources there are.
#[derive(Clone, Default)]
pub struct Builder {
    sources: Vec<Loaded>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("sources", &self.sources.len()).finish()
    }
}

impl Builder {
    /// Over those before it. Loading fails with it.
    #[must_use]
    pub fn source(self, source: impl Source + 'static) -> Self {
        self.add(source, false)
    }

    /// Over those before it. When it fails, a log line says so, and the others count.
    #[must_use]
    pub fn optional(self, source: impl Source + 'static) -> Self {
        self.add(source, true)
    }

    fn add(mut self, source: impl Source + 'static, optional: bool) -> Self {
        let last = serde_json::Value::Object(serde_json::Map::new());
        self.sources.push(Loaded { source: Rc::new(source), optional, last });
        self
    }

    /// Asks the sources.
    ///
    /// # Errors
    /// The first that fails and is not optional.
    pub async fn load(self) -> Result<Config, Error> {
        let mut config = Config { sources: self.sources, all: serde_json::Value::Null };
        config.sync().await?;
        Ok(config)
    }
}

impl Config {
    /// No sources yet.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// What the platform has: `Config::builder().source(Platform).load()`.
    ///
    /// # Errors
    /// As [`get`](super::get).
    pub async fn load() -> Result<Self, Error> {
        Self::builder().source(Platform).load().await
    }

    /// The value at a dotted path; an empty path is everything.
    pub fn get(&self, path: &str) -> Value {
        let mut value = Some(&self.all);
        if !path.is_empty() {
            for part in path.split('.') {
                value = value.and_then(|value| value.as_object()?.get(part));
            }
        }
        Value(value.cloned())
    }

    /// Asks the sources again. What an optional one gave before stays when it fails now; after an error all values are
    /// as they were.
    ///
    /// # Errors
    /// The first that fails and is not optional.
    pub async fn sync(&mut self) -> Result<(), Error> {
        let mut sources = self.sources.clone();
        for loaded in &mut sources {
            match loaded.source.load().await {
                Ok(value) => loaded.last = value,
                Err(error) if loaded.optional => {
                    crate::warn!("a source of configuration failed: {}", error.detail)
                }
                Err(error) => return Err(error),
            }
        }
        let mut all = serde_json::Value::Object(serde_json::Map::new());
        for loaded in &sources {
            super::merge(&mut all, loaded.last.clone());
        }
        (self.sources, self.all) = (sources, all);
        Ok(())
    }

    /// Watches a path of these sources. Changes of the platform's are noticed by themselves.
    ///
    /// # Errors
    /// As [`version`](super::version).
    pub async fn watch(&self, path: &str) -> Result<Watcher, Error> {
        Ok(Watcher { config: self.clone(), path: path.to_owned(), version: super::version().await? })
    }
}

/// Waits for changes of one path. Dropping it stops it.
#[derive(Debug, Clone)]
pub struct Watcher {
    config: Config,
    path: String,
    version: u64,
}

impl Watcher {
    /// The value after its next change; none when nothing changed until shortly before the call's deadline.
    ///
    /// # Errors
    /// As [`next`](super::next), and of the sources.
    pub async fn next(&mut self) -> Result<Option<Value>, Error> {
        let before = self.config.get(&self.path);
        loop {
            // First what changed since it was asked last: nothing may fall between.
            self.config.sync().await?;
            let now = self.config.get(&self.path);
            if now != before {
                return Ok(Some(now));
            }
            let version = super::next(self.version).await?;
            if version == self.version {
                return Ok(None);
            }
            self.version = version;
        }
    }
}
