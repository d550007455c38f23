//! Scripts for node, beside the packages that `cargo xtask` installed for them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::repo::checkout;

/// Puts the scripts of `integration/<name>` into `folder`, ready to be run there by node.
pub fn place(name: &str, folder: &Path) -> Result<()> {
    let home = std::env::home_dir().context("find the home folder")?;
    let packages = home.join(".cache/micro/tools").join(name).join("node_modules");
    if !packages.is_dir() {
        bail!("{} is missing: run `cargo xtask setup --for test`", packages.display());
    }
    fs::create_dir_all(folder).context("make a folder for the scripts")?;
    std::os::unix::fs::symlink(&packages, folder.join("node_modules")).context("link the packages")?;
    for entry in fs::read_dir(checkout(&format!("integration/{name}"))).context("list the scripts")? {
        let path = entry.context("list the scripts")?.path();
        if path.extension().is_some_and(|extension| extension == "mjs") {
            fs::copy(&path, folder.join(path.file_name().unwrap_or_default())).context("copy a script")?;
        }
    }
    Ok(())
}
