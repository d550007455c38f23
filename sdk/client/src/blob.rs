//! Blobs of services.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{Stream, StreamExt};
use micro_api::blob::{BlobUrl, Info, NewUrl, Put, Query};
use micro_api::routes::BLOBS;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use tokio::fs::File;
use url::Url;

use crate::upload::chunks;
use crate::{Client, Error, Result};

/// For the largest blob over a slow line.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(3_600);

impl Client {
    fn blob_object(&self, service: &str, key: &str) -> Url {
        let mut url = self.url(BLOBS, &["object"]);
        url.query_pairs_mut().append_pair("service", service).append_pair("key", key);
        url
    }

    /// Puts the file at `path` as a blob, over what was there.
    pub async fn blob_put(&self, put: &Put, path: &Path) -> Result<Info> {
        let unreadable = |source| Error::File { path: path.display().to_string(), source };
        let file = File::open(path).await.map_err(unreadable)?;
        let size = file.metadata().await.map_err(unreadable)?.len();
        let mut url = self.blob_object(&put.service, &put.key);
        {
            let mut pairs = url.query_pairs_mut();
            pairs.append_pair("content_type", &put.content_type);
            pairs.append_pair("public", if put.public { "true" } else { "false" });
            if let Some(digest) = &put.digest {
                pairs.append_pair("digest", digest);
            }
        }
        let request = self
            .request(Method::PUT, url)
            .timeout(TRANSFER_TIMEOUT)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size)
            .body(Body::wrap_stream(chunks(file, drop)));
        self.json(request).await
    }

    /// The bytes of a blob; 404 `not found`. The stream ends with an error where it breaks off.
    pub async fn blob_get(
        &self,
        service: &str,
        key: &str,
    ) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
        let request = self.request(Method::GET, self.blob_object(service, key)).timeout(TRANSFER_TIMEOUT);
        let response = self.send(request).await?;
        let client = self.clone();
        Ok(response.bytes_stream().map(move |chunk| chunk.map_err(|error| client.broken(&error))))
    }

    /// Where the gateway answers a blob; 404 `not found`.
    pub async fn blob_url(&self, new: &NewUrl) -> Result<BlobUrl> {
        self.json(self.request(Method::POST, self.url(BLOBS, &["url"])).json(new)).await
    }

    /// Deletes a blob; a missing one is no error.
    pub async fn blob_delete(&self, service: &str, key: &str) -> Result<()> {
        self.body(self.request(Method::DELETE, self.blob_object(service, key))).await.map(drop)
    }

    /// One page of a service's blobs, in key order.
    pub async fn blob_list(&self, query: &Query) -> Result<Vec<Info>> {
        let mut url = self.url(BLOBS, &[]);
        {
            let mut pairs = url.query_pairs_mut();
            pairs.append_pair("service", &query.service).append_pair("prefix", &query.prefix);
            if let Some(after) = &query.after {
                pairs.append_pair("after", after);
            }
            if let Some(limit) = query.limit {
                pairs.append_pair("limit", &limit.to_string());
            }
        }
        self.get(url).await
    }
}
