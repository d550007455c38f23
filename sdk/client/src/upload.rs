//! Uploads of source archives.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{Stream, try_unfold};
use micro_api::deployment::Upload;
use micro_api::routes::UPLOADS;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use crate::{Client, Error, Result};

const CHUNK_BYTES: usize = 64 << 10;
/// For the largest archive over a slow line.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(1_800);

impl Client {
    /// Sends the tar.gz at `path`. `progress` hears of the bytes sent so far, at each 64 KiB.
    pub async fn upload(
        &self,
        path: &Path,
        progress: impl FnMut(u64) + Send + Sync + 'static,
    ) -> Result<Upload> {
        let unreadable = |source| Error::File { path: path.display().to_string(), source };
        let file = File::open(path).await.map_err(unreadable)?;
        let size = file.metadata().await.map_err(unreadable)?.len();
        let request = self
            .request(Method::POST, self.url(UPLOADS, &[]))
            .timeout(UPLOAD_TIMEOUT)
            .header(CONTENT_TYPE, "application/gzip")
            .header(CONTENT_LENGTH, size)
            .body(Body::wrap_stream(chunks(file, progress)));
        self.json(request).await
    }
}

/// The bytes of a file; `progress` hears of those read so far.
pub(crate) fn chunks(
    file: File,
    progress: impl FnMut(u64) + Send + Sync + 'static,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static {
    try_unfold((file, progress, 0u64), |(mut file, mut progress, sent)| async move {
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES);
        let read = file.read_buf(&mut buffer).await?;
        let sent = sent + read as u64;
        progress(sent);
        Ok((read > 0).then(|| (buffer.freeze(), (file, progress, sent))))
    })
}
