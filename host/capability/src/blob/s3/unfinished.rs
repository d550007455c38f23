//! Uploads that never ended: the server keeps their parts until somebody ends them.

use object_store::path::Path;
use serde::Deserialize;

use super::Bucket;
use super::failure::Failure;
use crate::blob::{Error, ObjectId};

/// Answers that are read of one list, of which each has up to 1 000 lines; the next sweep reads on.
const PAGES_MAX: usize = 1_000;

/// One answer to the question which uploads there are.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    upload: Vec<Begun>,
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Begun {
    key: String,
    upload_id: String,
    initiated: String,
}

/// The parts of one of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parts {
    #[serde(default)]
    part: Vec<Part>,
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_part_number_marker: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    last_modified: String,
}

/// Ends uploads of ours that were last written to before `before_ms`, and says how many. None where the server does not
/// say which there are.
pub(super) async fn clear(bucket: &Bucket, before_ms: u64) -> Result<usize, Error> {
    let (mut cleared, mut key, mut upload) = (0, String::new(), String::new());
    for _ in 0..PAGES_MAX {
        let page = match page(bucket, &key, &upload).await? {
            Ok(page) => page,
            // As the log said at the start. Objects are to be swept nevertheless.
            Err(failure) if failure.is_unknown_call() || failure.is_refused() => return Ok(cleared),
            Err(failure) => return Err(failure.doing("list uploads")),
        };
        for begun in &page.upload {
            let Some(id) = bucket.id(&begun.key) else { continue };
            if is_over(bucket, &id, begun, before_ms).await? {
                bucket.abort(&bucket.path(&id), &begun.upload_id).await?;
                cleared += 1;
            }
        }
        if !page.is_truncated {
            break;
        }
        (key, upload) = (page.next_key_marker, page.next_upload_id_marker);
    }
    Ok(cleared)
}

/// Whether the server says which uploads there are.
pub(super) async fn are_listed(bucket: &Bucket) -> Result<bool, Error> {
    match page(bucket, "", "").await? {
        Ok(_) => Ok(true),
        Err(failure) if failure.is_unknown_call() => Ok(false),
        Err(failure) => Err(failure.doing("list uploads")),
    }
}

async fn page(bucket: &Bucket, key: &str, upload: &str) -> Result<Result<Page, Failure>, Error> {
    let mut query = vec![("uploads", ""), ("prefix", bucket.folder.as_str())];
    if !key.is_empty() {
        query.extend([("key-marker", key), ("upload-id-marker", upload)]);
    }
    bucket.calls.make(0, bucket.raw.get("", &query)).await
}

/// Whether nothing was written to it since. One that began long ago may still go on.
async fn is_over(bucket: &Bucket, id: &ObjectId, begun: &Begun, before_ms: u64) -> Result<bool, Error> {
    if millis(&begun.initiated)? > before_ms {
        return Ok(false);
    }
    let path: Path = bucket.path(id);
    let mut after = String::new();
    for _ in 0..PAGES_MAX {
        let mut query = vec![("uploadId", begun.upload_id.as_str())];
        if !after.is_empty() {
            query.push(("part-number-marker", after.as_str()));
        }
        let parts: Parts = match bucket.calls.make(0, bucket.raw.get(path.as_ref(), &query)).await? {
            Ok(parts) => parts,
            // It ended meanwhile.
            Err(failure) if failure.is_missing() => return Ok(false),
            Err(failure) => return Err(failure.doing("list the parts of an upload")),
        };
        for part in &parts.part {
            if millis(&part.last_modified)? > before_ms {
                return Ok(false);
            }
        }
        if !parts.is_truncated {
            return Ok(true);
        }
        after = parts.next_part_number_marker;
    }
    // A server that gives so many gives the same again and again.
    Err(Error::Backend("list the parts of an upload on S3: the list has no end".to_owned()))
}

/// Unix milliseconds of a time as the protocol writes it.
fn millis(text: &str) -> Result<u64, Error> {
    let time: jiff::Timestamp =
        text.parse().map_err(|_| Error::Backend("S3 gave a time that is none".to_owned()))?;
    Ok(u64::try_from(time.as_millisecond()).unwrap_or(0))
}
