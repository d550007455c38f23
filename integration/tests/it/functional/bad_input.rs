//! Bad sources and bad calls: each fails at once, with a reason that its author can act on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Result, ensure};
use micro_integration::git_server::HttpServer;
use micro_integration::guest::Guest;
use micro_integration::repo::{checkout, copy};
use micro_integration::{Options, Platform, Repo};
use tempfile::tempdir;

/// A source must fail, and its reason must hold one of these.
async fn refused(platform: &Platform, source: &str, reasons: &[&str]) -> Result<String> {
    let text = platform.micro().fails(&["run", source]).await?;
    let found = reasons.iter().any(|reason| text.to_lowercase().contains(&reason.to_lowercase()));
    ensure!(found, "{source}: none of {reasons:?} in {text}");
    Ok(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_git_sources_are_refused_with_a_reason() -> Result<()> {
    let scratch = tempdir()?;
    let good = Repo::init(&scratch.path().join("good"))?;
    Guest::HttpP2.place(good.dir(), "")?;
    good.commit("Start")?;
    Repo::init(&scratch.path().join("empty"))?;
    let big = Repo::init(&scratch.path().join("big"))?;
    let noise: Vec<u8> = (0..6_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    big.write("noise", &noise)?;
    big.commit("Too much")?;
    let evil = Repo::init(&scratch.path().join("evil"))?;
    evil.write(".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = file:///etc\n")?;
    evil.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},x", "1".repeat(40))])?;
    evil.git(&["add", ".gitmodules"])?;
    evil.git(&["commit", "--quiet", "--message", "Reach out"])?;
    let link = Repo::init(&scratch.path().join("link"))?;
    Guest::HttpP2.place(link.dir(), "")?;
    symlink("/etc/passwd", link.dir().join("passwd"))?;
    link.commit("Link out")?;
    let server = HttpServer::start(scratch.path()).await?;
    let flags = vec![
        format!("--builder_flag=--mirror=https://github.com/o/={}", server.url("")),
        "--builder_flag=--source_max=4MiB".to_owned(),
    ];
    let platform = Platform::start_with(Options { flags, ..Options::default() }).await?;
    refused(&platform, &server.url("nosuch"), &["there is no repository at"]).await?;
    refused(&platform, "github.com/o/good@nosuch", &["nosuch"]).await?;
    refused(&platform, "github.com/o/good/nosuch", &["nosuch"]).await?;
    refused(&platform, &server.url("empty"), &["empty", "no commit"]).await?;
    refused(&platform, &server.url("big"), &["4MiB", "4 MiB", "too large", "limit"]).await?;
    refused(&platform, "github.com/o/evil", &["submodule", "file:"]).await?;
    refused(&platform, "github.com/o/link", &["link", "leads out"]).await?;
    refused(
        &platform,
        "github.com/o/good@--upload-pack=touch${IFS}/tmp/x",
        &["hyphen", "not a branch", "space"],
    )
    .await?;
    let option = platform.micro().fails(&["run", "--", "--upload-pack=/bin/true"]).await?;
    ensure!(!option.is_empty());
    ensure!(platform.micro().ok(&["run", "github.com/o/good"]).await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_folders_are_refused_with_a_reason() -> Result<()> {
    let platform = Platform::start().await?;
    let scratch = platform.scratch().to_owned();
    let folder = |name: &str| -> Result<std::path::PathBuf> {
        let dir = scratch.join(name);
        fs::create_dir_all(&dir)?;
        Ok(dir)
    };
    let manifest = folder("manifest")?;
    Guest::HttpP2.place(&manifest, "[service]\nname = \"a\"\n[limits]\nmemroy = \"1MiB\"\n")?;
    let text = run_folder(&platform, &manifest, &["memory"]).await?;
    ensure!(text.contains("micro.toml") && text.contains('4'), "no line: {text}");
    let core = folder("core")?;
    fs::write(core.join("service.wasm"), b"\0asm\x01\0\0\0")?;
    run_folder(&platform, &core, &["this is a core webassembly module"]).await?;
    let import = folder("import")?;
    fs::write(import.join("service.wasm"), wat::parse_str(UNKNOWN_IMPORT)?)?;
    run_folder(&platform, &import, &["acme:unknown/thing"]).await?;
    let ungranted = folder("ungranted")?;
    Guest::Example("helloworld").place(&ungranted, "[service]\nname = \"quiet\"\n")?;
    platform.micro().ok(&["run", &ungranted.display().to_string()]).await?;
    let link = folder("link")?;
    Guest::HttpP2.place(&link, "")?;
    symlink("/etc/passwd", link.join("passwd"))?;
    run_folder(&platform, &link, &["passwd", "link"]).await?;
    run_folder(&platform, &folder("nothing")?, &["nothing", "no ", "Cargo.toml"]).await?;
    run_folder(&platform, &scratch.join("absent"), &["absent", "no such", "not found"]).await?;
    Ok(())
}

const UNKNOWN_IMPORT: &str = r#"(component
    (import "acme:unknown/thing@1.0.0" (instance $i (export "f" (func))))
    (core module $m (func (export "run") (result i32) i32.const 0))
    (core instance $c (instantiate $m))
    (func $run (result (result)) (canon lift (core func $c "run")))
    (instance $e (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $e)))"#;

async fn run_folder(platform: &Platform, folder: &Path, reasons: &[&str]) -> Result<String> {
    refused(platform, &folder.display().to_string(), reasons).await
}

/// What the repository's own cargo configuration names is never started, and the compiler's lines are shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_compile_shows_the_compilers_lines_and_starts_no_program() -> Result<()> {
    let platform = Platform::start().await?;
    let folder = platform.scratch().join("broken");
    copy(&checkout("examples/helloworld"), &folder)?;
    let mark = Path::new("/tmp").join(format!("micro-it-mark-{}", std::process::id()));
    let script = format!("#!/bin/sh\ntouch {}\nexec \"$@\"\n", mark.display());
    fs::write(folder.join("wrapper.sh"), script)?;
    fs::set_permissions(folder.join("wrapper.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let config = fs::read_to_string(folder.join(".cargo/config.toml"))?;
    fs::write(
        folder.join(".cargo/config.toml"),
        format!("{config}\n[build]\nrustc-wrapper = \"./wrapper.sh\"\n"),
    )?;
    fs::write(folder.join("src/handler.rs"), "pub fn handler() -> u32 { \"no number\" }\n")?;
    let text = run_folder(&platform, &folder, &["mismatched types"]).await?;
    ensure!(text.contains("handler.rs:1"), "{text}");
    ensure!(!mark.exists(), "the wrapper ran");
    Ok(())
}

/// Bad calls by JSON; the good one answers after each.
#[tokio::test(flavor = "multi_thread")]
async fn bad_calls_are_answered_with_a_reason() -> Result<()> {
    let platform = Platform::start().await?;
    let folder = platform.scratch().join("helloworld");
    Guest::Example("helloworld").place(&folder, "[service]\nname = \"helloworld\"\n")?;
    platform.micro().ok(&["run", &folder.display().to_string()]).await?;
    let deep = format!("{}1{}", "{\"name\":".repeat(2000), "}".repeat(2000));
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(5 << 20));
    let cases: [(&str, &str, u16, &str); 7] = [
        ("/helloworld/call", "{\"nmae\":\"Jane\"}", 400, "nmae"),
        ("/helloworld/call", "{\"name\":7}", 400, "name"),
        ("/helloworld/call", "{\"name\":", 400, ""),
        ("/helloworld/call", &deep, 400, ""),
        ("/helloworld/call", &large, 413, ""),
        ("/helloworlt/call", "{}", 404, "helloworld"),
        ("/helloworld/cal", "{}", 404, "Call"),
    ];
    for (path, body, status, reason) in cases {
        let answer = platform.post(path, body).await?;
        let shown = &body[..body.len().min(40)];
        ensure!(answer.status == status, "{path} {shown}: {} {}", answer.status, answer.body);
        ensure!(
            answer.json()?["detail"].as_str().unwrap_or_default().contains(reason),
            "{path} {shown}: {answer:?}"
        );
        let good = platform.post("/helloworld/call", "{\"name\":\"Jane\"}").await?;
        ensure!(good.body == "{\"msg\":\"Hello Jane\"}", "{good:?}");
    }
    let missing = platform.post("/helloworld/call", "{}").await?;
    ensure!(missing.status == 200, "a missing field has its default: {missing:?}");
    let request = micro_integration::http::client()?.post(platform.url("/helloworld/call"));
    let request =
        request.header("content-type", "application/json").body(b"{\"name\":\"\xff\xfe\"}".to_vec());
    let binary = micro_integration::http::send(request).await?;
    ensure!(binary.status == 400, "{binary:?}");
    Ok(())
}
