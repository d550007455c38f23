//! A blob that is being read.

use bytes::Bytes;
use futures::StreamExt;
use sha2::{Digest, Sha256};

use super::{Chunks, Error, Row};

/// Gives the bytes in order, and an error at the end when a blob read whole does not have its digest.
pub struct Reading {
    row: Row,
    chunks: Chunks,
    /// Of a blob that is read whole.
    hash: Option<Sha256>,
    left: u64,
    is_checked: bool,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Reading").field("row", &self.row).field("left", &self.left).finish_non_exhaustive()
    }
}

impl Reading {
    pub(super) fn new(row: Row, chunks: Chunks, length: u64) -> Self {
        let hash = (length == row.size).then(Sha256::new);
        Self { row, chunks, hash, left: length, is_checked: false }
    }

    /// What is read.
    pub fn row(&self) -> &Row {
        &self.row
    }

    /// Bytes still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next bytes, at most [`super::CHUNK_BYTES_MAX`]; none at the end.
    ///
    /// # Errors
    /// [`Error::Damaged`] when bytes are missing or are not those that were put; or the backend's.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.is_checked {
            return Ok(None);
        }
        match self.chunks.next().await.transpose()? {
            Some(chunk) => {
                let left = self.left.checked_sub(chunk.len() as u64);
                self.left = left.ok_or_else(|| self.damaged())?;
                if let Some(hash) = &mut self.hash {
                    hash.update(&chunk);
                }
                Ok(Some(chunk))
            }
            None if self.left > 0 => Err(self.damaged()),
            None => {
                let digest: Option<[u8; 32]> = self.hash.clone().map(|hash| hash.finalize().into());
                if digest.is_some_and(|digest| digest != self.row.digest) {
                    return Err(self.damaged());
                }
                self.is_checked = true;
                Ok(None)
            }
        }
    }

    fn damaged(&self) -> Error {
        tracing::error!(object = %self.row.object, "a blob is not what was put");
        Error::Damaged
    }
}
