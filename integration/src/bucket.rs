//! Buckets for platforms that keep their blobs on S3.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// `http://KEY:SECRET@HOST:PORT` of the server that `cargo xtask test` started.
const SERVER: &str = "MICRO_TEST_S3";

/// An empty bucket. It goes with the server.
#[derive(Debug, Clone)]
pub struct Bucket {
    address: String,
    name: String,
    key: String,
    secret: String,
}

impl Bucket {
    /// Makes one; `None` without a server.
    pub fn create() -> Result<Option<Self>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var(SERVER) else { return Ok(None) };
        let rest = server.strip_prefix("http://").context("a server by HTTP")?;
        let (login, host) = rest.split_once('@').context("an access key")?;
        let (key, secret) = login.split_once(':').context("its secret")?;
        let bucket = Self {
            address: format!("http://{host}"),
            name: format!("micro-it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)),
            key: key.to_owned(),
            secret: secret.to_owned(),
        };
        let made = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--fail",
                "--aws-sigv4",
                "aws:amz:us-east-1:s3",
                "--user",
                login,
            ])
            .args(["--request", "PUT", &format!("{}/{}", bucket.address, bucket.name)])
            .output()
            .context("start curl")?;
        if !made.status.success() {
            bail!("make the bucket {}: {}", bucket.name, String::from_utf8_lossy(&made.stderr));
        }
        Ok(Some(bucket))
    }

    /// Its name, which no other has.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `host:port` of the server.
    pub fn host(&self) -> &str {
        self.address.trim_start_matches("http://")
    }

    /// The same bucket by another address.
    pub fn by(&self, address: SocketAddr) -> Self {
        Self { address: format!("http://{address}"), ..self.clone() }
    }

    /// The flags of a server that keeps blobs here.
    pub fn flags(&self) -> Vec<String> {
        let (address, name) = (&self.address, &self.name);
        vec!["--blob=s3".to_owned(), format!("--blob_address={address}"), format!("--blob_bucket={name}")]
    }

    /// Where a server shares artifacts with others, below `prefix`.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}?endpoint={}", self.name, self.address)
    }

    /// The variables of such a server.
    pub fn env(&self) -> Vec<(String, String)> {
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        vec![variable("AWS_ACCESS_KEY_ID", &self.key), variable("AWS_SECRET_ACCESS_KEY", &self.secret)]
    }
}
