//! A blob that is being read.

use bytes::Bytes;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Chunks, Error, Row};

/// What is longer is fetched and hashed by a task of its own, while whoever reads works on the chunk before.
const APART_FROM: u64 = 256 << 10;

/// Gives the bytes in order, and an error at the end when a blob read whole does not have its digest.
pub struct Reading {
    row: Row,
    left: u64,
    /// What was found damaged stays so.
    is_damaged: bool,
    source: Source,
}

enum Source {
    Here(Box<Checked>),
    /// One chunk waits in the channel and one is fetched, no more.
    Apart {
        chunks: mpsc::Receiver<Result<Bytes, Error>>,
        _task: AbortOnDropHandle<()>,
    },
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Reading").field("row", &self.row).field("left", &self.left).finish_non_exhaustive()
    }
}

impl Reading {
    pub(super) fn new(row: Row, chunks: Chunks, length: u64) -> Self {
        let hash = (length == row.size).then(Sha256::new);
        let checked = Checked { row: row.clone(), chunks, hash, left: length };
        let source = if length > APART_FROM { checked.apart() } else { Source::Here(Box::new(checked)) };
        Self { row, left: length, is_damaged: false, source }
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
        if self.is_damaged {
            return Err(Error::Damaged);
        }
        let next = match &mut self.source {
            Source::Here(checked) => checked.next().await,
            Source::Apart { chunks, .. } => chunks.recv().await.transpose(),
        };
        self.is_damaged = matches!(next, Err(Error::Damaged));
        let chunk = next?;
        self.left -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if chunk.is_none() && self.left > 0 {
            // The task that fetched it is gone.
            self.is_damaged = true;
            return Err(damaged(&self.row));
        }
        Ok(chunk)
    }
}

/// Chunks that are held against their row.
struct Checked {
    row: Row,
    chunks: Chunks,
    /// Of a blob that is read whole, and is not at its end.
    hash: Option<Sha256>,
    left: u64,
}

impl Checked {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(chunk) = self.chunks.next().await.transpose()? {
            let left = self.left.checked_sub(chunk.len() as u64);
            self.left = left.ok_or_else(|| damaged(&self.row))?;
            if let Some(hash) = &mut self.hash {
                hash.update(&chunk);
            }
            return Ok(Some(chunk));
        }
        if self.left > 0 {
            return Err(damaged(&self.row));
        }
        let digest: Option<[u8; 32]> = self.hash.take().map(|hash| hash.finalize().into());
        if digest.is_some_and(|digest| digest != self.row.digest) {
            return Err(damaged(&self.row));
        }
        Ok(None)
    }

    fn apart(mut self) -> Source {
        let (send, chunks) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            while let Some(chunk) = self.next().await.transpose() {
                let failed = chunk.is_err();
                if send.send(chunk).await.is_err() || failed {
                    return;
                }
            }
        });
        Source::Apart { chunks, _task: AbortOnDropHandle::new(task) }
    }
}

fn damaged(row: &Row) -> Error {
    tracing::error!(object = %row.object, "a blob is not what was put");
    Error::Damaged
}
