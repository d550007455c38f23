use super::*;
use micro_artifact::{Codec, Package, Wasi};

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn a_core_module_gets_a_clear_refusal() {
    let error = inspect(&component("(module)")).unwrap_err();
    assert!(matches!(error, InspectError::CoreModule));
    assert!(error.to_string().contains("not a component"), "{error}");
    assert!(matches!(inspect(b"hello"), Err(InspectError::Malformed(_))));
    assert!(matches!(inspect(b""), Err(InspectError::Malformed(_))));
}

#[test]
fn exports_imports_and_sections_are_found() {
    let found = inspect(&component(
        r#"(component
            (import "wasi:io/poll@0.2.3" (instance))
            (import "micro:platform-sync/store@0.1.0" (instance))
            (component $empty)
            (instance $i (instantiate $empty))
            (export "micro:platform-sync/handler@0.1.0" (instance $i))
            (export "wasi:cli/run@0.2.6" (instance $i))
            (core module (@custom "micro:descriptors" "ab"))
            (core module (@custom "micro:static" "html\n"))
            (core module (@custom "micro:manifest" "[[subscribe]]\n") (@custom "micro:manifest" "topic = \"a\"\n"))
            (@custom "micro:descriptors" "cd")
            (@custom "micro:codecs" "json\nprotobuf\n"))"#,
    ))
    .unwrap();
    assert_eq!(found.kind, EngineKind::Sync);
    assert_eq!(found.exports.handler, Some(Package::PlatformSync));
    assert_eq!((found.exports.http, found.exports.run), (None, Some(Wasi::P2)));
    assert_eq!(found.descriptors.as_deref(), Some(&b"abcd"[..]));
    assert_eq!(found.codecs, [Codec::Json, Codec::Protobuf]);
    assert_eq!(found.static_files.as_deref(), Some("html"));
    assert_eq!(found.manifest, "[[subscribe]]\ntopic = \"a\"\n");
    let offers: Vec<_> = found.imports.iter().map(Import::offer).collect();
    assert!(matches!(offers[..], [Offer::Always, Offer::Grant { key: "store", .. }]), "{offers:?}");
}

#[test]
fn drafts_are_offered_by_their_grants() {
    let grant = |import: &str| match Offer::of(import) {
        Offer::Grant { key, .. } => Some(key),
        Offer::Always | Offer::Unknown => None,
    };
    for name in ["types", "container", "blobstore"] {
        assert_eq!(grant(&format!("wasi:blobstore/{name}@0.2.0-draft")), Some("blob"));
    }
    assert_eq!(grant("wasi:keyvalue/batch@0.2.0-draft2"), Some("store"));
    for unknown in
        ["wasi:blobstore/store@0.2.0-draft", "wasi:blobstore/types", "wasi:blobstore/types@0.2.0-draft2"]
    {
        assert_eq!(Offer::of(unknown), Offer::Unknown, "{unknown}");
    }
}

#[test]
fn async_components_need_the_async_engine() {
    let found = inspect(&component(
        r#"(component
            (import "a:b/c" (instance (export "f" (func async (result u32))))))"#,
    ))
    .unwrap();
    assert_eq!(found.kind, EngineKind::Async);
    assert_eq!(found.imports[0].offer(), Offer::Unknown);
}

#[test]
fn an_unknown_codec_is_an_error() {
    let error = inspect(&component(r#"(component (@custom "micro:codecs" "xml"))"#)).unwrap_err();
    assert!(error.to_string().contains("`xml`"), "{error}");
}

#[test]
fn a_folder_of_static_files_cannot_forge_a_log_line() {
    let long = "x".repeat(65);
    for name in ["", "a b", "html\\nStarting [service] other", "\\1b[31m", long.as_str()] {
        let wat = format!(r#"(component (@custom "micro:static" "{name}"))"#);
        assert!(matches!(inspect(&component(&wat)), Err(InspectError::Static)), "{name}");
    }
}

#[test]
fn what_attributes_say_is_bounded_text() {
    let half = "#".repeat(40 << 10);
    for sections in [
        format!(r#"(@custom "micro:manifest" "{half}") (@custom "micro:manifest" "{half}")"#),
        r#"(@custom "micro:manifest" "\ff")"#.to_owned(),
    ] {
        let error = inspect(&component(&format!("(component {sections})"))).unwrap_err();
        assert!(matches!(error, InspectError::Manifest), "{error}");
    }
}

#[test]
fn what_the_compiler_makes_fits_both_pools() {
    let config = EngineConfig { slots: 2, ..EngineConfig::default() };
    for kind in EngineKind::ALL {
        let native = precompile(&component("(component)"), kind).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("native");
        std::fs::write(&path, native).unwrap();
        let engine = engine(kind, &config).unwrap();
        assert!(wasmtime::Engine::detect_precompiled_file(&path).unwrap().is_some());
        let mut hasher = std::hash::DefaultHasher::new();
        std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut hasher);
        let id = format!("{}-{:016x}", kind.as_str(), std::hash::Hasher::finish(&hasher));
        assert_eq!(engine_id(kind), id, "pool and compiler agree on compiled code");
        assert_eq!(EngineKind::from_id(&id), Some(kind));
    }
    assert_ne!(engine_id(EngineKind::Sync), engine_id(EngineKind::Async));
}

#[test]
fn a_broken_component_names_its_fault() {
    assert!(matches!(precompile(b"\0asm", EngineKind::Sync), Err(PrecompileError::Component(_))));
}
