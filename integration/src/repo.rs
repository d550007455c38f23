//! Git repositories, made on the spot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A repository with a work tree.
#[derive(Debug, Clone)]
pub struct Repo {
    dir: PathBuf,
}

impl Repo {
    /// An empty repository on the branch `main`.
    pub fn init(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        let repo = Self { dir: dir.to_owned() };
        repo.git(&["init", "--quiet", "--initial-branch", "main"])?;
        repo.git(&["config", "uploadpack.allowAnySHA1InWant", "true"])?;
        Ok(repo)
    }

    /// A repository with a copy of `folder` in its root, committed.
    pub fn with_folder(dir: &Path, folder: &Path) -> Result<Self> {
        let repo = Self::init(dir)?;
        copy(folder, dir)?;
        repo.commit("Start")?;
        Ok(repo)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `file://…`
    pub fn url(&self) -> String {
        format!("file://{}", self.dir.display())
    }

    /// Writes one file; folders are made as needed.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let file = self.dir.join(path);
        fs::create_dir_all(file.parent().unwrap_or(&self.dir))
            .with_context(|| format!("make the folder of {path}"))?;
        fs::write(&file, content).with_context(|| format!("write {path}"))
    }

    /// Replaces text in one file; the text must be there.
    pub fn edit(&self, path: &str, from: &str, to: &str) -> Result<()> {
        let file = self.dir.join(path);
        let text = fs::read_to_string(&file).with_context(|| format!("read {path}"))?;
        if !text.contains(from) {
            bail!("{path} does not contain {from:?}");
        }
        fs::write(&file, text.replace(from, to)).with_context(|| format!("write {path}"))
    }

    /// Commits everything and returns the commit's id.
    pub fn commit(&self, message: &str) -> Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message])?;
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Runs git here.
    pub fn git(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(&self.dir)
            .args(["-c", "user.name=test", "-c", "user.email=test@localhost"])
            .args(words);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
        let output = command.output().with_context(|| format!("start git {words:?}"))?;
        if !output.status.success() {
            bail!("git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        String::from_utf8(output.stdout).context("read git's output")
    }
}

/// Copies a folder without what a build left there.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let path = entry.with_context(|| format!("list {}", from.display()))?.path();
        let name = path.file_name().unwrap_or_default();
        if name == "target" || name == ".micro" || name == ".git" {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name)).with_context(|| format!("copy {}", path.display()))?;
        }
    }
    Ok(())
}

/// A folder of the checkout.
pub fn checkout(folder: &str) -> PathBuf {
    // As cargo or the shell say it now: checkouts that share a target folder share this program too.
    let start =
        std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).or_else(|| std::env::current_dir().ok());
    let start = start.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let root = start.ancestors().find(|folder| folder.join("ARCHITECTURE.md").is_file());
    root.unwrap_or_else(|| Path::new(".")).join(folder)
}
