//! What the source is: its `micro.toml`, its name, and how a component is made from it.

use std::path::{Path, PathBuf};

use micro_api::ServiceName;
use micro_api::deployment::Stage;
use micro_api::manifest::{self, Manifest};

use super::fetch::Fetched;
use crate::error::{Doing, Error};
use crate::pipeline::{Build, Cached};
use crate::sandbox::tree;

/// Files looked at for a component.
const ENTRIES_MAX: usize = 10_000;

/// What was detected.
#[derive(Debug)]
pub(crate) struct Detected {
    pub(crate) manifest: Manifest,
    pub(crate) service: ServiceName,
    pub(crate) recipe: Recipe,
}

/// How a component is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// It is there already, below the source's root.
    Component(PathBuf),
    /// Cargo builds the package in the folder; `path`, if given, says which of its files is the component.
    Cargo { features: Vec<String>, test: bool, path: Option<PathBuf> },
    /// A command of the service's own makes `path`, below the source's root.
    Command { command: String, path: PathBuf, test: bool },
    /// An earlier build made it.
    Known,
}

impl Cached for Detected {
    fn is_cached(&self) -> bool {
        self.recipe == Recipe::Known
    }
}

pub(crate) async fn run(build: &Build<'_>, fetched: &Fetched) -> Result<Detected, Error> {
    let (manifest, recipe) = match &fetched.known {
        Some(known) => (known.manifest.clone(), Recipe::Known),
        None => {
            let (root, folder) = (fetched.root.clone(), fetched.folder.clone());
            tokio::task::spawn_blocking(move || detect(&root, &folder)).await.doing("detect the source")??
        }
    };
    let service = name(build, &manifest)?;
    build.reporter.resolved(&service, &build.request.version, fetched.commit.as_deref()).await?;
    build.log.info(Stage::Detect, &format!("service {service}, {}", describe(&recipe)));
    Ok(Detected { manifest, service, recipe })
}

fn describe(recipe: &Recipe) -> String {
    match recipe {
        Recipe::Component(path) => format!("the component {}", path.display()),
        Recipe::Cargo { .. } => "language rust".to_owned(),
        Recipe::Command { command, .. } => format!("built by `{command}`"),
        Recipe::Known => "built before".to_owned(),
    }
}

/// A name that was forced wins, then the one of `micro.toml`, then the one that the source suggests.
fn name(build: &Build<'_>, manifest: &Manifest) -> Result<ServiceName, Error> {
    let request = build.request;
    let kind = request.r#type.or(manifest.service.r#type).unwrap_or(request.name.kind);
    let alias = match &manifest.service.name {
        Some(alias) if !request.name_forced => alias.as_str(),
        _ => request.name.alias(),
    };
    ServiceName::new(kind, alias).map_err(|error| Error::source(error.to_string()))
}

fn detect(root: &Path, folder: &Path) -> Result<(Manifest, Recipe), Error> {
    let manifest = read_manifest(root, folder)?;
    let recipe = recipe(root, folder, &manifest)?;
    Ok((manifest, recipe))
}

fn read_manifest(root: &Path, folder: &Path) -> Result<Manifest, Error> {
    let bytes = tree::read(root, &folder.join("micro.toml"), manifest::FILE_BYTES_MAX as u64)
        .map_err(|error| Error::source(format!("micro.toml: {error}")))?;
    let Some(bytes) = bytes else { return Ok(Manifest::default()) };
    let text = String::from_utf8(bytes).map_err(|_| Error::source("micro.toml is not UTF-8"))?;
    manifest::parse(&text).map_err(|error| Error::source(error.to_string()))
}

fn recipe(root: &Path, folder: &Path, manifest: &Manifest) -> Result<Recipe, Error> {
    let settings = &manifest.build;
    let path = settings.path.as_deref().map(|path| below(folder, path)).transpose()?;
    if let Some(command) = &settings.command {
        let path = path.ok_or_else(|| {
            Error::source("micro.toml: [build] command needs path, the component that it makes")
        })?;
        return Ok(Recipe::Command { command: command.clone(), path, test: settings.test });
    }
    let has_cargo = is_file(root, &folder.join("Cargo.toml"));
    match settings.lang.as_deref() {
        Some("rust") if !has_cargo => Err(Error::source(format!(
            "micro.toml: [build] lang is rust, but {} has no Cargo.toml",
            shown(folder)
        ))),
        Some("component") => component(root, folder, path),
        Some("rust") | None if has_cargo => Ok(Recipe::Cargo {
            features: settings.features.clone(),
            test: settings.test,
            path: settings.path.as_deref().map(PathBuf::from),
        }),
        None => component(root, folder, path),
        Some(other) => {
            Err(Error::source(format!("micro.toml: [build] lang `{other}`: use rust or component")))
        }
    }
}

/// The component that is named, or the only one in the folder.
fn component(root: &Path, folder: &Path, named: Option<PathBuf>) -> Result<Recipe, Error> {
    if let Some(path) = named {
        return if is_file(root, &path) {
            Ok(Recipe::Component(path))
        } else {
            Err(Error::missing(format!("micro.toml: [build] path: there is no {}", path.display())))
        };
    }
    let list = tree::list(root, folder, ENTRIES_MAX)
        .map_err(|error| Error::source(format!("{}: {error}", shown(folder))))?;
    let mut found: Vec<&String> = list.iter().filter(|name| name.ends_with(".wasm")).collect();
    found.sort();
    match found.as_slice() {
        [one] => Ok(Recipe::Component(folder.join(one))),
        [] => Err(Error::source(format!(
            "{} is no service: it has neither a Cargo.toml nor a .wasm component, and no [build] command in micro.toml",
            shown(folder)
        ))),
        [first, second, ..] => Err(Error::source(format!(
            "{} has several components ({first}, {second}): name one with [build] path in micro.toml",
            shown(folder)
        ))),
    }
}

fn shown(folder: &Path) -> String {
    if folder.as_os_str().is_empty() {
        "the source".to_owned()
    } else {
        format!("the folder `{}`", folder.display())
    }
}

fn below(folder: &Path, path: &str) -> Result<PathBuf, Error> {
    let path = crate::source::check_folder(path)
        .map_err(|_| Error::source(format!("micro.toml: [build] path `{path}` leads out of the source")))?;
    Ok(folder.join(path))
}

fn is_file(root: &Path, path: &Path) -> bool {
    tree::open(root, path)
        .ok()
        .flatten()
        .is_some_and(|file| file.metadata().is_ok_and(|found| found.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(files: &[(&str, &str)]) -> String {
        let scratch = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(scratch.path().join(name), text).unwrap();
        }
        match detect(scratch.path(), Path::new("")) {
            Ok((_, recipe)) => describe(&recipe),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_kind_of_source() {
        assert_eq!(say(&[("Cargo.toml", "")]), "language rust");
        assert_eq!(say(&[("app.wasm", "")]), "the component app.wasm");
        assert_eq!(
            say(&[("micro.toml", "[build]\ncommand = \"make\"\npath = \"out.wasm\"")]),
            "built by `make`"
        );
        assert!(say(&[]).starts_with("the source is no service"));
        assert!(say(&[("a.wasm", ""), ("b.wasm", "")]).contains("several components (a.wasm, b.wasm)"));
        assert!(say(&[("micro.toml", "[build]\ncommand = \"make\"")]).contains("needs `path`"));
        assert!(say(&[("micro.toml", "[build]\nlang = \"component\"\npath = \"../x\"")]).contains("path"));
        assert!(say(&[("micro.toml", "[servce]")]).starts_with("micro.toml:1:"));
    }
}
