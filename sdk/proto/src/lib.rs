//! Makes Rust from `.proto` files for services that use `micro-sdk`: messages (prost), a handler trait, a server and a
//! typed client for each proto service, and the descriptors that a component carries.
//!
//! Linked into `micro` as `micro proto`, so that no service compiles the generator.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_build::{Config, Module};
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};

mod service;
#[cfg(test)]
mod tests;

/// The file with a FileDescriptorSet of what the component exports: all messages, and the services of the own files.
pub const DESCRIPTORS: &str = "descriptors.bin";

/// The messages of the `api` handler, which each service can import.
const API_NAME: &str = "micro/api.proto";
const API_SOURCE: &str = include_str!("api.proto");

/// What to generate.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The folder for `<package>.rs` and [`DESCRIPTORS`]; it must exist.
    pub out: PathBuf,
    /// Files whose services the component exports.
    pub files: Vec<PathBuf>,
    /// Files of services that it calls: clients only.
    pub clients: Vec<PathBuf>,
}

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is missing or is no valid protobuf; the text has file, line and column.
    #[error("{0}")]
    Proto(String),
    /// The Rust module is named after the package.
    #[error("{0}: add a `package` line, it names the Rust module")]
    NoPackage(String),
    /// Endpoints are `Service.Method` without the package.
    #[error("two services are called {0}, so their endpoints would be the same; rename one")]
    SameService(String),
    /// The generated code was refused.
    #[error("generating Rust: {0}")]
    Generate(#[source] std::io::Error),
    /// A file could not be written.
    #[error("writing {path}: {source}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Generates everything for the given files and returns what it wrote.
///
/// Imports are looked up beside each file, then in the working directory; `google/protobuf/*` and `micro/api.proto`
/// are built in.
///
/// # Errors
/// See [`Error`].
pub fn generate(options: &Options) -> Result<Vec<PathBuf>, Error> {
    let (mut set, own) = compile(options)?;
    check(&set, &own)?;
    let sources = rust(&set, &own)?;

    for file in &mut set.file {
        file.source_code_info = None;
        if !own.contains(file.name()) {
            file.service.clear();
        }
    }
    let mut written = Vec::new();
    for (name, source) in sources {
        written.push(write(&options.out, &name, source.as_bytes())?);
    }
    written.push(write(&options.out, DESCRIPTORS, &set.encode_to_vec())?);
    Ok(written)
}

/// Parses all files; the second value holds the names of the own ones.
fn compile(options: &Options) -> Result<(FileDescriptorSet, HashSet<String>), Error> {
    let mut compiler = Compiler::with_file_resolver(resolver(options));
    compiler.include_imports(true).include_source_info(true);
    let names = resolver(options);
    let mut own = HashSet::new();
    for file in &options.files {
        if let Some(name) = names.resolve_path(file) {
            own.insert(name);
        }
    }
    for file in options.files.iter().chain(&options.clients) {
        compiler.open_file(file).map_err(|error| Error::Proto(format!("{error:?}").trim().to_owned()))?;
    }
    Ok((compiler.file_descriptor_set(), own))
}

fn resolver(options: &Options) -> ChainFileResolver {
    let (here, mut folders) = (Path::new("."), Vec::<&Path>::new());
    for file in options.files.iter().chain(&options.clients) {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(here);
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    if !folders.contains(&here) {
        folders.push(here);
    }
    let mut resolver = ChainFileResolver::new();
    for folder in folders {
        resolver.add(IncludeFileResolver::new(folder.to_owned()));
    }
    resolver.add(GoogleFileResolver::new());
    resolver.add(MicroFileResolver);
    resolver
}

/// Serves `micro/api.proto`.
struct MicroFileResolver;

impl FileResolver for MicroFileResolver {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == API_NAME {
            File::from_source(name, API_SOURCE)
        } else {
            Err(protox::Error::file_not_found(name))
        }
    }
}

fn check(set: &FileDescriptorSet, own: &HashSet<String>) -> Result<(), Error> {
    let mut services = HashSet::new();
    for file in set.file.iter().filter(|file| !is_built_in(file)) {
        if file.package().is_empty() {
            return Err(Error::NoPackage(file.name().to_owned()));
        }
        for service in &file.service {
            if own.contains(file.name()) && !services.insert(service.name()) {
                return Err(Error::SameService(service.name().to_owned()));
            }
        }
    }
    Ok(())
}

fn is_built_in(file: &FileDescriptorProto) -> bool {
    file.name().starts_with("google/protobuf/") || file.name() == API_NAME
}

/// The Rust source of each package, by file name.
fn rust(set: &FileDescriptorSet, own: &HashSet<String>) -> Result<BTreeMap<String, String>, Error> {
    let exported =
        set.file.iter().filter(|file| own.contains(file.name())).flat_map(|file| {
            file.service.iter().map(|service| format!("{}.{}", file.package(), service.name()))
        });
    let generator = service::Generator { exported: exported.collect() };
    let requests: Vec<_> = set
        .file
        .iter()
        .filter(|file| !is_built_in(file))
        .map(|file| (Module::from_protobuf_package_name(file.package()), file.clone()))
        .collect();
    let mut config = Config::new();
    config
        .prost_path("::micro_sdk::prost")
        .prost_types_path("::micro_sdk::prost_types")
        .extern_path(".go.api", "::micro_sdk::api")
        .service_generator(Box::new(generator));
    let modules = config.generate(requests).map_err(Error::Generate)?;
    Ok(modules.into_iter().map(|(module, source)| (module.to_file_name_or("_"), source)).collect())
}

fn write(folder: &Path, name: &str, contents: &[u8]) -> Result<PathBuf, Error> {
    let path = folder.join(name);
    // The same bytes keep their time, so that cargo does not compile the service again.
    if std::fs::read(&path).is_ok_and(|old| old == contents) {
        return Ok(path);
    }
    match std::fs::write(&path, contents) {
        Ok(()) => Ok(path),
        Err(source) => Err(Error::Write { path, source }),
    }
}
