//! Where an export lies: a file, the standard streams, or an object in S3.

mod s3;

use std::convert::Infallible;
use std::fmt;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use object_store::buffered::BufWriter;
use tempfile::NamedTempFile;
use tokio::fs::File;
use tokio::io::{self, AsyncRead, AsyncSeekExt, AsyncWrite, AsyncWriteExt, BufReader};

/// Bytes that are read or written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Where an export goes or comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// `-`
    Standard,
    File(PathBuf),
    /// `s3://bucket/key`
    S3(s3::Object),
}

impl FromStr for Place {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "-" {
            return Ok(Self::Standard);
        }
        match text.strip_prefix("s3://") {
            Some(rest) => rest.parse().map(Self::S3),
            None => text.parse().map(Self::File).map_err(|never: Infallible| match never {}),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard => f.write_str("the export"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::S3(object) => object.fmt(f),
        }
    }
}

/// An export that can be read twice.
pub(super) struct Source(File);

impl Source {
    /// Opens it. What can be read only once is put into a temporary file first: a file that is cut off must be known
    /// before anything of it is written.
    pub(super) async fn open(place: &Place) -> Result<Self> {
        let unread = || format!("cannot read {place}");
        match place {
            Place::File(path) => {
                let file = File::open(path).await.with_context(unread)?;
                match file.metadata().await.with_context(unread)?.is_file() {
                    true => Ok(Self(file)),
                    false => Self::copied(file).await.with_context(unread),
                }
            }
            Place::Standard => Self::copied(io::stdin()).await.with_context(unread),
            Place::S3(object) => Self::copied(object.read().await?).await.with_context(unread),
        }
    }

    async fn copied(mut from: impl AsyncRead + Unpin) -> io::Result<Self> {
        let mut file = File::from_std(tempfile::tempfile()?);
        io::copy(&mut from, &mut file).await?;
        file.flush().await?;
        Ok(Self(file))
    }

    /// All of it, from the beginning.
    pub(super) async fn rewound(&mut self) -> io::Result<BufReader<&mut File>> {
        self.0.seek(SeekFrom::Start(0)).await?;
        Ok(BufReader::with_capacity(BUFFER_BYTES, &mut self.0))
    }
}

/// An export that is being written. Unless it is finished there is nothing new at its place.
pub(super) enum Destination {
    Standard,
    File { temporary: NamedTempFile, path: PathBuf },
    S3(BufWriter),
}

impl Destination {
    pub(super) fn open(place: &Place) -> Result<Self> {
        Ok(match place {
            Place::Standard => Self::Standard,
            Place::File(path) => {
                let folder =
                    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or_else(|| Path::new("."));
                let temporary =
                    NamedTempFile::new_in(folder).with_context(|| format!("cannot write {place}"))?;
                Self::File { temporary, path: path.clone() }
            }
            Place::S3(object) => Self::S3(object.writer()?),
        })
    }

    /// What to write to, once.
    pub(super) fn stream(&mut self) -> io::Result<Box<dyn AsyncWrite + Unpin + '_>> {
        Ok(match self {
            Self::Standard => Box::new(io::BufWriter::with_capacity(BUFFER_BYTES, io::stdout())),
            Self::File { temporary, .. } => {
                let file = File::from_std(temporary.as_file().try_clone()?);
                Box::new(io::BufWriter::with_capacity(BUFFER_BYTES, file))
            }
            Self::S3(writer) => Box::new(writer),
        })
    }

    /// Makes it visible and durable.
    pub(super) async fn finish(self, place: &Place) -> Result<()> {
        let unwritten = || format!("cannot write {place}");
        match self {
            Self::Standard => Ok(()),
            Self::File { temporary, path } => {
                temporary.as_file().sync_all().with_context(unwritten)?;
                temporary.persist(path).with_context(unwritten)?;
                Ok(())
            }
            Self::S3(mut writer) => writer.shutdown().await.with_context(unwritten),
        }
    }

    /// Leaves nothing of it.
    pub(super) async fn abandon(self) {
        if let Self::S3(mut writer) = self {
            // What cannot be removed now is removed by the bucket's rule for unfinished uploads.
            writer.abort().await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        assert_eq!("-".parse(), Ok(Place::Standard));
        assert_eq!("./-".parse(), Ok(Place::File("./-".into())));
        let object: Place = "s3://bucket/a/b.jsonl".parse().unwrap();
        assert_eq!(object.to_string(), "s3://bucket/a/b.jsonl");
        for wrong in ["s3://", "s3://bucket", "s3://bucket/", "s3:///key", "s3://b/a//b"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
