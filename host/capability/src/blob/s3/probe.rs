//! Whether the bucket will do, found out by doing it.
//!
//! The object that is written for it has a name as all have, and no row: what a start that was cut short leaves of it,
//! the sweep removes.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode};

use super::failure::Failure;
use super::{Bucket, S3Config, owner, unfinished};
use crate::blob::{Error, ObjectId};

const BYTES: &[u8] = b"Micro asks whether this bucket will do.";

pub(super) async fn run(bucket: &Bucket, config: &S3Config) -> Result<(), Error> {
    let fits = async {
        // First: some servers make the bucket that something is put into.
        bucket.page(None, None, 1).await?;
        owner::claim(bucket, config).await?;
        let path = bucket.path(&ObjectId::random());
        let fits = try_out(bucket, &path).await;
        // Whatever came of it, the object goes.
        fits.and(bucket.delete(&path).await)
    };
    fits.await.map_err(|error| told(config, error))?;
    match unfinished::are_listed(bucket).await {
        Ok(true) => {}
        Ok(false) => tracing::warn!(
            "S3 does not list uploads, so those that never end stay: give the bucket a rule that ends them after a day"
        ),
        Err(error) => tracing::warn!(
            %error,
            "Uploads that never end stay: let the access key list them, or give the bucket a rule that ends them"
        ),
    }
    Ok(())
}

async fn try_out(bucket: &Bucket, path: &Path) -> Result<(), Error> {
    bucket.put(path, Bytes::from_static(BYTES)).await?;
    let read = bucket.piece(path, 6, BYTES.len()).await?;
    if BYTES.get(6..) != Some(&*read) {
        return Err(Error::Backend("S3 gave other bytes than it was given".to_owned()));
    }
    if !refuses_a_second(bucket, path).await? {
        tracing::warn!(
            "S3 does not refuse to write over an object where it is told to (If-None-Match). Blobs do not need it; do \
             not put anything there that does"
        );
    }
    Ok(())
}

/// Whether a put that is not to write over anything fails where something is.
async fn refuses_a_second(bucket: &Bucket, path: &Path) -> Result<bool, Error> {
    let put = bucket.store.put_opts(path, Bytes::from_static(BYTES).into(), PutMode::Create.into());
    match bucket.calls.make(BYTES.len(), put).await? {
        Ok(_) => Ok(false),
        Err(object_store::Error::AlreadyExists { .. }) => Ok(true),
        Err(error) => {
            let failure = Failure::from(&error);
            // One that knows no conditions may say so.
            if failure.is_unknown_call() {
                Ok(false)
            } else {
                Err(failure.doing("put an object by a condition"))
            }
        }
    }
}

/// With the bucket's name, for whoever reads why the server did not start.
fn told(config: &S3Config, error: Error) -> Error {
    match error {
        Error::Backend(text) => Error::Backend(format!("bucket `{}`: {text}", config.bucket)),
        Error::Missing => Error::Backend(format!(
            "bucket `{}`: an object was not found right after it was put: S3 must be consistent",
            config.bucket
        )),
        other => other,
    }
}
