//! The source to a component, in a sandbox without network.

mod diagnostics;

use std::path::{Path, PathBuf};

use micro_api::deployment::Stage;
use micro_artifact::Digest;
use serde::Deserialize;

use super::detect::{Detected, Recipe};
use super::fetch::dependencies::{self, Trusted};
use super::fetch::{Fetched, Known, remember};
use crate::builder::{Builder, CARGO_HOME, SOURCE, TARGET as TARGET_FOLDER};
use crate::config::Toolchain;
use crate::error::{Doing, Error};
use crate::folders::Owned;
use crate::pipeline::{Build, Cached};
use crate::sandbox::{End, Limit, Mount, Spec, Stream, tree};
use diagnostics::Diagnostics;

/// Where the compiler notes the times of sources, in the target folder.
const TIMES: &str = "micro-times.json";
/// Cargo's answers that are read: one a crate.
const ANSWERS_MAX: usize = 10_000;

/// A component, in the store.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) component: Digest,
    pub(crate) wasm: Vec<u8>,
    /// The user of the service's sandboxes.
    pub(crate) uid: u32,
    cached: bool,
}

impl Built {
    /// A component that is in the store already.
    pub(crate) fn stored(component: Digest, wasm: Vec<u8>, uid: u32) -> Self {
        Self { component, wasm, uid, cached: true }
    }
}

impl Cached for Built {
    fn is_cached(&self) -> bool {
        self.cached
    }
}

pub(crate) async fn run(build: &Build<'_>, fetched: &Fetched, detected: &Detected) -> Result<Built, Error> {
    let builder = build.builder;
    let service = builder.folders.service(build.namespace, &detected.service)?;
    if let Some(known) = &fetched.known {
        let component = known.component;
        let wasm = builder.ask_store(move |store| store.get(&component)).await?.doing("read a component")?;
        return Ok(Built::stored(known.component, wasm, service.uid));
    }
    let _lock = builder.folders.lock(&service.path).await;
    let compiling = Compiling { build, fetched, detected, service: &service };
    let wasm = match &detected.recipe {
        Recipe::Component(path) => compiling.read(&fetched.root, path)?,
        Recipe::Cargo { .. } => compiling.cargo().await?,
        Recipe::Command { command, path, .. } => compiling.command(command, path).await?,
        Recipe::Known => return Err(Error::Platform(anyhow::anyhow!("a known source has no component"))),
    };
    let bytes = wasm.clone();
    let component = builder.ask_store(move |store| store.put(&bytes)).await?.doing("keep a component")?;
    let known = Known { component, manifest: detected.manifest.clone() };
    remember(build, &fetched.key, &known).await?;
    Ok(Built { component, wasm, uid: service.uid, cached: false })
}

struct Compiling<'a> {
    build: &'a Build<'a>,
    fetched: &'a Fetched,
    detected: &'a Detected,
    service: &'a Owned,
}

/// How a run of the compiler ended.
enum Compiled {
    /// The answers that cargo printed.
    Done(Vec<String>),
    /// Crates are missing that a note said were there.
    Incomplete,
}

impl Compiling<'_> {
    async fn cargo(&self) -> Result<Vec<u8>, Error> {
        let Recipe::Cargo { features, test, path } = &self.detected.recipe else { return Ok(Vec::new()) };
        let mut arguments = vec!["build".to_owned(), "--release".to_owned()];
        arguments.extend(["--message-format", "json-render-diagnostics"].map(str::to_owned));
        if !features.is_empty() {
            arguments.extend(["--features".to_owned(), features.join(",")]);
        }
        let toolchain = self.build.builder.toolchain().await?;
        if *test {
            self.compile(&self.cargo_program(toolchain, &["test".to_owned()], false)).await?;
        }
        let answers = self.compile(&self.cargo_program(toolchain, &arguments, true)).await?;
        let made = match path {
            // A path of the service's own counts from its folder, where a shared target folder does not lie.
            Some(path) => path.strip_prefix("target").unwrap_or(path).to_owned(),
            None => self.component_of(&answers)?,
        };
        self.read(&self.service.path, &made)
    }

    async fn command(&self, command: &str, path: &Path) -> Result<Vec<u8>, Error> {
        let folder = Path::new(SOURCE).join(&self.fetched.folder).display().to_string();
        let script = "cd \"$1\" && exec /bin/sh -c \"$2\"".to_owned();
        let program =
            ["/bin/sh".to_owned(), "-c".to_owned(), script, "sh".to_owned(), folder, command.to_owned()];
        self.compile(&program).await?;
        self.read(&self.fetched.root, path)
    }

    /// Downloads what is missing, runs the compiler; a note of a complete download that proves wrong is not believed.
    async fn compile(&self, program: &[String]) -> Result<Vec<String>, Error> {
        let cargo = self.build.builder.folders.cargo(self.build.namespace)?;
        let _shared = self.build.builder.folders.share(&cargo.path).await;
        let root = &self.fetched.root;
        let folders = &self.build.builder.folders;
        for trusted in [Trusted::Note, Trusted::Nothing] {
            if self.uses_cargo() {
                folders.give(root, cargo.uid)?;
                dependencies::run(self.build, self.fetched, &cargo, trusted).await?;
            }
            folders.give(root, self.service.uid)?;
            if let Compiled::Done(answers) = self.run(program, &cargo).await? {
                return Ok(answers);
            }
        }
        Err(Error::source("crates are missing after they were downloaded: commit an up-to-date Cargo.lock"))
    }

    fn uses_cargo(&self) -> bool {
        let manifest = self.fetched.folder.join("Cargo.toml");
        tree::open(&self.fetched.root, &manifest).is_ok_and(|found| found.is_some())
    }

    fn cargo_program(&self, toolchain: &Toolchain, arguments: &[String], for_guest: bool) -> Vec<String> {
        let builder = self.build.builder;
        let target = if for_guest { crate::config::TARGET } else { &toolchain.host };
        let manifest = Path::new(SOURCE).join(&self.fetched.folder).join("Cargo.toml");
        let mut program = vec![toolchain.cargo()];
        program.extend(arguments.iter().cloned());
        program.extend(["--offline", "--target", target, "--manifest-path"].map(str::to_owned));
        program.push(manifest.display().to_string());
        program.extend(builder.cargo_config());
        program
    }

    async fn run(&self, program: &[String], cargo: &Owned) -> Result<Compiled, Error> {
        let builder = self.build.builder;
        let mut mounts = builder.mounts();
        mounts.extend(builder.toolchain_mounts());
        mounts.push(Mount::write(&self.fetched.root, SOURCE));
        mounts.push(Mount::write(&self.service.path, TARGET_FOLDER));
        mounts.push(Mount::read(&cargo.path, CARGO_HOME));
        let record = format!("{TARGET_FOLDER}/{TIMES}");
        let mut whole = Builder::inside(&["stamp", SOURCE, &record, "--"]);
        whole.extend(program.iter().cloned());
        let limits = builder.config.build;
        let spec = Spec { uid: self.service.uid, mounts, env: builder.env(), program: whole, limits };
        let (mut answers, mut diagnostics) = (Vec::new(), Diagnostics::default());
        let log = self.build.log;
        let end = self
            .build
            .sandbox(Stage::Build, &spec, &mut |stream, line| match stream {
                Stream::Stderr => diagnostics.push(line),
                Stream::Stdout if line.starts_with("{\"reason\":") => {
                    if answers.len() < ANSWERS_MAX {
                        answers.push(line.to_owned());
                    }
                }
                // What tests and commands of the service print.
                Stream::Stdout => {
                    log.info(Stage::Build, line);
                    diagnostics.push(line);
                }
            })
            .await?;
        match end {
            End::Exit(0) => Ok(Compiled::Done(answers)),
            End::Exit(_) if diagnostics.misses_crates() => Ok(Compiled::Incomplete),
            End::Limit(limit) => {
                if matches!(limit, Limit::Disk | Limit::FileSize | Limit::HostDisk) {
                    // What filled up would fail the next build too; on a full disk, that of every service.
                    builder.folders.remove(&self.service.path)?;
                }
                Err(Error::limit("the build", limit, &limits))
            }
            End::Exit(code) => Err(Error::source(diagnostics.summary(code))),
            End::Cancelled => Err(Error::Abandoned),
        }
    }

    /// The one component among what cargo made, as a path below the target folder.
    fn component_of(&self, answers: &[String]) -> Result<PathBuf, Error> {
        let manifest = Path::new(SOURCE).join(&self.fetched.folder).join("Cargo.toml");
        let mut made: Vec<Artifact> =
            answers.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        made.retain(|artifact| artifact.reason == "compiler-artifact" && artifact.wasm().is_some());
        // A workspace's other members are libraries of this one, unless the folder is the workspace itself.
        if made.iter().any(|artifact| artifact.manifest_path == manifest) {
            made.retain(|artifact| artifact.manifest_path == manifest);
        }
        let wanted = self.detected.service.alias().replace('-', "_");
        if made.len() > 1 && made.iter().any(|artifact| artifact.target.name.replace('-', "_") == wanted) {
            made.retain(|artifact| artifact.target.name.replace('-', "_") == wanted);
        }
        let paths: Vec<&PathBuf> = made.iter().filter_map(Artifact::wasm).collect();
        match paths.as_slice() {
            [one] => one.strip_prefix(TARGET_FOLDER).map(Path::to_path_buf).map_err(|_| {
                Error::source(format!(
                    "cargo put the component at {}, outside its target folder",
                    one.display()
                ))
            }),
            [] => Err(Error::source(
                "the package makes no component: give it a src/main.rs, or `crate-type = [\"cdylib\"]` below [lib] in Cargo.toml",
            )),
            many => {
                let names: Vec<String> = many
                    .iter()
                    .filter_map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
                    .collect();
                Err(Error::source(format!(
                    "the package makes several components ({}): run the folder of one, or give one the service's name",
                    names.join(", ")
                )))
            }
        }
    }

    fn read(&self, root: &Path, path: &Path) -> Result<Vec<u8>, Error> {
        let max = self.build.builder.config.component_bytes_max;
        match tree::read(root, path, max) {
            Ok(Some(wasm)) => Ok(wasm),
            Ok(None) => Err(Error::missing(format!("the build made no {}", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => Err(Error::Source {
                code: 413,
                text: format!("the component {} is larger than {} MiB", path.display(), max >> 20),
            }),
            Err(error) => Err(Error::source(format!("the component {}: {error}", path.display()))),
        }
    }
}

/// A line of cargo's answers.
#[derive(Debug, Deserialize)]
struct Artifact {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    target: ArtifactTarget,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
struct ArtifactTarget {
    name: String,
}

impl Artifact {
    fn wasm(&self) -> Option<&PathBuf> {
        self.filenames.iter().find(|path| path.extension().is_some_and(|extension| extension == "wasm"))
    }
}
