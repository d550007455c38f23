//! Where blobs are kept.

use anyhow::{Result, bail};
use micro_capability::blob::{S3Checksum, S3Config};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BlobOptions {
    /// Where the bytes of blobs are kept: `folder`, in `<data>/blobs`, or `s3`.
    #[arg(long, env = "MICRO_BLOB", default_value = "folder")]
    pub(crate) blob: String,
    /// Where the server of S3 is: `https://s3.example.com`. Default: that of AWS for the region.
    #[arg(long = "blob_address", alias = "blob-address", env = "MICRO_BLOB_ADDRESS")]
    blob_address: Option<String>,
    /// The bucket, which must be there.
    #[arg(long = "blob_bucket", alias = "blob-bucket", env = "MICRO_BLOB_BUCKET")]
    blob_bucket: Option<String>,
    /// What the server calls its region.
    #[arg(
        long = "blob_region",
        alias = "blob-region",
        env = "MICRO_BLOB_REGION",
        default_value = "us-east-1"
    )]
    blob_region: String,
    /// What the names of objects begin with: platforms that share a bucket have one each.
    #[arg(long = "blob_prefix", alias = "blob-prefix", env = "MICRO_BLOB_PREFIX", default_value = "micro")]
    blob_prefix: String,
    /// What the server is given to check what arrives: `when_required`, the signature, or also `sha256`.
    #[arg(
        long = "blob_checksum",
        alias = "blob-checksum",
        env = "MICRO_BLOB_CHECKSUM",
        default_value = "when_required"
    )]
    blob_checksum: String,
    /// Calls to the server of S3 at once.
    #[arg(
        long = "blob_calls",
        alias = "blob-calls",
        env = "MICRO_BLOB_CALLS",
        default_value_t = 64,
        value_parser = clap::value_parser!(u16).range(1..=1_000)
    )]
    blob_calls: u16,
    /// Id of the access key; only from the environment, as its secret. Default: `AWS_ACCESS_KEY_ID`.
    #[arg(env = "MICRO_BLOB_KEY", long = "blob_key", hide = true, hide_env_values = true)]
    blob_key: Option<String>,
    /// Secret of the access key; only from the environment, so that no list of processes shows it. Default:
    /// `AWS_SECRET_ACCESS_KEY`.
    #[arg(env = "MICRO_BLOB_SECRET", long = "blob_secret", hide = true, hide_env_values = true)]
    blob_secret: Option<String>,
    /// As other programs name it.
    #[arg(env = "AWS_ACCESS_KEY_ID", long = "aws_access_key_id", hide = true, hide_env_values = true)]
    aws_access_key_id: Option<String>,
    /// As other programs name it.
    #[arg(
        env = "AWS_SECRET_ACCESS_KEY",
        long = "aws_secret_access_key",
        hide = true,
        hide_env_values = true
    )]
    aws_secret_access_key: Option<String>,
}

impl BlobOptions {
    /// What cannot work, before anything is opened.
    pub(super) fn check(&self) -> Result<()> {
        match self.blob.as_str() {
            "folder" if self.blob_address.is_none() && self.blob_bucket.is_none() => Ok(()),
            "folder" => bail!(
                "--blob_address and --blob_bucket name a bucket, and --blob folder has none: choose --blob s3"
            ),
            "s3" => self.s3().map(drop),
            other => bail!("--blob {other}: choose folder or s3"),
        }
    }

    /// The bucket, for `--blob s3`.
    pub(crate) fn s3(&self) -> Result<S3Config> {
        let Some(bucket) = &self.blob_bucket else { bail!("--blob s3: say which bucket with --blob_bucket") };
        let aws = || format!("https://s3.{}.amazonaws.com", self.blob_region);
        let address = self.blob_address.clone().unwrap_or_else(aws);
        if !address.starts_with("https://") && !address.starts_with("http://") {
            bail!("--blob s3: say where with --blob_address https://s3.example.com");
        }
        let checksum = match self.blob_checksum.as_str() {
            "when_required" => S3Checksum::WhenRequired,
            "sha256" => S3Checksum::Sha256,
            other => bail!("--blob_checksum {other}: choose when_required or sha256"),
        };
        // A key of the one name does not go with a secret of the other.
        let own = given(&self.blob_key).zip(given(&self.blob_secret));
        let aws = given(&self.aws_access_key_id).zip(given(&self.aws_secret_access_key));
        let Some((key, secret)) = own.or(aws) else {
            bail!(
                "--blob s3: set MICRO_BLOB_KEY and MICRO_BLOB_SECRET (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
            )
        };
        Ok(S3Config {
            region: self.blob_region.clone(),
            prefix: self.blob_prefix.clone(),
            key: key.to_owned(),
            secret: secret.to_owned(),
            checksum,
            calls_max: usize::from(self.blob_calls),
            ..S3Config::new(address, bucket)
        })
    }
}

/// A variable that is empty says nothing.
fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::tests::options;

    #[test]
    fn blobs_in_a_bucket_have_all_that_it_takes() {
        let check = |extra: &[&str]| options(extra).check().map_err(|error| error.to_string());
        let key = ["--blob_key=id", "--blob_secret=hidden"];
        let with = |extra: &[&str]| check(&[extra, &key].concat());
        assert_eq!((options(&[]).blob.blob.as_str(), check(&[])), ("folder", Ok(())));
        assert_eq!(check(&["--blob", "ftp"]).unwrap_err(), "--blob ftp: choose folder or s3");
        assert!(check(&["--blob_bucket", "b"]).unwrap_err().contains("choose --blob s3"));
        assert!(with(&["--blob", "s3"]).unwrap_err().contains("say which bucket with --blob_bucket"));
        let bucket = ["--blob", "s3", "--blob_bucket", "b"];
        assert_eq!(with(&bucket), Ok(()));
        let wrong = with(&[&bucket[..], &["--blob-address", "ftp://:hidden@x"]].concat()).unwrap_err();
        assert!(wrong.contains("say where") && !wrong.contains("hidden"), "{wrong}");
        assert!(with(&[&bucket[..], &["--blob_checksum", "md5"]].concat()).unwrap_err().contains("sha256"));
        // Whatever the environment of the test has.
        let halves =
            ["--blob_key=id", "--blob_secret=", "--aws_access_key_id=", "--aws_secret_access_key=hidden"];
        let missing = check(&[&bucket[..], &halves].concat());
        assert!(missing.unwrap_err().contains("set MICRO_BLOB_KEY and MICRO_BLOB_SECRET"));
    }

    #[test]
    fn a_bucket_without_an_address_is_one_of_aws() {
        let key = ["--blob_key=", "--aws_access_key_id=id", "--aws_secret_access_key=hidden"];
        let bucket = ["--blob", "s3", "--blob_bucket", "b", "--blob_region=eu-west-3"];
        let config = options(&[&bucket[..], &key].concat()).blob.s3().unwrap();
        assert_eq!(config.address, "https://s3.eu-west-3.amazonaws.com");
        assert_eq!((config.key.as_str(), config.secret.as_str(), config.calls_max), ("id", "hidden", 64));
        assert!(!format!("{config:?}").contains("hidden"));
    }
}
