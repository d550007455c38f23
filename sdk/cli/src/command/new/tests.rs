use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;

fn args(name: &str) -> Args {
    Args {
        name: Some(name.to_owned()),
        namespace: "go.micro".to_owned(),
        r#type: "service".to_owned(),
        fqdn: None,
        alias: None,
    }
}

#[test]
fn names_follow_micro() {
    let names = Names::new(&args("some/greeter-srv/")).unwrap();
    assert_eq!((names.alias.as_str(), names.package.as_str()), ("greeter", "greeter-srv"));
    assert_eq!(names.fqdn, "go.micro.service.greeter");
    let names =
        Names::new(&Args { alias: Some("my-thing".into()), r#type: "api".into(), ..args("x") }).unwrap();
    assert_eq!(names.fqdn, "go.micro.api.my-thing");
    assert_eq!(names.fill("__Service__ __module__"), "MyThing my_thing");
}

#[test]
fn wrong_names_and_types_are_refused() {
    for (args, text) in [
        (Args { name: None, ..args("") }, "specify service name"),
        (args(""), "specify service name"),
        (args("/abs"), "require relative path"),
        (args("a--b"), "`a--b` is not a service name"),
        (args("9lives"), "is not a service name"),
        (Args { r#type: "x".into(), ..args("a") }, "Unknown type x"),
        (Args { r#type: String::new(), ..args("a") }, "type not defined"),
        (Args { namespace: String::new(), ..args("a") }, "namespace not defined"),
    ] {
        let error = Names::new(&args).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn every_template_is_complete_and_filled() {
    for kind in ["service", "function", "api", "web"] {
        let names = Names::new(&Args { r#type: kind.into(), ..args("foobar") }).unwrap();
        let files = render(&names).unwrap();
        let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
        for wanted in
            ["Cargo.toml", "micro.toml", "src/lib.rs", ".cargo/config.toml", ".gitignore", "Makefile"]
        {
            assert!(paths.contains(&wanted), "{wanted} of {kind}");
        }
        for (path, text) in &files {
            assert!(
                !path.contains("__") && !text.contains("__"),
                "a placeholder is left in {path} of {kind}"
            );
        }
        let mut packed = BTreeSet::new();
        for dir in [kind, "common"] {
            collect(TEMPLATES.get_dir(dir).unwrap(), dir, &mut packed);
        }
        assert_eq!(files.len(), packed.len(), "a file of {kind} is in no order: {packed:?}");
    }
}

fn collect(dir: &Dir<'_>, root: &str, paths: &mut BTreeSet<PathBuf>) {
    paths.extend(dir.files().map(|file| file.path().strip_prefix(root).unwrap().to_owned()));
    for dir in dir.dirs() {
        collect(dir, root, paths);
    }
}

#[test]
fn the_tree_is_drawn_with_box_characters() {
    let drawn = tree(&["micro.toml", "src/lib.rs", "src/handler.rs", "proto/foobar.proto", "Cargo.toml"]);
    let want = "\
.
├── micro.toml
├── src
│   ├── lib.rs
│   └── handler.rs
├── proto
│   └── foobar.proto
└── Cargo.toml";
    assert_eq!(drawn, want);
}
