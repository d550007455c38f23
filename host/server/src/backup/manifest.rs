//! What a backup says of itself.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use micro_api::Namespace;
use micro_artifact::Digest;
use micro_auth::{MasterKey, Sealer};
use serde::{Deserialize, Serialize};

use super::{ARTIFACT_KEY, ARTIFACTS, CONTROL, STORE, UPLOADS};

/// The form of the archive.
const FORMAT: u32 = 1;
/// What the manifest's proof is sealed as.
const PROOF: &str = "backup.manifest";
/// A manifest of some hundred thousand artifacts.
pub(super) const BYTES_MAX: u64 = 64 << 20;

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    format: u32,
    /// The version of micro that wrote it.
    micro: String,
    /// When the control data was as it is here.
    pub(super) created_ms: i64,
    /// The kind of the database that the control data comes from. It may go into either.
    database: String,
    /// The number of the schema's last step.
    pub(super) schema: i64,
    pub(super) master_key: MasterKeyNote,
    pub(super) files: Vec<File>,
    /// The digest of all the rest, sealed by the master key: who does not have it cannot pass a changed backup off as
    /// ours. None where the key was not at hand.
    proof: Option<String>,
}

/// What is known of the master key, which is not in the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MasterKeyNote {
    /// Names the key and gives nothing of it away. None where nothing is sealed.
    pub(super) id: Option<String>,
    /// Where the platform had it.
    pub(super) kept_in: String,
    note: String,
}

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) bytes: u64,
    /// 64 hex digits.
    pub(super) sha256: String,
}

/// What a file of the archive is, by its path. Nothing else may be in an archive, so no path leads out of the folder
/// that it is unpacked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Table(String),
    Store,
    Artifact(Digest),
    Upload,
    ArtifactKey,
}

impl Part {
    pub(super) fn parse(path: &str) -> Option<Self> {
        if path == ARTIFACT_KEY {
            return Some(Self::ArtifactKey);
        }
        let (folder, name) = path.split_once('/')?;
        match folder {
            CONTROL => {
                let table = name.strip_suffix(".jsonl")?;
                let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
                (!table.is_empty() && table.bytes().all(plain)).then(|| Self::Table(table.to_owned()))
            }
            // One of the store's own has an underscore, which no namespace has.
            STORE => {
                let name = name.strip_suffix(".db")?;
                name.strip_prefix('_').unwrap_or(name).parse::<Namespace>().ok().map(|_| Self::Store)
            }
            ARTIFACTS => Digest::from_hex(name).ok().map(Self::Artifact),
            UPLOADS => {
                let id = name.strip_suffix(".tar.gz")?;
                let parsed = uuid::Uuid::try_parse(id).ok()?;
                (parsed.hyphenated().to_string() == id).then_some(Self::Upload)
            }
            _ => None,
        }
    }
}

impl File {
    pub(super) fn new(path: String, bytes: u64, digest: &Digest) -> Self {
        Self { path, bytes, sha256: digest.hex() }
    }

    pub(super) fn digest(&self) -> Result<Digest> {
        Digest::from_hex(&self.sha256).with_context(|| format!("read the digest of {}", self.path))
    }
}

impl Manifest {
    pub(super) fn new(
        created_ms: i64,
        database: &str,
        schema: i64,
        key: Option<String>,
        kept_in: String,
    ) -> Self {
        let id = key.as_deref().unwrap_or("of the platform");
        let note = format!(
            "The master key {id} is not in this backup. Keep a copy of it elsewhere. Before the first start of a \
             restored platform put it at <data>/master.key (mode 0600), or name it with --master_key_file or \
             MICRO_MASTER_KEY."
        );
        Self {
            format: FORMAT,
            micro: env!("CARGO_PKG_VERSION").to_owned(),
            created_ms,
            database: database.to_owned(),
            schema,
            master_key: MasterKeyNote { id: key, kept_in, note },
            files: Vec::new(),
            proof: None,
        }
    }

    /// Adds the proof.
    pub(super) fn prove(&mut self, key: &MasterKey) -> Result<()> {
        let digest = self.digest()?;
        self.proof = Some(Sealer::new(key.clone(), Vec::new()).seal(PROOF, digest.as_bytes()));
        Ok(())
    }

    pub(super) fn is_proved(&self) -> bool {
        self.proof.is_some()
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).context("encode the manifest")
    }

    /// Reads a manifest that can be restored by this version.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let form: Form = serde_json::from_slice(bytes).context("read the manifest")?;
        if form.format != FORMAT {
            bail!(
                "the backup has form {}, and this version of micro reads form {FORMAT}: use the version that wrote it",
                form.format
            );
        }
        let manifest: Self = serde_json::from_slice(bytes).context("read the manifest")?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        for file in &self.files {
            let Some(part) = Part::parse(&file.path) else {
                bail!("the backup lists `{}`, which no platform has", file.path);
            };
            ensure!(seen.insert(&file.path), "the backup lists {} twice", file.path);
            let digest = file.digest()?;
            if let Part::Artifact(named) = part {
                ensure!(named == digest, "the backup lists {} with another digest than its name", file.path);
            }
        }
        ensure!(seen.iter().any(|path| *path == ARTIFACT_KEY), "the backup lists no {ARTIFACT_KEY}");
        Ok(())
    }

    /// Compares `key` with the one that the backup was made under.
    pub(super) fn check_key(&self, key: &MasterKey) -> Result<()> {
        if let Some(id) = self.master_key.id.as_deref().filter(|id| *id != key.id()) {
            bail!(
                "the backup needs the master key {id}, and the one given is {}: name the right one with \
                 --master_key_file or MICRO_MASTER_KEY",
                key.id()
            );
        }
        let Some(proof) = &self.proof else { return Ok(()) };
        let own = self.digest()?;
        let opened = Sealer::new(key.clone(), Vec::new()).open(PROOF, proof);
        let genuine = opened.is_ok_and(|digest| digest.as_slice() == own.as_bytes());
        ensure!(
            genuine,
            "the backup was changed after it was made: its manifest is not the one that was written"
        );
        Ok(())
    }

    /// Of everything but the proof.
    fn digest(&self) -> Result<Digest> {
        let unproved = Self { proof: None, ..self.clone() };
        Ok(Digest::of(&serde_json::to_vec(&unproved).context("encode the manifest")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_platform_has_has_a_place() {
        let hex = "0".repeat(64);
        for path in [
            "control/people.jsonl",
            "store/jane-1.db",
            "store/_expiries.db",
            &format!("artifacts/{hex}"),
            "uploads/0193e2ad-0000-7000-8000-000000000000.tar.gz",
            "artifact.key",
        ] {
            assert!(Part::parse(path).is_some(), "{path}");
        }
        for path in [
            "",
            "/etc/passwd",
            "..",
            "../x",
            "master.key",
            "control/../x.jsonl",
            "control/.jsonl",
            "control/people.jsonl/",
            "control//people.jsonl",
            "./artifact.key",
            "store/../jane.db",
            "store/a/b.db",
            "store/.db",
            "store/jane.db-wal",
            "artifacts/../artifacts/00",
            &format!("artifacts/{}", "A".repeat(64)),
            "uploads/x.tar.gz",
            "uploads/0193e2ad000070008000000000000000.tar.gz",
        ] {
            assert_eq!(Part::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_manifest_is_proved_by_its_key_alone() {
        let (key, other) = (MasterKey::generate(), MasterKey::generate());
        let mut manifest = Manifest::new(1, "sqlite", 4, Some(key.id().to_owned()), "/k".to_owned());
        manifest.files.push(File::new("artifact.key".to_owned(), 4, &Digest::of(b"four")));
        manifest.prove(&key).unwrap();
        let mut read = Manifest::read(&manifest.to_bytes().unwrap()).unwrap();
        assert_eq!(read, manifest);
        read.check_key(&key).unwrap();
        let wrong = read.check_key(&other).unwrap_err().to_string();
        assert!(wrong.contains(key.id()) && wrong.contains(other.id()), "{wrong}");
        read.files[0] = File::new("artifact.key".to_owned(), 4, &Digest::of(b"evil"));
        assert!(read.check_key(&key).unwrap_err().to_string().contains("was changed"));
    }

    #[test]
    fn another_form_is_named() {
        let error = Manifest::read(br#"{"format": 2, "later": true}"#).unwrap_err().to_string();
        assert!(error.contains("form 2"), "{error}");
        assert!(Manifest::read(b"{").is_err());
    }
}
