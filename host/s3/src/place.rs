//! Which bucket, and as whom.

use std::fmt;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{BackoffConfig, RetryConfig};
use url::Url;

use crate::Http;

/// How a bucket is named.
const FORM: &str = "write s3://bucket/prefix?endpoint=https://host:port&region=name";
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);
/// How long one try of a call may take, and how long it is tried again.
const TRY: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_secs(60);
/// How often a call that may be made twice is made again.
const RETRIES: usize = 5;

/// The id of an access key, and its secret.
#[derive(Clone, Default)]
pub struct AccessKey {
    /// The id.
    pub id: String,
    /// The secret.
    pub secret: String,
}

impl AccessKey {
    /// That of `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`; empty where they are not set.
    pub fn from_env() -> Self {
        let read = |name: &str| std::env::var(name).unwrap_or_default();
        Self { id: read("AWS_ACCESS_KEY_ID"), secret: read("AWS_SECRET_ACCESS_KEY") }
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("AccessKey")
    }
}

/// A bucket, or a part of one.
#[derive(Debug, Clone)]
pub struct Place {
    /// `https://host:port`, or `http://…` on a network that nobody else reads; none: Amazon's of the region.
    pub endpoint: Option<String>,
    /// The bucket, which must be there.
    pub bucket: String,
    /// `us-east-1` and the like; other servers than Amazon's mostly take any.
    pub region: String,
    /// What all names begin with, without slashes around it; may be empty.
    pub prefix: String,
    /// As whom.
    pub access_key: AccessKey,
}

impl Place {
    /// `s3://bucket/prefix?endpoint=http://host:port&region=us-east-1`; all but the bucket may be left out, and
    /// `AWS_ENDPOINT_URL` and `AWS_REGION` say the rest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_env(text: &str) -> Result<Self, String> {
        let mut place = Self::parse(text, AccessKey::from_env())?;
        let read = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        place.endpoint = place.endpoint.or_else(|| read("AWS_ENDPOINT_URL"));
        if place.region.is_empty() {
            place.region = read("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned());
        }
        Ok(place)
    }

    /// As [`Place::from_env`], with nothing of the environment.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, access_key: AccessKey) -> Result<Self, String> {
        let url = Url::parse(text).ok().filter(|url| url.scheme() == "s3").ok_or(FORM)?;
        let bucket = url.host_str().filter(|host| !host.is_empty()).ok_or(FORM)?.to_owned();
        let prefix = url.path().trim_matches('/').to_owned();
        let (mut endpoint, mut region) = (None, String::new());
        for (key, value) in url.query_pairs() {
            match key.as_ref() {
                "endpoint" if value.starts_with("http://") || value.starts_with("https://") => {
                    endpoint = Some(value.into_owned());
                }
                "region" => region = value.into_owned(),
                _ => return Err(format!("`{key}={value}` is not understood: {FORM}")),
            }
        }
        if access_key.id.is_empty() || access_key.secret.is_empty() {
            return Err("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned());
        }
        Ok(Self { endpoint, bucket, region, prefix, access_key })
    }

    /// Ready for calls; none is made yet.
    ///
    /// # Errors
    /// The text is for whoever chose the place.
    pub fn connect(&self) -> Result<AmazonS3, String> {
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        };
        let region = if self.region.is_empty() { "us-east-1" } else { &self.region };
        let mut builder = AmazonS3Builder::new()
            .with_allow_http(true)
            .with_bucket_name(&self.bucket)
            .with_region(region)
            .with_access_key_id(&self.access_key.id)
            .with_secret_access_key(&self.access_key.secret)
            .with_http_connector(Http::new(CONNECT, TRY)?)
            .with_disable_bulk_delete(true)
            .with_disable_tagging(true)
            .with_retry(RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY });
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        builder.build().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AccessKey {
        AccessKey { id: "id".to_owned(), secret: "secret".to_owned() }
    }

    #[test]
    fn a_bucket_is_named_by_a_url() {
        let all = "s3://bucket/a/b/?endpoint=http://127.0.0.1:9000&region=here";
        let place = Place::parse(all, key()).unwrap();
        assert_eq!((place.bucket.as_str(), place.prefix.as_str()), ("bucket", "a/b"));
        assert_eq!(
            (place.endpoint.as_deref(), place.region.as_str()),
            (Some("http://127.0.0.1:9000"), "here")
        );
        assert!(!format!("{place:?}").contains("secret"));
        let short = Place::parse("s3://bucket", key()).unwrap();
        assert_eq!((short.prefix.as_str(), short.endpoint), ("", None));
        for wrong in ["", "bucket", "http://bucket", "s3:///a", "s3://b?endpoint=ftp://x", "s3://b?regoin=x"]
        {
            assert!(Place::parse(wrong, key()).is_err(), "{wrong}");
        }
        assert!(Place::parse("s3://b", AccessKey::default()).unwrap_err().contains("AWS_ACCESS_KEY_ID"));
    }

    #[test]
    fn a_place_is_connected_to_without_a_call() {
        Place::parse("s3://bucket?endpoint=http://127.0.0.1:1", key()).unwrap().connect().unwrap();
    }
}
