//! For the `build.rs` of a service: makes Rust from its `.proto` files by calling `micro proto`, and embeds files.
//!
//! ```no_run
//! micro_sdk_build::Proto::new().service("proto/helloworld.proto").generate();
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::{env, fs};

/// The `.proto` files of a service.
#[derive(Debug, Default)]
pub struct Proto {
    services: Vec<PathBuf>,
    clients: Vec<PathBuf>,
}

impl Proto {
    /// No files yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A file whose services the crate exports.
    #[must_use]
    pub fn service(mut self, file: impl Into<PathBuf>) -> Self {
        self.services.push(file.into());
        self
    }

    /// A file of services that the crate calls.
    #[must_use]
    pub fn client(mut self, file: impl Into<PathBuf>) -> Self {
        self.clients.push(file.into());
        self
    }

    /// Writes the Rust files to `OUT_DIR`, where `micro_sdk::include_proto!` finds them.
    ///
    /// Runs the program named by the environment variable `MICRO`, else `micro`. When it cannot, it says why on stderr
    /// and ends the build script with an error.
    pub fn generate(self) {
        println!("cargo::rerun-if-env-changed=MICRO");
        for file in self.services.iter().chain(&self.clients) {
            println!("cargo::rerun-if-changed={}", file.display());
            if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                println!("cargo::rerun-if-changed={}", folder.display());
            }
        }
        let Some(out) = env::var_os("OUT_DIR") else {
            fail("OUT_DIR is not set: call this from a build script")
        };
        let micro = env::var_os("MICRO").unwrap_or_else(|| OsString::from("micro"));
        let mut command = Command::new(&micro);
        command.arg("proto").arg("--out").arg(out);
        for client in self.clients {
            command.arg("--client").arg(client);
        }
        match command.args(self.services).status() {
            Ok(status) if status.success() => {}
            Ok(status) => fail(&format!("`micro proto` failed: {status}")),
            Err(error) => fail(&format!(
                "cannot run `{}`: {error}. Install `micro`, or set MICRO to where it is.",
                micro.display()
            )),
        }
    }
}

/// Embeds all files of a folder, for `micro_sdk::embedded!` with the folder's name. Links and hidden files are left out.
/// A web service serves the folder `html` without being told.
///
/// When a file cannot be read, it says so on stderr and ends the build script with an error.
pub fn embed(folder: impl AsRef<Path>) {
    let folder = folder.as_ref();
    println!("cargo::rerun-if-changed={}", folder.display());
    let (Some(out), Some(name)) = (env::var_os("OUT_DIR"), folder.file_name()) else {
        fail("call this from a build script, with a folder that has a name")
    };
    // A constant, since the list outlives the function that it stands in.
    let mut source = String::from("const { &[");
    if let Err(error) = collect(folder, "", &mut source) {
        fail(&format!("embedding {}: {error}", folder.display()));
    }
    source.push_str("] }");
    let path = Path::new(&out).join(name).with_added_extension("rs");
    if let Err(error) = fs::write(&path, source) {
        fail(&format!("writing {}: {error}", path.display()));
    }
    if name == "html" {
        // Read by `micro_sdk::web!`.
        println!("cargo::rustc-env=MICRO_EMBEDDED_HTML={}", path.display());
    }
}

fn collect(folder: &Path, prefix: &str, source: &mut String) -> std::io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (kind, path) = (entry.file_type()?, fs::canonicalize(entry.path())?);
        if name.starts_with('.') || kind.is_symlink() {
            continue;
        }
        if kind.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), source)?;
        } else {
            let name = format!("{prefix}{name}");
            let hash = fnv(&fs::read(&path)?);
            let path = path.to_string_lossy();
            source.push_str(&format!(
                "::micro_sdk::web::File::hashed({name:?}, include_bytes!({path:?}), {hash}),"
            ));
        }
    }
    Ok(())
}

/// FNV-1a, as `micro_sdk::web::File` has it.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn fail(reason: &str) -> ! {
    eprintln!("error: {reason}");
    exit(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_in_order_without_links_and_hidden_files() {
        let folder = env::temp_dir().join(format!("micro-sdk-build-{}", std::process::id()));
        fs::create_dir_all(folder.join("css")).unwrap();
        for name in ["b.html", "a.html", ".hidden", "css/x.css"] {
            fs::write(folder.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).unwrap();
        let mut source = String::new();
        collect(&folder, "", &mut source).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let names: Vec<&str> =
            source.split("hashed(\"").skip(1).filter_map(|part| part.split('"').next()).collect();
        assert_eq!(names, ["a.html", "b.html", "css/x.css"]);
        assert!(source.contains(&format!("), {})", fnv(b"css/x.css"))), "{source}");
        // The test vector of the algorithm's authors.
        assert_eq!(fnv(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
