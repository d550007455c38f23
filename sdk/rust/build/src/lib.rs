//! For the `build.rs` of a service: makes Rust from its `.proto` files by calling `micro proto`.
//!
//! ```no_run
//! micro_sdk_build::Proto::new().service("proto/helloworld.proto").generate();
//! ```

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, exit};

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

fn fail(reason: &str) -> ! {
    eprintln!("error: {reason}");
    exit(1)
}
