//! What a component is, read from its bytes without compiling them.

use micro_artifact::{Codec, Exports, Package, Wasi};
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentDefinedType, ComponentExternalKind, ComponentType,
    ComponentTypeDeclaration, Encoding, InstanceTypeDeclaration, Parser, Payload,
};

use crate::config::EngineKind;
use crate::offer::Offer;

/// The custom section that holds a protobuf `FileDescriptorSet`.
const DESCRIPTORS: &str = "micro:descriptors";
/// The custom section that holds the codecs, one a line.
const CODECS: &str = "micro:codecs";
/// The custom section that names the folder whose files the component serves.
const STATIC: &str = "micro:static";
/// Bytes of that name.
const STATIC_BYTES_MAX: usize = 64;

/// The custom section with what attributes of the code add to `micro.toml`.
const MANIFEST: &str = "micro:manifest";
/// Bytes of it.
const MANIFEST_BYTES_MAX: usize = 64 << 10;

/// How deep components may lie in each other.
const DEPTH_MAX: usize = 32;

/// One import of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The full name, `micro:platform/store@0.1.0`.
    pub name: String,
}

impl Import {
    /// How the platform meets it.
    pub fn offer(&self) -> Offer {
        Offer::of(&self.name)
    }
}

/// What [`inspect`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// What the platform can call.
    pub exports: Exports,
    /// Every instance and function that the component imports, in its order.
    pub imports: Vec<Import>,
    /// Which engine it needs.
    pub kind: EngineKind,
    /// A protobuf `FileDescriptorSet`, if the component carries one.
    pub descriptors: Option<Vec<u8>>,
    /// The codecs that its handler accepts; protobuf unless it says otherwise.
    pub codecs: Vec<Codec>,
    /// What attributes of its code add to `micro.toml`, in that form; empty without them.
    pub manifest: String,
    /// The folder whose files it serves, if it says so.
    pub static_files: Option<String>,
    /// The names of all exports, for messages.
    pub export_names: Vec<String>,
}

/// Why bytes are not a component that could run here.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// A core module, which has no typed imports and exports.
    #[error(
        "this is a core WebAssembly module, not a component: build it for wasm32-wasip2, or wrap it with \
         `wasm-tools component new`"
    )]
    CoreModule,
    /// Not WebAssembly, or damaged.
    #[error("this is not a WebAssembly component: {0}")]
    Malformed(#[from] wasmparser::BinaryReaderError),
    /// Nesting without end.
    #[error("components lie in each other more than {DEPTH_MAX} deep")]
    TooDeep,
    /// A codec that the platform does not know.
    #[error("the section `micro:codecs` names the codec `{0}`: known are `protobuf` and `json`")]
    Codec(String),
    /// It would stand in a log.
    #[error(
        "the section `micro:static` names no folder: use letters, digits, `.`, `_`, `-` and `/`, at most \
         {STATIC_BYTES_MAX} bytes"
    )]
    Static,
    /// More than a `micro.toml` may hold, or no text.
    #[error("the section `micro:manifest` is no text of at most {} KiB", MANIFEST_BYTES_MAX >> 10)]
    Manifest,
}

/// Reads a component's exports, imports and sections. Function bodies are not looked at.
///
/// # Errors
/// When the bytes are no component, see [`InspectError`].
pub fn inspect(wasm: &[u8]) -> Result<Inspection, InspectError> {
    let mut found = Found::default();
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(InspectError::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(InspectError::TooDeep);
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            payload => found.payload(payload, depth)?,
        }
    }
    found.finish()
}

#[derive(Default)]
struct Found {
    exports: Vec<String>,
    imports: Vec<Import>,
    concurrent: bool,
    descriptors: Vec<u8>,
    codecs: Vec<Codec>,
    manifest: Vec<u8>,
    static_files: Option<String>,
}

impl Found {
    fn payload(&mut self, payload: Payload<'_>, depth: usize) -> Result<(), InspectError> {
        match payload {
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import?;
                    if !matches!(import.ty.kind(), ComponentExternalKind::Type) {
                        self.imports.push(Import { name: import.name.name.to_owned() });
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    self.exports.push(export?.name.name.to_owned());
                }
            }
            Payload::ComponentTypeSection(section) => {
                for ty in section {
                    self.concurrent |= type_is_concurrent(&ty?);
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    self.concurrent |= function_is_concurrent(&function?);
                }
            }
            Payload::CustomSection(section) if section.name() == DESCRIPTORS => {
                // Encoded sets that follow each other are the set of all their files.
                self.descriptors.extend_from_slice(section.data());
            }
            Payload::CustomSection(section) if section.name() == CODECS => self.codecs(section.data())?,
            Payload::CustomSection(section) if section.name() == MANIFEST => {
                self.manifest.extend_from_slice(section.data());
                if self.manifest.len() > MANIFEST_BYTES_MAX {
                    return Err(InspectError::Manifest);
                }
            }
            Payload::CustomSection(section) if section.name() == STATIC => {
                self.static_files = Some(folder(section.data())?);
            }
            _ => {}
        }
        Ok(())
    }

    fn codecs(&mut self, data: &[u8]) -> Result<(), InspectError> {
        let text = String::from_utf8_lossy(data);
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let codec = match line {
                "protobuf" => Codec::Protobuf,
                "json" => Codec::Json,
                other => return Err(InspectError::Codec(other.chars().take(64).collect())),
            };
            if !self.codecs.contains(&codec) {
                self.codecs.push(codec);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Inspection, InspectError> {
        let exports = exports(&self.exports);
        let codecs = if self.codecs.is_empty() { vec![Codec::Protobuf] } else { self.codecs };
        Ok(Inspection {
            exports,
            imports: self.imports,
            kind: if self.concurrent { EngineKind::Async } else { EngineKind::Sync },
            descriptors: (!self.descriptors.is_empty()).then_some(self.descriptors),
            codecs,
            manifest: String::from_utf8(self.manifest).map_err(|_| InspectError::Manifest)?,
            static_files: self.static_files,
            export_names: self.exports,
        })
    }
}

fn folder(data: &[u8]) -> Result<String, InspectError> {
    let name = data.trim_ascii();
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"._-/".contains(b);
    if name.is_empty() || name.len() > STATIC_BYTES_MAX || !name.iter().all(allowed) {
        return Err(InspectError::Static);
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// What the platform can call among these names. The async form wins over the plain one, the newer WASI over the
/// older.
fn exports(names: &[String]) -> Exports {
    let has = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
    let handler = if has("micro:platform/handler@0.1.") {
        Some(Package::Platform)
    } else if has("micro:platform-sync/handler@0.1.") {
        Some(Package::PlatformSync)
    } else {
        None
    };
    let wasi = |p3: &str, p2: &str| {
        if has(p3) {
            Some(Wasi::P3)
        } else if has(p2) {
            Some(Wasi::P2)
        } else {
            None
        }
    };
    Exports {
        handler,
        http: wasi("wasi:http/handler@0.3.", "wasi:http/incoming-handler@0.2."),
        run: wasi("wasi:cli/run@0.3.", "wasi:cli/run@0.2."),
    }
}

fn type_is_concurrent(ty: &ComponentType<'_>) -> bool {
    match ty {
        ComponentType::Defined(ComponentDefinedType::Future(_) | ComponentDefinedType::Stream(_)) => true,
        ComponentType::Defined(_) | ComponentType::Resource { .. } => false,
        ComponentType::Func(function) => function.async_,
        ComponentType::Component(declarations) => declarations.iter().any(
            |declaration| matches!(declaration, ComponentTypeDeclaration::Type(ty) if type_is_concurrent(ty)),
        ),
        ComponentType::Instance(declarations) => declarations.iter().any(
            |declaration| matches!(declaration, InstanceTypeDeclaration::Type(ty) if type_is_concurrent(ty)),
        ),
    }
}

/// Everything but plain lifting, lowering and resources belongs to component-model async.
fn function_is_concurrent(function: &CanonicalFunction) -> bool {
    match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
            options.contains(&CanonicalOption::Async)
        }
        CanonicalFunction::ResourceNew { .. }
        | CanonicalFunction::ResourceDrop { .. }
        | CanonicalFunction::ResourceRep { .. } => false,
        _ => true,
    }
}
