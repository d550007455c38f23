//! The store as a person sees it: any table of a namespace that they may see, values in base64.

mod transfer;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use micro_api::Error;
use micro_api::name::Namespace;
use micro_api::store as api;

use super::host::ID;
use super::{BATCH_RECORDS_MAX, Backend, Range, Record, TableKey, Want, Write};
use crate::context::unix_ms;

/// Most bytes of keys and values in one answer; more is an error that asks for a limit.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Most records of one answer.
const ANSWER_RECORDS_MAX: usize = 200_000;

/// Reads and writes on a person's behalf. Who may see which namespace is decided before.
#[derive(Clone)]
pub struct Admin {
    backend: Arc<dyn Backend>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Admin {
    /// Over the backend that the guests use.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend }
    }

    /// Records in key order.
    ///
    /// # Errors
    /// 404 `not found` for an exact read of a missing key; 413 when the answer is larger than 32 MiB; 400 for a bad
    /// key or table.
    pub async fn read(
        &self,
        namespace: &Namespace,
        table: &str,
        query: api::Query,
    ) -> Result<Vec<api::Record>, Error> {
        let table = TableKey::named(namespace, table)?;
        if query.prefix || query.suffix || query.key.is_empty() {
            let records = self.scan(&table, query, Want::Records).await?;
            return Ok(records.into_iter().map(shown).collect());
        }
        let found = self.backend.get(&table, query.key.as_bytes()).await?;
        found.map(|record| vec![shown(record)]).ok_or_else(|| Error::not_found(ID, "not found"))
    }

    /// Keys in order.
    ///
    /// # Errors
    /// As [`Admin::read`], but a key that is not there is no error.
    pub async fn list(
        &self,
        namespace: &Namespace,
        table: &str,
        query: api::Query,
    ) -> Result<Vec<String>, Error> {
        let table = TableKey::named(namespace, table)?;
        let records = self.scan(&table, query, Want::Keys).await?;
        Ok(records.into_iter().map(|record| String::from_utf8_lossy(&record.key).into_owned()).collect())
    }

    /// Writes one record, durable when this returns.
    ///
    /// # Errors
    /// 400 for a bad key, value or table, 507 when the namespace is full.
    pub async fn write(&self, namespace: &Namespace, table: &str, write: api::Write) -> Result<(), Error> {
        let table = TableKey::named(namespace, table)?;
        let value = BASE64.decode(&write.value).map_err(|_| Error::bad_request(ID, "value is not base64"))?;
        let ttl_ms = match write.ttl_ms.map(u64::try_from) {
            None => None,
            Some(Ok(ttl)) => Some(ttl),
            Some(Err(_)) => return Err(Error::bad_request(ID, "ttl_ms is negative")),
        };
        Ok(self.backend.set(&table, Write { key: write.key.into(), value: value.into(), ttl_ms }).await?)
    }

    /// Deletes one record; a missing one is no error.
    ///
    /// # Errors
    /// 400 for a bad key or table.
    pub async fn delete(&self, namespace: &Namespace, table: &str, key: &str) -> Result<(), Error> {
        Ok(self.backend.delete(&TableKey::named(namespace, table)?, key.as_bytes()).await?)
    }

    /// Names of the namespace's tables, sorted.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn tables(&self, namespace: &Namespace) -> Result<Vec<String>, Error> {
        Ok(self.backend.tables(namespace).await?)
    }

    /// Page after page, until the limit or the end.
    async fn scan(&self, table: &TableKey, query: api::Query, want: Want) -> Result<Vec<Record>, Error> {
        let limit =
            if query.limit == 0 { usize::MAX } else { usize::try_from(query.limit).unwrap_or(usize::MAX) };
        let key = Bytes::from(query.key);
        let mut range = Range { offset: query.offset, ..Range::default() };
        if query.suffix {
            range.suffix = key;
        } else {
            range.prefix = key;
        }
        let mut found: Vec<Record> = Vec::new();
        let mut bytes = 0;
        loop {
            range.limit = (limit - found.len()).min(BATCH_RECORDS_MAX + 1);
            let page = self.backend.scan(table, range.clone(), want).await?;
            bytes += page.records.iter().map(|record| record.key.len() + record.value.len()).sum::<usize>();
            found.extend(page.records);
            if !page.more || found.len() >= limit {
                return Ok(found);
            }
            if bytes > ANSWER_BYTES_MAX || found.len() > ANSWER_RECORDS_MAX {
                return Err(Error::new(
                    ID,
                    413,
                    "the answer is too large: read it in parts with a limit and offset",
                ));
            }
            range.offset = 0;
            range.after = found.last().map(|record| record.key.clone());
        }
    }
}

fn shown(record: Record) -> api::Record {
    let left = |at: u64| i64::try_from(at.saturating_sub(unix_ms())).unwrap_or(i64::MAX);
    api::Record {
        key: String::from_utf8_lossy(&record.key).into_owned(),
        value: BASE64.encode(&record.value),
        expiry_ms: record.expires_ms.map(left),
    }
}
