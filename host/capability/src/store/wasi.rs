//! `wasi:keyvalue`, for components that know nothing of us: the service's own table, in both drafts of 0.2.0.
//!
//! There is one bucket, named `default` or by no name. Each call is one of the `store` import, with its limits.

mod draft;
mod draft2;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use micro_api::Error;
use wasmtime::component::Linker;

use super::{Change, Check, Range, Want, Write};
use crate::{Handle, View};

/// Most keys that one call of `batch` names: a transaction's own bound.
const BATCH_KEYS_MAX: usize = super::transaction::TRANSACTION_PARTS_MAX;
/// Compare-and-swap handles that one instance may have open.
const CAS_MAX: usize = 64;
/// Bytes that they may hold together.
const CAS_BYTES_MAX: usize = 8 << 20;

/// The service's own table.
#[derive(Debug)]
pub struct Bucket;

/// Names a value that was looked at, in the instance's own list.
#[derive(Debug)]
pub struct Cas;

/// A value that was looked at, and is to be replaced only if it is still there.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    key: String,
    value: Option<Bytes>,
}

/// Open compare-and-swap handles of an instance.
#[derive(Debug, Default)]
pub(crate) struct Swaps(Vec<Option<Seen>>);

impl Swaps {
    /// Keeps what was seen under a number of its own.
    fn keep(&mut self, seen: Seen) -> Result<u32, Error> {
        let bytes = |seen: &Seen| seen.key.len() + seen.value.as_ref().map_or(0, Bytes::len);
        let held: usize = self.0.iter().flatten().map(bytes).sum();
        if held + bytes(&seen) > CAS_BYTES_MAX {
            return Err(too_many("bytes under compare-and-swap handles", CAS_BYTES_MAX));
        }
        let free = self.0.iter().position(Option::is_none);
        let at = free.unwrap_or(self.0.len());
        if at >= CAS_MAX {
            return Err(too_many("compare-and-swap handles", CAS_MAX));
        }
        match self.0.get_mut(at) {
            Some(place) => *place = Some(seen),
            None => self.0.push(Some(seen)),
        }
        u32::try_from(at).map_err(|_| too_many("compare-and-swap handles", CAS_MAX))
    }

    fn get(&self, at: u32) -> Option<&Seen> {
        self.0.get(at as usize)?.as_ref()
    }

    fn take(&mut self, at: u32) -> Option<Seen> {
        self.0.get_mut(at as usize)?.take()
    }
}

/// Whether a bucket of this name is there.
fn is_own(identifier: &str) -> bool {
    matches!(identifier, "" | "default")
}

fn too_many(what: &str, max: usize) -> Error {
    Error::bad_request(super::host::ID, format!("limit: {what}: at most {max} at once"))
}

impl Handle {
    async fn keyvalue_get(&self, key: String) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.store_get(key).await?.map(|record| record.value.into()))
    }

    /// One page of keys: those after `after`, or those that come when `offset` are left out.
    async fn keyvalue_keys(&self, after: Option<String>, offset: u64) -> Result<Vec<String>, Error> {
        let limit = super::BATCH_RECORDS_MAX;
        let range = Range { after: after.map(Bytes::from), offset, limit, ..Range::default() };
        let records = self.store_scan(range, Want::Keys).await?;
        Ok(records.iter().map(|record| String::from_utf8_lossy(&record.key).into_owned()).collect())
    }

    async fn keyvalue_get_many(&self, keys: Vec<String>) -> Result<Vec<Option<(String, Vec<u8>)>>, Error> {
        if keys.len() > BATCH_KEYS_MAX {
            return Err(too_many("keys of a batch", BATCH_KEYS_MAX));
        }
        let (mut found, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        for key in keys {
            let value = self.keyvalue_get(key.clone()).await?;
            bytes += value.as_ref().map_or(0, Vec::len);
            if bytes > super::VALUE_BYTES_MAX {
                let detail =
                    format!("the values of a batch have at most {} bytes together", super::VALUE_BYTES_MAX);
                return Err(Error::new(super::host::ID, 413, detail));
            }
            found.push(value.map(|value| (key, value)));
        }
        Ok(found)
    }

    /// All of them or none. The last of those with an equal key counts.
    async fn keyvalue_change(&self, changes: Vec<Change>) -> Result<(), Error> {
        let mut once: Vec<Change> = Vec::with_capacity(changes.len());
        for change in changes.into_iter().rev() {
            if !once.iter().any(|later| later.key() == change.key()) {
                once.push(change);
            }
        }
        if once.is_empty() {
            return Ok(());
        }
        self.store_commit(Vec::new(), once).await.map(drop)
    }

    async fn keyvalue_set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        let set = |(key, value): (String, Vec<u8>)| Change::Set(write(key, value));
        self.keyvalue_change(pairs.into_iter().map(set).collect()).await
    }

    async fn keyvalue_delete_many(&self, keys: Vec<String>) -> Result<(), Error> {
        self.keyvalue_change(keys.into_iter().map(|key| Change::Delete(key.into())).collect()).await
    }

    /// Whether the value was still what had been seen.
    async fn keyvalue_swap(&self, seen: Seen, value: Vec<u8>) -> Result<bool, Error> {
        let check = Check { key: seen.key.clone().into(), value: seen.value };
        self.store_commit(vec![check], vec![Change::Set(write(seen.key, value))]).await
    }
}

fn write(key: String, value: Vec<u8>) -> Write {
    Write { key: key.into(), value: value.into(), ttl_ms: None }
}

/// What both drafts have alike: all of `store` but the cursor of `list-keys`, and all of `batch`.
macro_rules! same_in_both {
    () => {
        impl From<Error> for store::Error {
            fn from(error: Error) -> Self {
                Self::Other(error.detail)
            }
        }

        impl store::Host for Ctx {
            async fn open(&mut self, identifier: String) -> Answer<Resource<Bucket>> {
                // The table needs no state of its own, so every handle may have the same number.
                let own = is_own(&identifier).then(|| Resource::new_own(0));
                Ok(own.ok_or(store::Error::NoSuchStore))
            }
        }

        impl store::HostBucket for Ctx {
            async fn get(&mut self, _: Resource<Bucket>, key: String) -> Answer<Option<Vec<u8>>> {
                Ok(self.handle().keyvalue_get(key).await.map_err(Into::into))
            }

            async fn set(&mut self, _: Resource<Bucket>, key: String, value: Vec<u8>) -> Answer<()> {
                Ok(self.handle().store_set(key, value, None).await.map_err(Into::into))
            }

            async fn delete(&mut self, _: Resource<Bucket>, key: String) -> Answer<()> {
                Ok(self.handle().store_delete(key).await.map_err(Into::into))
            }

            async fn exists(&mut self, _: Resource<Bucket>, key: String) -> Answer<bool> {
                Ok(self.handle().store_get(key).await.map(|found| found.is_some()).map_err(Into::into))
            }

            async fn list_keys(
                &mut self,
                _: Resource<Bucket>,
                cursor: Option<Cursor>,
            ) -> Answer<store::KeyResponse> {
                Ok(list_keys(&self.handle(), cursor).await.map_err(Into::into))
            }

            async fn drop(&mut self, _: Resource<Bucket>) -> wasmtime::Result<()> {
                Ok(())
            }
        }

        impl batch::Host for Ctx {
            async fn get_many(
                &mut self,
                _: Resource<Bucket>,
                keys: Vec<String>,
            ) -> Answer<Vec<Option<(String, Vec<u8>)>>> {
                Ok(self.handle().keyvalue_get_many(keys).await.map_err(Into::into))
            }

            async fn set_many(&mut self, _: Resource<Bucket>, pairs: Vec<(String, Vec<u8>)>) -> Answer<()> {
                Ok(self.handle().keyvalue_set_many(pairs).await.map_err(Into::into))
            }

            async fn delete_many(&mut self, _: Resource<Bucket>, keys: Vec<String>) -> Answer<()> {
                Ok(self.handle().keyvalue_delete_many(keys).await.map_err(Into::into))
            }
        }

        pub(super) fn add_to_linker<T: View>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
            store::add_to_linker::<T, HasCapability>(linker, T::capability)?;
            atomics::add_to_linker::<T, HasCapability>(linker, T::capability)?;
            batch::add_to_linker::<T, HasCapability>(linker, T::capability)
        }
    };
}
use same_in_both;

pub(crate) fn add_to_linker<T: View>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    draft::add_to_linker(linker)?;
    draft2::add_to_linker(linker)
}
