//! The `store` import.

use bytes::Bytes;
use micro_api::Error;
use wasmtime::component::Accessor;

use super::{Change, Check, Range, Record, TableKey, Want, Write};
use crate::bindings::platform::micro::platform::{store as wit, types};
use crate::bindings::platform_sync::micro::platform_sync::{store as wit_sync, types as types_sync};
use crate::context::unix_ms;
use crate::ctx::{optional, waits};
use crate::{Ctx, Handle, HasCapability, View};

pub(super) const ID: &str = "go.micro.store";

impl From<super::Error> for Error {
    fn from(error: super::Error) -> Self {
        use super::Error as Store;
        match error {
            Store::Key
            | Store::Value
            | Store::Table
            | Store::Scan
            | Store::Transaction
            | Store::Twice
            | Store::Number
            | Store::Overflow => Self::bad_request(ID, error.to_string()),
            Store::Quota(_) => Self::forbidden(ID, error.to_string()),
            Store::Full => Self::new(ID, 507, error.to_string()),
            Store::Busy => Self::new(ID, 503, error.to_string()),
            Store::Away(_) => {
                tracing::warn!(%error, "store call failed");
                Self::new(ID, 503, "the store does not answer: try again")
            }
            Store::Unknown(_) => {
                tracing::warn!(%error, "store call failed");
                let detail = "the store went away before it answered: this may have happened, so look before you \
                              try again";
                Self::new(ID, 503, detail)
            }
            Store::Backend(_) => {
                tracing::error!(%error, "store call failed");
                Self::internal(ID, "the store failed; its operator finds the reason in the server's log")
            }
        }
    }
}

impl Handle {
    fn table(&self) -> &TableKey {
        &self.guest.table
    }

    pub(crate) async fn store_get(&self, key: String) -> Result<Option<Record>, Error> {
        let (backend, table) = (&self.guest.capabilities.store, self.table());
        self.bounded(ID, async { Ok(backend.get(table, key.as_bytes()).await?) }).await
    }

    pub(crate) async fn store_set(
        &self,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> Result<(), Error> {
        let (backend, table) = (&self.guest.capabilities.store, self.table());
        let write = Write { key: key.into(), value: value.into(), ttl_ms };
        self.bounded(ID, async { Ok(backend.set(table, write).await?) }).await
    }

    pub(crate) async fn store_delete(&self, key: String) -> Result<(), Error> {
        let (backend, table) = (&self.guest.capabilities.store, self.table());
        self.bounded(ID, async { Ok(backend.delete(table, key.as_bytes()).await?) }).await
    }

    pub(crate) async fn store_increment(
        &self,
        key: String,
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, Error> {
        let (backend, table) = (&self.guest.capabilities.store, self.table());
        self.bounded(ID, async { Ok(backend.increment(table, key.as_bytes(), delta, ttl_ms).await?) }).await
    }

    pub(crate) async fn store_commit(&self, checks: Vec<Check>, changes: Vec<Change>) -> Result<bool, Error> {
        let (backend, table) = (&self.guest.capabilities.store, self.table());
        self.bounded(ID, async { Ok(backend.commit(table, checks, changes).await?) }).await
    }

    pub(crate) async fn store_scan(&self, range: Range, want: Want) -> Result<Vec<Record>, Error> {
        let (backend, table) = (&self.guest.capabilities.store, self.table());
        self.bounded(ID, async { Ok(backend.scan(table, range, want).await?.records) }).await
    }
}

/// A service's keys are text. A person may have written others into its table: those are shown, not hidden.
fn text(key: &Bytes) -> String {
    String::from_utf8_lossy(key).into_owned()
}

fn left(record: &Record) -> Option<u64> {
    record.expires_ms.map(|at| at.saturating_sub(unix_ms()))
}

macro_rules! conversions {
    ($wit:ident) => {
        impl From<Record> for $wit::Entry {
            fn from(record: Record) -> Self {
                Self { key: text(&record.key), expiry: left(&record), value: record.value.into() }
            }
        }
        impl From<$wit::Range> for Range {
            fn from(range: $wit::Range) -> Self {
                Self {
                    prefix: range.prefix.unwrap_or_default().into(),
                    suffix: range.suffix.unwrap_or_default().into(),
                    after: range.after.map(Bytes::from),
                    offset: u64::from(range.offset),
                    limit: range.limit.map_or(super::BATCH_RECORDS_MAX, |limit| limit as usize),
                }
            }
        }
        impl From<$wit::Check> for Check {
            fn from(check: $wit::Check) -> Self {
                Self { key: check.key.into(), value: check.value.map(Bytes::from) }
            }
        }
        impl From<$wit::Change> for Change {
            fn from(change: $wit::Change) -> Self {
                let key = Bytes::from(change.key);
                match change.action {
                    $wit::Action::Set(write) => {
                        Self::Set(Write { key, value: write.value.into(), ttl_ms: write.ttl })
                    }
                    $wit::Action::Delete => Self::Delete(key),
                }
            }
        }
    };
}
conversions!(wit);
conversions!(wit_sync);

fn all<A, B: From<A>>(list: Vec<A>) -> Vec<B> {
    list.into_iter().map(Into::into).collect()
}

fn range_bytes(range: &Range) -> usize {
    range.prefix.len() + range.suffix.len() + optional(range.after.as_ref())
}

fn transaction_bytes(checks: &[Check], changes: &[Change]) -> usize {
    let asked = checks.iter().map(|check| check.key.len() + optional(check.value.as_ref()));
    let written = |change: &Change| optional(change.write().map(|write| &write.value));
    let changed = changes.iter().map(|change| change.key().len() + written(change));
    size_of_val(checks) + size_of_val(changes) + asked.chain(changed).sum::<usize>()
}

type Answer<R, E> = wasmtime::Result<Result<R, E>>;

impl<T: View> wit::HostWithStore<T> for HasCapability {
    async fn get(store: &Accessor<T, Self>, key: String) -> Answer<Option<wit::Entry>, types::Error> {
        waits(store, ID, key.len(), |handle| async move { Ok(handle.store_get(key).await?.map(Into::into)) })
            .await
    }

    async fn set(
        store: &Accessor<T, Self>,
        key: String,
        value: Vec<u8>,
        ttl: Option<u64>,
    ) -> Answer<(), types::Error> {
        let bytes = key.len() + value.len();
        waits(store, ID, bytes, |handle| async move { handle.store_set(key, value, ttl).await }).await
    }

    async fn delete(store: &Accessor<T, Self>, key: String) -> Answer<(), types::Error> {
        waits(store, ID, key.len(), |handle| async move { handle.store_delete(key).await }).await
    }

    async fn increment(
        store: &Accessor<T, Self>,
        key: String,
        delta: i64,
        ttl: Option<u64>,
    ) -> Answer<i64, types::Error> {
        waits(store, ID, key.len(), |handle| async move { handle.store_increment(key, delta, ttl).await })
            .await
    }

    async fn commit(
        store: &Accessor<T, Self>,
        checks: Vec<wit::Check>,
        changes: Vec<wit::Change>,
    ) -> Answer<bool, types::Error> {
        let (checks, changes) = (all(checks), all(changes));
        let bytes = transaction_bytes(&checks, &changes);
        waits(store, ID, bytes, |handle| async move { handle.store_commit(checks, changes).await }).await
    }

    async fn read(store: &Accessor<T, Self>, range: wit::Range) -> Answer<Vec<wit::Entry>, types::Error> {
        let range = Range::from(range);
        waits(store, ID, range_bytes(&range), |handle| async move {
            let found = handle.store_scan(range, Want::Records).await?;
            Ok(found.into_iter().map(Into::into).collect())
        })
        .await
    }

    async fn list(store: &Accessor<T, Self>, range: wit::Range) -> Answer<Vec<String>, types::Error> {
        let range = Range::from(range);
        waits(store, ID, range_bytes(&range), |handle| async move {
            let found = handle.store_scan(range, Want::Keys).await?;
            Ok(found.iter().map(|record| text(&record.key)).collect())
        })
        .await
    }
}

impl wit::Host for Ctx {}

impl wit_sync::Host for Ctx {
    async fn get(&mut self, key: String) -> Answer<Option<wit_sync::Entry>, types_sync::Error> {
        let found = self.handle().store_get(key).await;
        Ok(found.map(|found| found.map(Into::into)).map_err(Into::into))
    }

    async fn set(&mut self, key: String, value: Vec<u8>, ttl: Option<u64>) -> Answer<(), types_sync::Error> {
        Ok(self.handle().store_set(key, value, ttl).await.map_err(Into::into))
    }

    async fn delete(&mut self, key: String) -> Answer<(), types_sync::Error> {
        Ok(self.handle().store_delete(key).await.map_err(Into::into))
    }

    async fn increment(
        &mut self,
        key: String,
        delta: i64,
        ttl: Option<u64>,
    ) -> Answer<i64, types_sync::Error> {
        Ok(self.handle().store_increment(key, delta, ttl).await.map_err(Into::into))
    }

    async fn commit(
        &mut self,
        checks: Vec<wit_sync::Check>,
        changes: Vec<wit_sync::Change>,
    ) -> Answer<bool, types_sync::Error> {
        Ok(self.handle().store_commit(all(checks), all(changes)).await.map_err(Into::into))
    }

    async fn read(&mut self, range: wit_sync::Range) -> Answer<Vec<wit_sync::Entry>, types_sync::Error> {
        let found = self.handle().store_scan(range.into(), Want::Records).await;
        Ok(found.map(|all| all.into_iter().map(Into::into).collect()).map_err(Into::into))
    }

    async fn list(&mut self, range: wit_sync::Range) -> Answer<Vec<String>, types_sync::Error> {
        let found = self.handle().store_scan(range.into(), Want::Keys).await;
        Ok(found.map(|all| all.iter().map(|record| text(&record.key)).collect()).map_err(Into::into))
    }
}
