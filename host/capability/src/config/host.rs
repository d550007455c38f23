//! The `config` import.

use std::time::{Duration, Instant};

use micro_api::Error;
use micro_api::config::Path;
use wasmtime::component::Accessor;

use crate::bindings::platform::micro::platform::{config as wit, types};
use crate::bindings::platform_sync::micro::platform_sync::{config as wit_sync, types as types_sync};
use crate::ctx::waits;
use crate::{Ctx, Handle, HasCapability, View};

pub(super) const ID: &str = "go.micro.config";
/// The longest that one call waits for a change.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// What a guest has left to do something with the answer.
const RESERVE: Duration = Duration::from_millis(250);

impl From<super::Error> for Error {
    fn from(error: super::Error) -> Self {
        let code = match error {
            super::Error::Away => 503,
            super::Error::Sealed => 500,
        };
        Self::new(ID, code, error.to_string())
    }
}

fn parse(path: &str) -> Result<Path, Error> {
    path.parse().map_err(|error: micro_api::config::PathError| Error::bad_request(ID, error.to_string()))
}

impl Handle {
    pub(crate) async fn config_get(&self, path: &str) -> Result<Option<String>, Error> {
        let path = if path.is_empty() { None } else { Some(parse(path)?) };
        let source = &self.guest.capabilities.config;
        let snapshot = self.bounded(ID, async { Ok(source.get(&self.guest.scope.namespace).await?) }).await?;
        let found = self.guest.config.find(&snapshot.document, path.as_ref());
        Ok(found.map(|value| value.to_string()))
    }

    pub(crate) async fn config_secret(&self, path: &str) -> Result<Option<String>, Error> {
        let path = parse(path)?;
        if !self.guest.config.may_open(&path) {
            let detail = format!(
                "the secret {path} is not granted: add `config = [\"secret:{path}\"]` under [grants] in micro.toml"
            );
            return Err(Error::forbidden(ID, detail));
        }
        let source = &self.guest.capabilities.config;
        self.bounded(ID, async { Ok(source.secret(&self.guest.scope.namespace, &path).await?) }).await
    }

    pub(crate) async fn config_version(&self) -> Result<u64, Error> {
        let source = &self.guest.capabilities.config;
        self.bounded(ID, async { Ok(source.get(&self.guest.scope.namespace).await?.version) }).await
    }

    pub(crate) async fn config_next(&self, after: u64) -> Result<u64, Error> {
        let wait = self.context.left().saturating_sub(RESERVE).min(WAIT_MAX);
        let until = Instant::now() + wait;
        // Before the first look, so that no change falls between.
        let mut changes = self.guest.capabilities.config.changes();
        loop {
            let version = self.config_version().await?;
            if version != after {
                return Ok(version);
            }
            match tokio::time::timeout_at(until.into(), changes.changed()).await {
                Ok(Ok(())) => {}
                // The time is over, or the platform stops.
                Err(_) | Ok(Err(_)) => return Ok(version),
            }
        }
    }
}

type Answer<R, E> = wasmtime::Result<Result<R, E>>;

impl<T: View> wit::HostWithStore<T> for HasCapability {
    async fn get(store: &Accessor<T, Self>, path: String) -> Answer<Option<String>, types::Error> {
        waits(store, ID, path.len(), |handle| async move { handle.config_get(&path).await }).await
    }

    async fn secret(store: &Accessor<T, Self>, path: String) -> Answer<Option<String>, types::Error> {
        waits(store, ID, path.len(), |handle| async move { handle.config_secret(&path).await }).await
    }

    async fn version(store: &Accessor<T, Self>) -> Answer<u64, types::Error> {
        waits(store, ID, 0, |handle| async move { handle.config_version().await }).await
    }

    async fn next(store: &Accessor<T, Self>, after: u64) -> Answer<u64, types::Error> {
        waits(store, ID, 0, |handle| async move { handle.config_next(after).await }).await
    }
}

impl wit::Host for Ctx {}

impl wit_sync::Host for Ctx {
    async fn get(&mut self, path: String) -> Answer<Option<String>, types_sync::Error> {
        Ok(self.handle().config_get(&path).await.map_err(Into::into))
    }

    async fn secret(&mut self, path: String) -> Answer<Option<String>, types_sync::Error> {
        Ok(self.handle().config_secret(&path).await.map_err(Into::into))
    }

    async fn version(&mut self) -> Answer<u64, types_sync::Error> {
        Ok(self.handle().config_version().await.map_err(Into::into))
    }

    async fn next(&mut self, after: u64) -> Answer<u64, types_sync::Error> {
        Ok(self.handle().config_next(after).await.map_err(Into::into))
    }
}
