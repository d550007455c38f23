use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::archive::Archive;
use super::*;

/// `url folder ref name version` of a git source.
fn git_parts(text: &str, base: Option<&str>) -> Result<String> {
    let target = resolve(text, Path::new("/nonexistent"), base)?;
    match target.origin {
        Origin::Git(Source::Git { url, folder, reference }) => {
            Ok(format!("{url} {folder} {reference} {} {}", target.name, target.version))
        }
        other => bail!("{other:?}"),
    }
}

#[test]
fn the_grammar_of_git_sources() {
    let cases = [
        (
            "github.com/micro/services/helloworld",
            "https://github.com/micro/services helloworld  helloworld latest",
        ),
        (
            "github.com/micro/services/a/b@feature/x",
            "https://github.com/micro/services a/b feature/x b feature/x",
        ),
        ("github.com/org/hello", "https://github.com/org/hello   hello latest"),
        ("github.com/org/hello@v1", "https://github.com/org/hello  v1 hello v1"),
        ("git.example.com/org/repo/x@latest", "https://git.example.com/org/repo x  x latest"),
        ("git.example.com/g/sub/repo.git/x", "https://git.example.com/g/sub/repo.git x  x latest"),
        ("git.example.com/g/sub/repo//x", "https://git.example.com/g/sub/repo x  x latest"),
        ("https://github.com/org/repo/x", "https://github.com/org/repo x  x latest"),
        ("https://github.com/org/repo.git@main", "https://github.com/org/repo.git  main repo main"),
        ("https://gitlab.com/g/sub/repo", "https://gitlab.com/g/sub/repo   repo latest"),
        ("https://gitlab.com/g/sub/repo.git/x/y@v1", "https://gitlab.com/g/sub/repo.git x/y v1 y v1"),
        ("https://user@host.x/r.git@v1", "https://user@host.x/r.git  v1 r v1"),
        ("http://127.0.0.1:3000/repo.git/x", "http://127.0.0.1:3000/repo.git x  x latest"),
        ("ssh://git@host.x:22/org/repo.git@v1", "ssh://git@host.x:22/org/repo.git  v1 repo v1"),
        ("git://host.x/repo//folder@v1", "git://host.x/repo folder v1 folder v1"),
        ("git@github.com:org/repo.git", "git@github.com:org/repo.git   repo latest"),
        ("git@github.com:org/repo.git/x@a/b", "git@github.com:org/repo.git x a/b x a/b"),
        ("git@host.x:repo@v1", "git@host.x:repo  v1 repo v1"),
        ("file:///srv/repo.git/x", "file:///srv/repo.git x  x latest"),
        ("github.com/org/repo/@scope/x@v1", "https://github.com/org/repo @scope/x v1 x v1"),
        (
            "github.com/org/repo/hello_World.2",
            "https://github.com/org/repo hello_World.2  hello-World-2 latest",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(git_parts(text, None).unwrap(), expected, "{text}");
    }
}

#[test]
fn short_names_need_a_repository() {
    let error = git_parts("helloworld", None).unwrap_err().to_string();
    assert!(
        error.contains("MICRO_RUNTIME_SOURCE") && error.contains("no folder `helloworld` here"),
        "{error}"
    );
    let base = Some("github.com/micro/services");
    assert_eq!(
        git_parts("helloworld@9342934e6180", base).unwrap(),
        "https://github.com/micro/services helloworld 9342934e6180 helloworld 9342934e6180"
    );
    let given = resolve("helloworld@v1", Path::new("/"), Some("github.com/micro/services/")).unwrap().given;
    assert_eq!(given, "github.com/micro/services/helloworld@v1");
    assert_eq!(
        git_parts("x", Some("https://host.x/mono.git/services/")).unwrap(),
        "https://host.x/mono.git services/x  x latest"
    );
}

#[test]
fn what_could_be_an_option_or_leave_the_repository_is_refused() {
    for text in [
        "--upload-pack=touch /tmp/x",
        "-x",
        "",
        "github.com/org/repo@--upload-pack=x",
        "github.com/org/repo@",
        "github.com/org/repo/../../x",
        "github.com/org",
        "ssh://-oProxyCommand=x/repo",
        "ssh://git@-oProxyCommand=x/repo",
        "ext::sh -c true",
        "ext://x/y",
        "https:///x",
        "./nosuch",
        "/nosuch",
        "a\nb",
    ] {
        assert!(git_parts(text, None).is_err(), "{text}: {:?}", git_parts(text, None));
    }
}

#[test]
fn a_repository_of_this_machine_is_found_by_looking() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("repo/.git")).unwrap();
    let text = format!("file://{}/repo/services/x@v1", root.display());
    let expected = format!("file://{}/repo services/x v1 x v1", root.display());
    assert_eq!(git_parts(&text, None).unwrap(), expected);
}

#[test]
fn a_local_folder_wins() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("hello@v1/src")).unwrap();
    fs::write(
        root.join("hello@v1/micro.toml"),
        "[service]\nname = \"greeter\"\ntype = \"api\"\nversion = \"v3\"\n",
    )
    .unwrap();
    let target = resolve("hello@v1", &root, None).unwrap();
    assert_eq!((target.name.to_string().as_str(), target.version.as_str()), ("api.greeter", "v3"));
    assert_eq!(target.given, root.join("hello@v1").display().to_string());
    let cases = [
        ("hello@v1", "api.greeter v3", false),
        ("api.greeter@v3", "api.greeter v3", false),
        ("go.micro.service.greeter", "greeter latest", false),
        ("github.com/a/b/helloworld@v2", "helloworld v2", true),
        ("git@host.x:repo", "repo latest", true),
    ];
    for (text, expected, in_git) in cases {
        let identity = identify(text, &root, None).unwrap();
        assert_eq!(format!("{} {}", identity.name, identity.version), expected, "{text}");
        assert_eq!(identity.given, in_git.then(|| text.to_owned()), "{text}");
    }
}

// === local folders ===

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            let path = tree.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        tree
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(path)
    }

    fn folder(&self, path: &str) -> Folder {
        match resolve(".", &self.path(path), None).unwrap().origin {
            Origin::Local(folder) => folder,
            other => panic!("{other:?}"),
        }
    }
}

/// The names in an archive.
fn names(archive: &Archive) -> Vec<String> {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive.file.reopen().unwrap()));
    tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
}

fn bytes(archive: &Archive) -> Vec<u8> {
    let mut bytes = Vec::new();
    archive.file.reopen().unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn ignore_files_are_honoured() {
    let tree = Tree::new(&[
        (".gitignore", "/secret\n*.log\nCargo.lock\n"),
        (".microignore", "docs/\n"),
        ("Cargo.toml", ""),
        ("Cargo.lock", ""),
        ("secret", ""),
        ("docs/a.md", ""),
        ("a.log", ""),
        (".cargo/config.toml", ""),
        (".micro/sdk/x", ""),
        (".git/config", ""),
        ("target/CACHEDIR.TAG", ""),
        ("target/debug/x", ""),
        ("src/b.rs", ""),
        ("src/a.rs", ""),
    ]);
    let archive = pack(&tree.folder("")).unwrap();
    assert_eq!(
        names(&archive),
        [
            ".cargo/config.toml",
            ".gitignore",
            ".microignore",
            "Cargo.lock",
            "Cargo.toml",
            "src/a.rs",
            "src/b.rs"
        ]
    );
    assert_eq!(archive.size, bytes(&archive).len() as u64);
}

#[test]
fn the_same_folder_gives_the_same_bytes() {
    let files = [("Cargo.toml", "x"), ("src/lib.rs", "y"), ("run.sh", "#!/bin/sh")];
    let (one, two) = (Tree::new(&files), Tree::new(&files));
    let old = fs::File::options().write(true).open(two.path("src/lib.rs")).unwrap();
    old.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000)).unwrap();
    let digest = |tree: &Tree| bytes(&pack(&tree.folder("")).unwrap());
    assert_eq!(digest(&one), digest(&two));
    fs::write(two.path("src/lib.rs"), "z").unwrap();
    assert_ne!(digest(&one), digest(&two));
}

#[test]
fn links_stay_links_and_stay_inside() {
    let tree = Tree::new(&[("a/file", "x"), ("other", "y")]);
    symlink("../other", tree.path("a/inside")).unwrap();
    let archive = pack(&tree.folder("")).unwrap();
    assert_eq!(names(&archive), ["a/file", "a/inside", "other"]);
    for (name, target) in [("up", "../../etc/passwd"), ("absolute", "/etc/passwd")] {
        symlink(target, tree.path("a").join(name)).unwrap();
        let error = pack(&tree.folder("")).unwrap_err().to_string();
        assert!(
            error.contains(&format!("the link a/{name} leads out of the folder, to {target}")),
            "{error}"
        );
        fs::remove_file(tree.path("a").join(name)).unwrap();
    }
}

#[test]
fn an_empty_folder_is_no_source() {
    let tree = Tree::new(&[(".microignore", "*\n"), ("x", "")]);
    let error = pack(&tree.folder("")).unwrap_err().to_string();
    assert!(error.starts_with("nothing to upload"), "{error}");
}

#[test]
fn a_component_alone_is_a_source() {
    let tree = Tree::new(&[("out/hello_world.wasm", "wasm"), ("out/other", "")]);
    let target = resolve("out/hello_world.wasm", &tree.path(""), None).unwrap();
    let Origin::Local(folder) = &target.origin else { panic!("{target:?}") };
    assert_eq!(target.name.to_string(), "hello-world");
    assert_eq!(names(&pack(folder).unwrap()), ["hello_world.wasm"]);
}

#[test]
fn siblings_are_uploaded_only_where_they_are_needed() {
    let tree = Tree::new(&[
        (".git/HEAD", ""),
        ("Cargo.toml", "[workspace]\nmembers = [\"member\"]\nexclude = [\"alone\", \"with-path\"]\n"),
        ("member/Cargo.toml", "[package]\nname = \"member\"\n"),
        ("alone/Cargo.toml", "[package]\nname = \"alone\"\n"),
        ("with-path/Cargo.toml", "[dependencies]\nx = { path = \"../x\" }\n"),
        ("own/Cargo.toml", "[package]\nname = \"own\"\n[workspace]\n"),
        ("own/build.rs", "fn main() {}"),
        ("proto-user/Cargo.toml", "[package]\n[workspace]\n"),
        ("proto-user/build.rs", "compile(\"../proto/x.proto\")"),
        ("x/Cargo.toml", ""),
    ]);
    let inside = |path: &str| {
        let folder = tree.folder(path);
        (folder.root == tree.path("").join("")).then_some(folder.inside)
    };
    for needed in ["member", "with-path", "proto-user"] {
        assert_eq!(inside(needed).as_deref(), Some(needed));
    }
    for alone in ["alone", "own"] {
        assert_eq!(tree.folder(alone).root, tree.path(alone), "{alone}");
    }
    assert_eq!(tree.folder("").inside, "");
}
