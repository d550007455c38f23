//! Writes the SDK's bindings from the WIT files: `cargo run --manifest-path sdk/rust/bindgen/Cargo.toml [--check]`.
//! With `--check` it writes nothing and fails when a file differs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use wit_bindgen_core::{Files, WorldGenerator as _, wit_parser::Resolve};
use wit_bindgen_rust::Opts;

/// A world, the folder its package lies in, and what its bindings module and export macro are called.
struct Binding {
    wit: &'static str,
    world: &'static str,
    module: &'static str,
}

const BINDINGS: [Binding; 3] = [
    Binding { wit: "../../wit", world: "service", module: "service" },
    Binding { wit: "wit", world: "web", module: "web" },
    Binding { wit: "wit", world: "job", module: "job" },
];

fn main() -> Result<()> {
    // Where it is run, not where it was compiled: checkouts may share a target folder.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").context("run it by `cargo xtask wit`")?;
    let sdk = Path::new(&own).parent().context("the generator lies inside the SDK")?;
    let check = std::env::args().any(|argument| argument == "--check");
    for binding in &BINDINGS {
        let source = generate(sdk, binding)?;
        let path = sdk.join("src/bindings").join(format!("{}.rs", binding.module));
        if check {
            compare(&path, &source)?;
        } else {
            std::fs::write(&path, source).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(())
}

fn generate(sdk: &Path, binding: &Binding) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(sdk.join(binding.wit))?;
    let world = resolve.select_world(&[package], Some(binding.world))?;
    let mut files = Files::default();
    let options = Opts {
        format: true,
        generate_all: true,
        runtime_path: Some("::micro_sdk::wit_bindgen::rt".to_owned()),
        default_bindings_module: Some(format!("::micro_sdk::bindings::{}", binding.module)),
        export_macro_name: Some(format!("__export_{}", binding.module)),
        pub_export_macro: true,
        ..Opts::default()
    };
    options.build().generate(&mut resolve, world, &mut files)?;
    let (_, contents) = files.iter().next().context("the generator made no file")?;
    Ok(contents.to_vec())
}

fn compare(path: &PathBuf, source: &[u8]) -> Result<()> {
    if std::fs::read(path).unwrap_or_default() != source {
        bail!("{} is not what the WIT files say: run `cargo xtask wit`", path.display());
    }
    Ok(())
}
