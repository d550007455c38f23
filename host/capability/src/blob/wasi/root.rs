//! `wasi:blobstore/blobstore`: containers, and objects from one to another.

use micro_api::Error;
use wasmtime::component::Resource;

use super::blobstore::{Host, ObjectId};
use super::container::Container;
use super::name::Name;
use super::{Answer, Caller, said};
use crate::Handle;
use crate::blob::host::ID;
use crate::blob::{self, BlobKey, New};

impl Handle {
    /// When the container was made, Unix milliseconds; none: there is none.
    pub(super) async fn container_made(&self, name: &Name) -> Result<Option<u64>, Error> {
        Ok(self.blob_stat(&name.prefix()).await?.map(|found| found.row.changed_ms))
    }

    /// The same, where one is needed.
    ///
    /// # Errors
    /// 404 when there is none.
    pub(super) async fn container(&self, name: &Name) -> Result<u64, Error> {
        let made = self.container_made(name).await?;
        made.ok_or_else(|| Error::not_found(ID, "there is no container of this name"))
    }

    /// Two who make it at the same moment may both be told that they did.
    async fn container_create(&self, name: &Name) -> Result<(), Error> {
        if self.container_made(name).await?.is_some() {
            return Err(Error::bad_request(ID, "there is a container of this name already"));
        }
        let (blobs, key) = (&self.guest.capabilities.blobs, self.blob_shelf().key(&name.prefix())?);
        let put = async { Ok(blobs.create(key, New::default()).await?.finish().await?) };
        self.bounded(ID, put).await.map(drop)
    }

    /// The container's own blob goes last, so that a deletion that was cut short can be asked for again. Where there is
    /// none, what lies there belongs to no container, and stays.
    async fn container_delete(&self, name: &Name) -> Result<(), Error> {
        if self.container_made(name).await?.is_none() {
            return Ok(());
        }
        self.container_clear(name).await?;
        self.blob_delete(&name.prefix()).await
    }

    fn object_of(&self, id: &ObjectId) -> Result<(Name, BlobKey), Error> {
        let name = Name::new(id.container.clone())?;
        let key = name.object(&self.blob_shelf(), &id.object)?;
        Ok((name, key))
    }

    /// Copies the bytes and their content type; the copy is not public. Says where from, and which
    /// bytes; none: it would be its own copy.
    async fn object_copy(
        &self,
        from: &ObjectId,
        to: &ObjectId,
    ) -> Result<(BlobKey, Option<blob::ObjectId>), Error> {
        let ((_, from), (name, to)) = (self.object_of(from)?, self.object_of(to)?);
        self.container(&name).await?;
        let blobs = &self.guest.capabilities.blobs;
        let copy = async {
            let mut reading = blobs.open(&from, 0, None).await?;
            if from == to {
                return Ok(None);
            }
            let row = reading.row();
            let object = row.object.clone();
            let (content_type, digest) = (row.content_type.clone(), Some(row.digest));
            let mut writing = blobs.create(to.clone(), New { content_type, digest, public: false }).await?;
            while let Some(chunk) = reading.next().await? {
                writing.write(chunk).await?;
            }
            writing.finish().await?;
            Ok(Some(object))
        };
        let copied = self.bounded(ID, copy).await?;
        Ok((from, copied))
    }

    /// A copy, and then a deletion: who is cut off between them finds both. What was put there meanwhile stays.
    async fn object_move(&self, from: &ObjectId, to: &ObjectId) -> Result<(), Error> {
        let (from, copied) = self.object_copy(from, to).await?;
        let Some(copied) = copied else { return Ok(()) };
        match self.blob_stat(from.key()).await? {
            Some(found) if found.row.object == copied => self.blob_delete(from.key()).await,
            Some(_) | None => Ok(()),
        }
    }
}

impl Caller<'_> {
    fn give(&mut self, name: Name) -> wasmtime::Result<Result<Resource<Container>, String>> {
        let place = match self.ctx.blobstore.take() {
            Ok(place) => place,
            Err(error) => return Ok(Err(said(error))),
        };
        Ok(Ok(self.table.push(Container::new(name, place))?))
    }
}

impl Host for Caller<'_> {
    async fn create_container(&mut self, name: String) -> Answer<Resource<Container>> {
        let handle = self.handle();
        let made = async {
            let name = Name::new(name)?;
            handle.container_create(&name).await?;
            Ok(name)
        };
        match made.await {
            Ok(name) => self.give(name),
            Err(error) => Ok(Err(said(error))),
        }
    }

    async fn get_container(&mut self, name: String) -> Answer<Resource<Container>> {
        let handle = self.handle();
        let found = async {
            let name = Name::new(name)?;
            handle.container(&name).await?;
            Ok(name)
        };
        match found.await {
            Ok(name) => self.give(name),
            Err(error) => Ok(Err(said(error))),
        }
    }

    async fn delete_container(&mut self, name: String) -> Answer<()> {
        let handle = self.handle();
        let deleted = async { handle.container_delete(&Name::new(name)?).await };
        Ok(deleted.await.map_err(said))
    }

    async fn container_exists(&mut self, name: String) -> Answer<bool> {
        let handle = self.handle();
        let found = async { handle.container_made(&Name::new(name)?).await };
        Ok(found.await.map(|made| made.is_some()).map_err(said))
    }

    async fn copy_object(&mut self, from: ObjectId, to: ObjectId) -> Answer<()> {
        Ok(self.handle().object_copy(&from, &to).await.map(drop).map_err(said))
    }

    async fn move_object(&mut self, from: ObjectId, to: ObjectId) -> Answer<()> {
        Ok(self.handle().object_move(&from, &to).await.map_err(said))
    }
}
