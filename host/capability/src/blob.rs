//! Blobs: files of up to a gibibyte that outlive an instance.
//!
//! What is known of a blob is a row of the [`Catalog`]; its bytes are an object under a random id in [`Objects`]. An
//! object is whole before its row appears and is never written again, so a reader sees the old blob or the new one.
//! Objects without a row are left-overs, which [`Blobs::sweep`] removes.

mod admin;
mod backend;
mod blobs;
mod catalog;
#[cfg(test)]
mod contract;
mod folder;
mod handles;
mod host;
mod key;
mod memory;
mod places;
mod quotas;
mod reading;
mod s3;
mod sweep;
#[cfg(test)]
mod tests;
mod urls;
pub mod wasi;
mod writing;

pub use admin::{Admin, Body};
pub use backend::{CHUNK_BYTES_MAX, Chunks, Error, Found, ObjectId, Objects, Sink};
pub use blobs::{Blobs, Limits, New};
pub use catalog::{Catalog, Listed, PAGE_ROWS_MAX, Row};
pub use folder::Folder;
pub use handles::HANDLES_MAX;
pub(crate) use handles::Handles;
pub use key::{BlobKey, KEY_BYTES_MAX, Shelf};
pub use memory::{MemoryCatalog, MemoryObjects};
pub use quotas::Quotas;
pub use reading::Reading;
pub use s3::{S3, S3Checksum, S3Config};
pub use sweep::{ORPHAN_AGE, Swept};
pub use urls::{Link, Signature, URL_PATH, URL_TIME_MAX_S, Unsigned, Urls, service_of};
pub use writing::Writing;
