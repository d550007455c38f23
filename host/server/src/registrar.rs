//! Services that run elsewhere, registered in Redis, as control knows them.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_api::registry::Service;
use micro_api::{Error, Namespace};
use micro_capability::registry;
use micro_control::{Elsewhere, Registered};
use micro_db::External;

/// What Redis keeps.
#[derive(Debug)]
pub(crate) struct Registrar(pub(crate) Arc<registry::Elsewhere>);

#[async_trait]
impl Elsewhere for Registrar {
    async fn register(
        &self,
        namespace: &Namespace,
        service: &Service,
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        Ok(self.0.register(namespace, service, ttl).await?)
    }

    async fn deregister(
        &self,
        namespace: &Namespace,
        service: &str,
        version: &str,
        nodes: &[String],
    ) -> Result<u64, Error> {
        Ok(self.0.deregister(namespace, service, version, nodes).await?)
    }

    async fn since(&self, seen: Option<i64>) -> Result<Option<Registered>, Error> {
        let seen = seen.and_then(|seen| u64::try_from(seen).ok());
        let all = self.0.since(seen).await?;
        Ok(all.map(|all| Registered {
            revision: i64::try_from(all.revision).unwrap_or(i64::MAX),
            externals: all.found.into_iter().map(external).collect(),
        }))
    }

    async fn woken(&self) {
        self.0.rung().await;
    }

    async fn sweep(&self) -> Result<(), Error> {
        Ok(self.0.sweep().await?)
    }

    async fn check(&self) -> Result<(), String> {
        self.0.check().await.map_err(|error| error.to_string())
    }
}

fn external(found: registry::Found) -> External {
    let left_ms = found.left.map(|left| i64::try_from(left.as_millis()).unwrap_or(i64::MAX));
    External { namespace: found.namespace, service: found.service, left_ms }
}
