//! The scripts that drive a real browser, beside the packages that `cargo xtask` installed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::repo::checkout;

/// Puts the scripts into `folder`, ready to be run there by node.
pub fn place(folder: &Path) -> Result<()> {
    let home = std::env::home_dir().context("find the home folder")?;
    let packages = home.join(".cache/micro/tools/browser/node_modules");
    if !packages.is_dir() {
        bail!("{} is missing: run `cargo xtask setup --for test`", packages.display());
    }
    fs::create_dir_all(folder).context("make a folder for the scripts")?;
    std::os::unix::fs::symlink(&packages, folder.join("node_modules")).context("link the packages")?;
    for entry in fs::read_dir(checkout("integration/browser")).context("list the scripts")? {
        let path = entry.context("list the scripts")?.path();
        if path.extension().is_some_and(|extension| extension == "mjs") {
            fs::copy(&path, folder.join(path.file_name().unwrap_or_default())).context("copy a script")?;
        }
    }
    Ok(())
}
