//! Where containers and objects lie among the service's blobs.

use micro_api::Error;

use crate::blob::host::ID;
use crate::blob::{BlobKey, KEY_BYTES_MAX, Shelf};

/// Between a container's name and an object's.
const JOINT: char = '/';
/// Leaves room for the joint and one byte of an object's name.
const CONTAINER_BYTES_MAX: usize = KEY_BYTES_MAX - 2;

/// A container's name that was checked. It has no slash, so the first one of a key ends it, and no container's keys
/// are among another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    /// # Errors
    /// 400 when it is empty, longer than 1 022 bytes, or has a slash or control characters.
    pub(super) fn new(name: String) -> Result<Self, Error> {
        let is_wrong = |character: char| character == JOINT || character.is_control();
        if name.is_empty() || name.len() > CONTAINER_BYTES_MAX || name.chars().any(is_wrong) {
            let detail = format!(
                "a container's name has 1 to {CONTAINER_BYTES_MAX} bytes of UTF-8, no slash and no control characters"
            );
            return Err(Error::bad_request(ID, detail));
        }
        Ok(Self(name))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// What the keys of its objects begin with. Also the key of the blob that says that the container is there.
    pub(super) fn prefix(&self) -> String {
        format!("{}{JOINT}", self.0)
    }

    /// The blob of one of its objects.
    ///
    /// # Errors
    /// 400 when the name is empty, too long together with the container's, or has control characters.
    pub(super) fn object(&self, shelf: &Shelf, object: &str) -> Result<BlobKey, Error> {
        let wrong = || {
            let detail = format!(
                "an object's name is not empty, has no control characters, and with its container's and a slash at \
                 most {KEY_BYTES_MAX} bytes"
            );
            Error::bad_request(ID, detail)
        };
        if object.is_empty() {
            return Err(wrong());
        }
        shelf.key(&format!("{}{object}", self.prefix())).map_err(|_| wrong())
    }
}
