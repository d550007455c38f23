//! A folder of this machine: its name, and how much around it has to be uploaded.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use micro_api::manifest::{self, Manifest};

use super::{LATEST, Origin, Target, service_name};

/// What to pack, and where the service is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    /// What is packed: a folder, or one `.wasm` file.
    pub(crate) root: PathBuf,
    /// The service's folder below `root`; empty when it is `root`.
    pub(crate) inside: String,
    /// `root` lies in a git repository, so that ignore files above it count.
    pub(crate) in_repository: bool,
}

pub(super) fn resolve(path: &Path) -> Result<Target> {
    let path = path.canonicalize().with_context(|| format!("looking at {}", path.display()))?;
    let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
    let stem = stem.unwrap_or_default().to_string_lossy().into_owned();
    let manifest = if path.is_dir() { read_manifest(&path)? } else { Manifest::default() };
    let mut name = match &manifest.service.name {
        Some(name) => name.parse()?,
        None => service_name(&stem)?,
    };
    if let Some(kind) = manifest.service.r#type {
        name.kind = kind;
    }
    Ok(Target {
        name,
        version: manifest.service.version.unwrap_or_else(|| LATEST.to_owned()),
        given: path.display().to_string(),
        origin: Origin::Local(folder(&path)),
    })
}

fn read_manifest(folder: &Path) -> Result<Manifest> {
    let path = folder.join(manifest::FILE_NAME);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(manifest::parse(&text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Manifest::default()),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

fn folder(path: &Path) -> Folder {
    let repository = path.ancestors().find(|ancestor| ancestor.join(".git").exists());
    let alone = Folder { root: path.to_owned(), inside: String::new(), in_repository: repository.is_some() };
    let Some(root) = repository.filter(|root| *root != path && path.is_dir()) else { return alone };
    let inside = path.strip_prefix(root).ok().and_then(Path::to_str);
    match inside {
        Some(inside) if needs_siblings(path, root) => {
            Folder { root: root.to_owned(), inside: inside.to_owned(), in_repository: true }
        }
        _ => alone,
    }
}

/// Whether the service builds only together with other folders of its repository.
fn needs_siblings(folder: &Path, root: &Path) -> bool {
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    if ["build.rs", "package.json", manifest::FILE_NAME, "Makefile"]
        .iter()
        .any(|name| text(name).contains("../"))
    {
        return true;
    }
    let Ok(cargo) = text("Cargo.toml").parse::<toml::Table>() else { return false };
    if cargo.contains_key("workspace") {
        return leads_out(&cargo);
    }
    leads_out(&cargo) || in_workspace(folder, root)
}

/// Whether a manifest names a path above its folder, or inherits from a workspace.
fn leads_out(table: &toml::Table) -> bool {
    table.iter().any(|(key, value)| match value {
        toml::Value::String(text) => matches!(key.as_str(), "path" | "workspace") && text.starts_with(".."),
        toml::Value::Boolean(inherits) => key == "workspace" && *inherits,
        toml::Value::Table(inner) => leads_out(inner),
        toml::Value::Array(items) => items.iter().filter_map(toml::Value::as_table).any(leads_out),
        _ => false,
    })
}

/// Whether cargo finds a workspace above `folder` that does not exclude it.
fn in_workspace(folder: &Path, root: &Path) -> bool {
    let above = folder.ancestors().skip(1).take_while(|ancestor| ancestor.starts_with(root));
    above.into_iter().any(|ancestor| {
        let text = std::fs::read_to_string(ancestor.join("Cargo.toml")).unwrap_or_default();
        let cargo: toml::Table = text.parse().unwrap_or_default();
        let Some(workspace) = cargo.get("workspace") else { return false };
        let excluded = workspace.get("exclude").and_then(toml::Value::as_array);
        let mut excluded = excluded.into_iter().flatten().filter_map(toml::Value::as_str);
        !excluded.any(|path| folder.starts_with(ancestor.join(path)))
    })
}
