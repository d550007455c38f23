//! Whose objects these are: a platform removes what none of its own rows names, so two must never have the same.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode};

use super::failure::Failure;
use super::{Bucket, S3Config};
use crate::blob::Error;

/// More than any owner's name has.
const NAME_BYTES_MAX: usize = 256;

/// Takes what lies below the prefix for this owner, unless it has another.
pub(super) async fn claim(bucket: &Bucket, config: &S3Config) -> Result<(), Error> {
    let name = format!("{}/platform", config.prefix);
    let path = Path::from(name.as_str());
    let mut found = owner(bucket, &path).await?;
    if found.is_none() {
        put(bucket, &path, &config.owner).await?;
        // Of two that come at once, one was first.
        found = owner(bucket, &path).await?;
    }
    if found.as_deref() == Some(config.owner.as_bytes()) {
        return Ok(());
    }
    Err(Error::Backend(format!(
        "what lies below `{}/` belongs to another platform: choose another prefix, or delete the object `{name}` where \
         this platform takes the place of that one",
        config.prefix
    )))
}

async fn owner(bucket: &Bucket, path: &Path) -> Result<Option<Bytes>, Error> {
    match bucket.piece(path, 0, NAME_BYTES_MAX).await {
        Ok(owner) => Ok(Some(owner)),
        Err(Error::Missing) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Unless there is one.
async fn put(bucket: &Bucket, path: &Path, owner: &str) -> Result<(), Error> {
    let bytes = Bytes::copy_from_slice(owner.as_bytes());
    let put = bucket.store.put_opts(path, bytes.clone().into(), PutMode::Create.into());
    match bucket.calls.make(bytes.len(), put).await? {
        Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
        Err(error) => match Failure::from(&error) {
            failure if failure.is_unknown_call() => bucket.put(path, bytes).await,
            failure => Err(failure.doing("put an object")),
        },
    }
}
