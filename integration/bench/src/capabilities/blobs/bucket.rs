//! Objects in a bucket, by object_store alone over the HTTP client that ours has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use http::{Method, Request};
use micro_capability::blob::S3Config;
use micro_s3::{AccessKey, Http, Place};
use object_store::aws::{AmazonS3, AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequestBody, HttpService};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::capabilities::floor::Floor;
use crate::capabilities::looper::key;

const REGION: &str = "us-east-1";

/// The server that `cargo xtask bench` started.
pub(super) fn url() -> Option<String> {
    std::env::var("MICRO_TEST_S3").ok()
}

/// The object of a key, its length and its digest.
#[derive(Clone)]
struct Object {
    path: Path,
    length: u64,
    digest: [u8; 32],
}

/// A bucket of one measurement; it goes with the server.
#[derive(Clone)]
pub(super) struct Bucket(Arc<Inner>);

struct Inner {
    config: S3Config,
    store: AmazonS3,
    named: Mutex<HashMap<String, Object>>,
}

impl Bucket {
    pub(super) async fn make(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("http://").context("MICRO_TEST_S3 is no http:// URL")?;
        let (known, host) = rest.split_once('@').context("MICRO_TEST_S3 has no key")?;
        let (id, secret) = known.split_once(':').context("MICRO_TEST_S3 has no secret")?;
        let (address, name) =
            (format!("http://{}", host.trim_end_matches('/')), format!("bench{}", Uuid::new_v4().simple()));
        let config = S3Config {
            key: id.to_owned(),
            secret: secret.to_owned(),
            owner: "bench".to_owned(),
            ..S3Config::new(&address, &name)
        };
        make(&config).await?;
        let place = Place {
            endpoint: Some(address),
            bucket: name,
            region: REGION.to_owned(),
            prefix: String::new(),
            access_key: AccessKey { id: id.to_owned(), secret: secret.to_owned() },
        };
        let store = place.connect().map_err(|error| anyhow!("connect to S3: {error}"))?;
        Ok(Self(Arc::new(Inner { config, store, named: Mutex::default() })))
    }

    /// The same bucket for our backend.
    pub(super) fn config(&self) -> &S3Config {
        &self.0.config
    }

    pub(super) async fn put(&self, key: String, bytes: Bytes) -> Result<()> {
        let path = Path::from(format!("native/{}", Uuid::new_v4().simple()));
        let (length, digest) = (bytes.len() as u64, Sha256::digest(&bytes).into());
        self.0.store.put(&path, bytes.into()).await?;
        let replaced = self.named().insert(key, Object { path, length, digest });
        if let Some(replaced) = replaced {
            self.0.store.delete(&replaced.path).await?;
        }
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<()> {
        let object = self.named().get(key).cloned().context("a key is missing")?;
        let range = Some(GetRange::Bounded(0..object.length));
        let options = GetOptions { range, ..GetOptions::default() };
        let bytes = self.0.store.get_opts(&object.path, options).await?.bytes().await?;
        let found: [u8; 32] = Sha256::digest(&bytes).into();
        ensure!(found == object.digest, "an object is damaged");
        Ok(())
    }

    fn named(&self) -> std::sync::MutexGuard<'_, HashMap<String, Object>> {
        self.0.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn putting(&self, whole: Bytes, keys: u64) -> Floor {
        let bucket = self.clone();
        Floor::new(move |number| {
            // A guest's bytes are copied out of its memory; the floor's are made anew, too.
            let (bucket, bytes) = (bucket.clone(), Bytes::copy_from_slice(&whole));
            async move { bucket.put(key(number, keys), bytes).await }
        })
    }

    pub(super) fn getting(&self, keys: u64) -> Floor {
        let bucket = self.clone();
        Floor::new(move |number| {
            let bucket = bucket.clone();
            async move { bucket.get(&key(number, keys)).await }
        })
    }
}

/// Makes the bucket, which the library cannot.
async fn make(config: &S3Config) -> Result<()> {
    let url = format!("{}/{}", config.address, config.bucket);
    let mut request = Request::builder().method(Method::PUT).uri(url).body(HttpRequestBody::empty())?;
    let credential =
        AwsCredential { key_id: config.key.clone(), secret_key: config.secret.clone(), token: None };
    AwsAuthorizer::new(&credential, "s3", REGION).try_authorize(&mut request, None)?;
    let wait = Duration::from_secs(30);
    let http = Http::new(wait, wait).map_err(|error| anyhow!("connect to S3: {error}"))?;
    let answer = http.call(request).await?;
    ensure!(answer.status().is_success(), "make a bucket: {}", answer.status());
    Ok(())
}
