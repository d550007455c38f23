//! Packages the SDK crates as `micro` hands them to services: a directory source for cargo, embedded by
//! `src/command/sdk.rs`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Each crate's folder, and the files and folders of it that a service compiles.
const CRATES: [(&str, &[&str]); 3] = [
    ("../rust", &["Cargo.toml", "src"]),
    ("../rust/macros", &["Cargo.toml", "src"]),
    ("../rust/build", &["Cargo.toml", "src"]),
];

/// The index that the SDK's crates and services name; it is replaced by the directory and never contacted.
const INDEX: &str = "sparse+https://sdk.micro.invalid/";

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?).join("sdk");
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    // Embedded by `src/command/new.rs`; cargo would not notice a change.
    println!("cargo::rerun-if-changed=../templates");
    for (folder, parts) in CRATES {
        let folder = Path::new(folder);
        let manifest = fs::read_to_string(folder.join("Cargo.toml"))?;
        let package = out.join(format!("{}-{}", field(&manifest, "name")?, field(&manifest, "version")?));
        for part in parts {
            println!("cargo::rerun-if-changed={}", folder.join(part).display());
            copy(&folder.join(part), &package.join(part))?;
        }
        fs::write(package.join("Cargo.toml"), packaged(&manifest)?)?;
        // The digest in the directory's own name guards the files; this one is what cargo asks for.
        fs::write(package.join(".cargo-checksum.json"), "{\"files\":{}}")?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    if !from.is_dir() {
        fs::create_dir_all(to.parent().ok_or("a file has a folder")?)?;
        fs::copy(from, to)?;
        return Ok(());
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The value of a `key = "value"` line.
fn field<'a>(manifest: &'a str, key: &str) -> Result<&'a str, String> {
    let found = manifest.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
    found.map(|value| value.trim().trim_matches('"')).ok_or_else(|| format!("an SDK crate without {key}"))
}

/// The manifest with dependencies by path turned into ones of the SDK's index, and without those of its own tests.
fn packaged(manifest: &str) -> Result<String, Box<dyn Error>> {
    let mut packaged = String::new();
    let mut of_tests = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            of_tests = line == "[dev-dependencies]";
        }
        if of_tests {
            continue;
        }
        match line.split_once(" = { path = \"") {
            Some((name, rest)) => {
                let path = rest.split('"').next().unwrap_or_default();
                let other = fs::read_to_string(Path::new("../rust").join(path).join("Cargo.toml"))?;
                let version = field(&other, "version")?;
                packaged.push_str(&format!(
                    "{name} = {{ version = \"{version}\", registry-index = \"{INDEX}\" }}"
                ));
            }
            None => packaged.push_str(line),
        }
        packaged.push('\n');
    }
    Ok(packaged)
}
