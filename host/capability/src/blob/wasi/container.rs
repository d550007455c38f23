//! `wasi:blobstore/container`: the objects of one container.

use micro_api::Error;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::Resource;

use super::incoming::Incoming;
use super::name::Name;
use super::outgoing::Outgoing;
use super::types::{ContainerMetadata, ObjectMetadata};
use super::wit::{HostContainer, HostStreamObjectNames};
use super::{Answer, Caller, said};
use crate::Handle;
use crate::blob::PAGE_ROWS_MAX;
use crate::blob::host::ID;

/// Most names that one call takes or gives.
const NAMES_MAX: usize = 10_000;

/// A container of the service.
#[derive(Debug)]
pub struct Container {
    name: Name,
    _place: OwnedSemaphorePermit,
}

impl Container {
    pub(super) fn new(name: Name, place: OwnedSemaphorePermit) -> Self {
        Self { name, _place: place }
    }
}

/// A listing that is being read. It keeps no names, only its place: what is put or deleted meanwhile may be in it, or
/// not.
#[derive(Debug)]
pub struct Names {
    at: Position,
    _place: OwnedSemaphorePermit,
}

/// How far a listing was read.
#[derive(Debug, Clone)]
struct Position {
    name: Name,
    /// The last key that was read; at first the container's own, which comes before all of its objects'.
    after: String,
    is_end: bool,
}

/// Timestamps of the draft are seconds since 1970, as other hosts have them.
fn seconds(unix_ms: u64) -> u64 {
    unix_ms / 1_000
}

impl Handle {
    /// Goes on in a listing by at most `wanted` objects, and says how many there were. One row more than wanted is
    /// asked for, to know whether it was the last.
    async fn names_next(
        &self,
        at: &mut Position,
        wanted: u64,
        mut keep: impl FnMut(&str) + Send,
    ) -> Result<u64, Error> {
        let (prefix, mut given) = (at.name.prefix(), 0);
        while !at.is_end && given < wanted {
            let left = usize::try_from(wanted - given).unwrap_or(usize::MAX);
            let limit = left.saturating_add(1).min(PAGE_ROWS_MAX);
            let rows = u32::try_from(limit).unwrap_or(u32::MAX);
            let page = self.blob_list(&prefix, Some(&at.after), rows).await?;
            at.is_end = page.len() < limit;
            for listed in page.into_iter().take(left) {
                keep(listed.key.strip_prefix(&prefix).unwrap_or_default());
                at.after = listed.key;
                given += 1;
            }
        }
        Ok(given)
    }

    /// Deletes the objects that are there now, as far as the call's deadline lets it.
    pub(super) async fn container_clear(&self, name: &Name) -> Result<(), Error> {
        let prefix = name.prefix();
        // Forward only, so that whoever puts objects meanwhile cannot keep it busy for ever.
        let mut after = prefix.clone();
        loop {
            let page = self.blob_list(&prefix, Some(&after), u32::MAX).await?;
            let is_end = page.len() < PAGE_ROWS_MAX;
            for listed in page {
                self.blob_delete(&listed.key).await?;
                after = listed.key;
            }
            if is_end {
                return Ok(());
            }
        }
    }

    async fn objects_delete(&self, name: &Name, objects: &[String]) -> Result<(), Error> {
        if objects.len() > NAMES_MAX {
            let detail = format!("limit: objects of one deletion: at most {NAMES_MAX}");
            return Err(Error::bad_request(ID, detail));
        }
        let shelf = self.blob_shelf();
        // All names are looked at before the first is deleted.
        let keys: Vec<_> =
            objects.iter().map(|object| name.object(&shelf, object)).collect::<Result<_, _>>()?;
        for key in keys {
            self.blob_delete(key.key()).await?;
        }
        Ok(())
    }

    async fn object_info(&self, name: &Name, object: String) -> Result<ObjectMetadata, Error> {
        let key = name.object(&self.blob_shelf(), &object)?;
        let found = self.blob_stat(key.key()).await?;
        let row = found.ok_or_else(|| Error::not_found(ID, "not found"))?.row;
        let (container, created_at) = (name.as_str().to_owned(), seconds(row.changed_ms));
        Ok(ObjectMetadata { name: object, container, created_at, size: row.size })
    }
}

impl Caller<'_> {
    fn name_of(&self, container: &Resource<Container>) -> wasmtime::Result<Name> {
        Ok(self.table.get(container)?.name.clone())
    }
}

impl HostContainer for Caller<'_> {
    async fn name(&mut self, this: Resource<Container>) -> Answer<String> {
        Ok(Ok(self.name_of(&this)?.as_str().to_owned()))
    }

    async fn info(&mut self, this: Resource<Container>) -> Answer<ContainerMetadata> {
        let name = self.name_of(&this)?;
        let made = self.handle().container(&name).await;
        let name = name.as_str().to_owned();
        Ok(made.map(|made| ContainerMetadata { name, created_at: seconds(made) }).map_err(said))
    }

    async fn get_data(
        &mut self,
        this: Resource<Container>,
        object: String,
        start: u64,
        end: u64,
    ) -> Answer<Resource<Incoming>> {
        let name = self.name_of(&this)?;
        match self.value_open(&name, &object, start, end).await {
            Ok(value) => Ok(Ok(self.table.push(value)?)),
            Err(error) => Ok(Err(said(error))),
        }
    }

    async fn write_data(
        &mut self,
        this: Resource<Container>,
        object: String,
        data: Resource<Outgoing>,
    ) -> Answer<()> {
        let (name, handle) = (self.name_of(&this)?, self.handle());
        let key = async {
            let key = name.object(&handle.blob_shelf(), &object)?;
            handle.container(&name).await?;
            Ok(key)
        };
        let aimed = match key.await {
            Ok(key) => self.table.get_mut(&data)?.aim(&handle, key),
            Err(error) => Err(error),
        };
        Ok(aimed.map_err(said))
    }

    async fn list_objects(&mut self, this: Resource<Container>) -> Answer<Resource<Names>> {
        let name = self.name_of(&this)?;
        let handle = self.handle();
        if let Err(error) = handle.container(&name).await {
            return Ok(Err(said(error)));
        }
        match self.ctx.blobstore.take() {
            Ok(place) => {
                let at = Position { after: name.prefix(), name, is_end: false };
                Ok(Ok(self.table.push(Names { at, _place: place })?))
            }
            Err(error) => Ok(Err(said(error))),
        }
    }

    async fn delete_object(&mut self, this: Resource<Container>, object: String) -> Answer<()> {
        let name = self.name_of(&this)?;
        Ok(self.handle().objects_delete(&name, &[object]).await.map_err(said))
    }

    async fn delete_objects(&mut self, this: Resource<Container>, objects: Vec<String>) -> Answer<()> {
        let name = self.name_of(&this)?;
        Ok(self.handle().objects_delete(&name, &objects).await.map_err(said))
    }

    async fn has_object(&mut self, this: Resource<Container>, object: String) -> Answer<bool> {
        let (name, handle) = (self.name_of(&this)?, self.handle());
        let found = async {
            let key = name.object(&handle.blob_shelf(), &object)?;
            handle.blob_stat(key.key()).await
        };
        Ok(found.await.map(|found| found.is_some()).map_err(said))
    }

    async fn object_info(&mut self, this: Resource<Container>, object: String) -> Answer<ObjectMetadata> {
        let name = self.name_of(&this)?;
        Ok(self.handle().object_info(&name, object).await.map_err(said))
    }

    async fn clear(&mut self, this: Resource<Container>) -> Answer<()> {
        let (name, handle) = (self.name_of(&this)?, self.handle());
        let cleared = async {
            handle.container(&name).await?;
            handle.container_clear(&name).await
        };
        Ok(cleared.await.map_err(said))
    }

    async fn drop(&mut self, this: Resource<Container>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl HostStreamObjectNames for Caller<'_> {
    async fn read_stream_object_names(
        &mut self,
        this: Resource<Names>,
        len: u64,
    ) -> Answer<(Vec<String>, bool)> {
        let mut at = self.table.get(&this)?.at.clone();
        let mut names = Vec::new();
        let wanted = len.min(NAMES_MAX as u64);
        let read = self.handle().names_next(&mut at, wanted, |name| names.push(name.to_owned())).await;
        if let Err(error) = read {
            return Ok(Err(said(error)));
        }
        let is_end = at.is_end;
        self.table.get_mut(&this)?.at = at;
        Ok(Ok((names, is_end)))
    }

    async fn skip_stream_object_names(&mut self, this: Resource<Names>, num: u64) -> Answer<(u64, bool)> {
        let mut at = self.table.get(&this)?.at.clone();
        let skipped = match self.handle().names_next(&mut at, num, |_| ()).await {
            Ok(skipped) => skipped,
            Err(error) => return Ok(Err(said(error))),
        };
        let is_end = at.is_end;
        self.table.get_mut(&this)?.at = at;
        Ok(Ok((skipped, is_end)))
    }

    async fn drop(&mut self, this: Resource<Names>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
