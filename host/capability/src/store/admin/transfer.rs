//! Tables out and in: page by page, and batch by batch. Nothing here holds more than one of them.

use std::collections::HashSet;

use base64::Engine as _;
use bytes::Bytes;
use micro_api::Error;
use micro_api::name::Namespace;
use micro_api::store as api;

use super::{Admin, BASE64};
use crate::context::unix_ms;
use crate::store::host::ID;
use crate::store::{
    BATCH_RECORDS_MAX, Change, Check, Range, Record, TRANSACTION_BYTES_MAX, TRANSACTION_PARTS_MAX, TableKey,
    Want, Write,
};

/// How often a group is tried whose keys somebody else writes at the same moment.
const TRIES_MAX: usize = 8;

impl Admin {
    /// A page of records in key order, with the time at which each ends. Pages are no snapshot while others write.
    ///
    /// # Errors
    /// 400 for a bad table; 500 for a key that is no text, which no service can write.
    pub async fn export(
        &self,
        namespace: &Namespace,
        table: &str,
        export: api::Export,
    ) -> Result<api::Page, Error> {
        let table = TableKey::named(namespace, table)?;
        let after = export.after.filter(|after| !after.is_empty()).map(Bytes::from);
        let range = Range { after, limit: BATCH_RECORDS_MAX + 1, ..Range::default() };
        let page = self.backend.scan(&table, range, Want::Records).await?;
        let records = page.records.iter().map(kept).collect::<Result<_, _>>()?;
        Ok(api::Page { records, more: page.more })
    }

    /// Writes a batch. Where it fails some of it may be written; the same batch again is harmless.
    ///
    /// # Errors
    /// 400 for a bad table, key or value, and for more than [`api::IMPORT_RECORDS_MAX`] records: then nothing is
    /// written. 403 when the plan allows no more, 507 when the disk is full, 503 when others write the same keys.
    pub async fn import(
        &self,
        namespace: &Namespace,
        table: &str,
        import: api::Import,
    ) -> Result<api::Imported, Error> {
        let table = TableKey::named(namespace, table)?;
        if import.records.len() > api::IMPORT_RECORDS_MAX {
            let max = api::IMPORT_RECORDS_MAX;
            return Err(Error::bad_request(
                ID,
                format!("an import has at most {max} records a request: send more requests"),
            ));
        }
        let (all, now) = (import.records.len(), unix_ms());
        let mut writes = Vec::with_capacity(all);
        for record in import.records {
            writes.extend(live(record, now)?);
        }
        let live = writes.len();
        let mut written = 0;
        for group in groups(writes, if import.replace { 1 } else { 2 }) {
            written += match import.replace {
                true => self.replace(&table, group).await?,
                false => self.add(&table, group).await?,
            };
        }
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Ok(api::Imported { written: count(written), kept: count(live - written), expired: count(all - live) })
    }

    /// Writes over what is there; how many.
    async fn replace(&self, table: &TableKey, group: Vec<Write>) -> Result<usize, Error> {
        let written = group.len();
        if group.iter().map(|write| size(write, 1)).sum::<usize>() > TRANSACTION_BYTES_MAX {
            for write in group {
                self.backend.set(table, write).await?;
            }
        } else {
            self.backend.commit(table, Vec::new(), group.into_iter().map(Change::Set).collect()).await?;
        }
        Ok(written)
    }

    /// Writes what is not there yet; how many.
    async fn add(&self, table: &TableKey, mut group: Vec<Write>) -> Result<usize, Error> {
        if group.iter().map(|write| size(write, 2)).sum::<usize>() > TRANSACTION_BYTES_MAX {
            // One record, and too large for a transaction: what another writes between these two calls is lost.
            group = self.missing(table, group).await?;
            return self.replace(table, group).await;
        }
        for _ in 0..TRIES_MAX {
            if group.is_empty() {
                return Ok(0);
            }
            let checks = group.iter().map(|write| Check { key: write.key.clone(), value: None }).collect();
            let changes = group.iter().cloned().map(Change::Set).collect();
            if self.backend.commit(table, checks, changes).await? {
                return Ok(group.len());
            }
            group = self.missing(table, group).await?;
        }
        Err(Error::new(ID, 503, "others write the same keys at this moment: try again"))
    }

    async fn missing(&self, table: &TableKey, group: Vec<Write>) -> Result<Vec<Write>, Error> {
        let mut missing = Vec::with_capacity(group.len());
        for write in group {
            if self.backend.get(table, &write.key).await?.is_none() {
                missing.push(write);
            }
        }
        Ok(missing)
    }
}

fn kept(record: &Record) -> Result<api::Kept, Error> {
    let key = std::str::from_utf8(&record.key)
        .map_err(|_| Error::internal(ID, "a key of this table is no text, so it cannot be exported"))?;
    Ok(api::Kept { key: key.to_owned(), value: BASE64.encode(&record.value), expires_ms: record.expires_ms })
}

/// What there is to write of a record; nothing when its time is over.
fn live(record: api::Kept, now_ms: u64) -> Result<Option<Write>, Error> {
    let value = BASE64.decode(&record.value);
    let value =
        value.map_err(|_| Error::bad_request(ID, format!("the value of `{}` is not base64", record.key)))?;
    let ttl_ms = record.expires_ms.map(|at| at.saturating_sub(now_ms));
    let write = Write { key: record.key.into(), value: value.into(), ttl_ms };
    write.check()?;
    Ok((ttl_ms != Some(0)).then_some(write))
}

/// Cuts writes into what one transaction takes, where each of them counts as so many `parts` and no key comes twice.
/// What is too large for any is alone.
fn groups(writes: Vec<Write>, parts: usize) -> Vec<Vec<Write>> {
    let (mut groups, mut group, mut keys, mut bytes) = (Vec::new(), Vec::new(), HashSet::new(), 0);
    for write in writes {
        let more = size(&write, parts);
        let full = (group.len() + 1) * parts > TRANSACTION_PARTS_MAX || bytes + more > TRANSACTION_BYTES_MAX;
        if !group.is_empty() && (full || keys.contains(&write.key)) {
            groups.push(std::mem::take(&mut group));
            keys.clear();
            bytes = 0;
        }
        keys.insert(write.key.clone());
        bytes += more;
        group.push(write);
    }
    if !group.is_empty() {
        groups.push(group);
    }
    groups
}

/// The bytes of a write in a transaction that names its key so often.
fn size(write: &Write, keys: usize) -> usize {
    write.key.len() * keys + write.value.len()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::{Backend as _, Memory, VALUE_BYTES_MAX};

    fn space() -> Namespace {
        "space".parse().unwrap()
    }

    fn record(key: &str, value: &[u8], expires_ms: Option<u64>) -> api::Kept {
        api::Kept { key: key.into(), value: BASE64.encode(value), expires_ms }
    }

    async fn import(admin: &Admin, replace: bool, records: Vec<api::Kept>) -> Result<(u64, u64, u64), Error> {
        let import = api::Import { id: "i".into(), replace, records };
        let told = admin.import(&space(), "t", import).await?;
        Ok((told.written, told.kept, told.expired))
    }

    async fn all(admin: &Admin, table: &str) -> Vec<api::Kept> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = admin.export(&space(), table, api::Export { after }).await.unwrap();
            assert!(page.records.len() <= BATCH_RECORDS_MAX && (!page.more || !page.records.is_empty()));
            found.extend(page.records);
            if !page.more {
                return found;
            }
            after = found.last().map(|record| record.key.clone());
        }
    }

    #[tokio::test]
    async fn what_goes_out_comes_in_the_same() {
        let admin = Admin::new(Arc::new(Memory::new(1 << 30)));
        let later = unix_ms() + 3_600_000;
        let mut records: Vec<_> = (0..2_345_u32)
            .map(|n| record(&format!("k{n:05}"), &n.to_be_bytes(), (n % 7 == 0).then_some(later)))
            .collect();
        records.push(record("ü\"\n", &[0, 255, 128], None));
        let mut written = 0;
        for batch in records.chunks(api::IMPORT_RECORDS_MAX) {
            written += import(&admin, false, batch.to_vec()).await.unwrap().0;
        }
        assert_eq!(written, 2_346);
        let found = all(&admin, "t").await;
        assert_eq!(found.len(), records.len());
        for (found, sent) in found.iter().zip(&records) {
            assert_eq!((&found.key, &found.value), (&sent.key, &sent.value));
            // The rest is counted by a clock that has gone on.
            let off = found.expires_ms.zip(sent.expires_ms).map(|(found, sent)| found.abs_diff(sent));
            assert_eq!(off.is_some(), sent.expires_ms.is_some());
            assert!(off.unwrap_or_default() < 60_000, "{off:?}");
        }
        assert!(all(&admin, "other").await.is_empty());
    }

    #[tokio::test]
    async fn what_is_there_is_kept_or_replaced() {
        let memory = Arc::new(Memory::new(1 << 30));
        let admin = Admin::new(memory.clone());
        let batch =
            |value: &[u8]| (0..120).map(|n| record(&format!("{n:03}"), value, None)).collect::<Vec<_>>();
        assert_eq!(import(&admin, false, batch(b"1")).await.unwrap(), (120, 0, 0));
        memory.delete(&TableKey::named(&space(), "t").unwrap(), b"007").await.unwrap();
        assert_eq!(import(&admin, false, batch(b"2")).await.unwrap(), (1, 119, 0));
        let found = all(&admin, "t").await;
        let twos: Vec<_> = found.iter().filter(|kept| kept.value == BASE64.encode(b"2")).collect();
        assert_eq!(twos.iter().map(|kept| kept.key.as_str()).collect::<Vec<_>>(), ["007"]);
        assert_eq!(import(&admin, true, batch(b"3")).await.unwrap(), (120, 0, 0));
        assert!(all(&admin, "t").await.iter().all(|kept| kept.value == BASE64.encode(b"3")));
    }

    #[tokio::test]
    async fn what_is_over_is_left_out() {
        let admin = Admin::new(Arc::new(Memory::new(1 << 30)));
        let records = vec![record("a", b"1", Some(1)), record("b", b"1", Some(unix_ms() + 3_600_000))];
        assert_eq!(import(&admin, true, records).await.unwrap(), (1, 0, 1));
        assert_eq!(all(&admin, "t").await.len(), 1);
    }

    #[tokio::test]
    async fn a_key_twice_and_the_largest_values() {
        let admin = Admin::new(Arc::new(Memory::new(1 << 30)));
        let twice = || vec![record("a", b"1", None), record("a", b"2", None)];
        assert_eq!(import(&admin, false, twice()).await.unwrap(), (1, 1, 0));
        assert_eq!(all(&admin, "t").await[0].value, BASE64.encode(b"1"));
        assert_eq!(import(&admin, true, twice()).await.unwrap(), (2, 0, 0));
        assert_eq!(all(&admin, "t").await[0].value, BASE64.encode(b"2"));
        let largest = vec![7; VALUE_BYTES_MAX];
        let large = || vec![record("b", &largest, None), record("c", &largest, None)];
        assert_eq!(import(&admin, false, large()).await.unwrap(), (2, 0, 0));
        assert_eq!(import(&admin, false, large()).await.unwrap(), (0, 2, 0));
        assert_eq!(import(&admin, true, large()).await.unwrap(), (2, 0, 0));
    }

    #[tokio::test]
    async fn a_batch_with_a_mistake_writes_nothing() {
        let admin = Admin::new(Arc::new(Memory::new(1 << 30)));
        let no_base64 = api::Kept { key: "b".into(), value: "?".into(), expires_ms: None };
        for wrong in [record("", b"1", None), record("b", &vec![0; VALUE_BYTES_MAX + 1], None), no_base64] {
            let refused = import(&admin, true, vec![record("a", b"1", None), wrong]).await.unwrap_err();
            assert_eq!(refused.code, 400, "{refused:?}");
        }
        let many = (0..=api::IMPORT_RECORDS_MAX).map(|n| record(&n.to_string(), b"", None)).collect();
        assert_eq!(import(&admin, true, many).await.unwrap_err().code, 400);
        assert!(all(&admin, "t").await.is_empty());
    }
}
