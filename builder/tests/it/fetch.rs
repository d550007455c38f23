use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::harness::*;

fn component_repository(platform: &Platform, name: &str) -> std::path::PathBuf {
    let folder = platform.folder(name);
    write_component(&folder, JOB);
    commit(&folder, &[("README", "x")]);
    folder
}

#[tokio::test]
async fn branches_tags_commits_and_folders() {
    let mut platform = Platform::start(&[]).await;
    let folder = platform.folder("repo");
    std::fs::create_dir(folder.join("inner")).unwrap();
    write_component(&folder.join("inner"), JOB);
    let first = commit(&folder, &[("README", "1")]);
    run_git(&folder, &["tag", "--annotate", "--message=x", "v1"]);
    let second = commit(&folder, &[("README", "2")]);
    run_git(&folder, &["branch", "feature/deep"]);
    let third = commit(&folder, &[("README", "3")]);
    let url = format!("file://{}", folder.display());
    for (number, (reference, commit)) in [
        ("", &third),
        ("main", &third),
        ("v1", &first),
        ("feature/deep", &second),
        (second.as_str(), &second),
        (first.get(..8).unwrap(), &first),
    ]
    .into_iter()
    .enumerate()
    {
        let found = platform.build(git(&url, "inner", reference), "app", &format!("v{number}")).await;
        assert_eq!(found.error, None, "{reference}: {}", platform.log(&found.id).await);
        assert_eq!(found.commit.as_ref(), Some(commit), "{reference}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let mut platform = Platform::start(&[]).await;
    let folder = component_repository(&platform, "repo");
    let url = format!("file://{}", folder.display());
    let error = platform.error(git("file:///nonexistent/repo", "", ""), "a").await;
    assert_eq!(error, "Error fetching git source: there is no repository at file:///nonexistent/repo");
    let plain = platform.folder("plain");
    let error = platform.error(local(&plain), "a").await;
    assert_eq!(
        error,
        format!("Error fetching git source: there is no repository at file://{}", plain.display())
    );
    let error = platform.error(git(&url, "", "nope"), "a").await;
    assert_eq!(
        error,
        format!("Error fetching git source: {url} has no branch, tag or commit `nope`; it has main")
    );
    let error = platform.error(git(&url, "", "0123456789012345678901234567890123456789"), "a").await;
    assert!(error.contains("no commit 0123456789") || error.contains("git cannot fetch"), "{error}");
    let error = platform.error(git(&url, "missing", ""), "a").await;
    assert_eq!(error, "Error fetching git source: the source has no folder `missing`");
    let empty = platform.folder("empty");
    run_git(&empty, &["init", "--quiet"]);
    let error = platform.error(local(&empty), "a").await;
    assert!(error.contains("is empty: it has no commit"), "{error}");
}

#[tokio::test]
async fn options_and_helpers_never_reach_git() {
    let mut platform = Platform::start(&[]).await;
    let marker = platform.folder("marks").join("ran");
    let touch = format!("--upload-pack=touch {}", marker.display());
    for url in [touch.as_str(), "ext::sh -c id", "ssh://-oProxyCommand=id/x"] {
        let error = platform.error(git(url, "", ""), "a").await;
        assert!(error.starts_with("Error fetching git source: `"), "{error}");
    }
    let folder = component_repository(&platform, "repo");
    let url = format!("file://{}", folder.display());
    let error = platform.error(git(&url, "", "--upload-pack=id"), "a").await;
    assert!(error.contains("begins with a hyphen"), "{error}");
    let error = platform.error(git(&url, "../..", ""), "a").await;
    assert!(error.contains("leads out of the source"), "{error}");
    assert!(!marker.exists());
}

#[tokio::test]
async fn links_and_submodules_stay_inside() {
    let mut platform = Platform::start(&[]).await;
    let folder = component_repository(&platform, "links");
    std::os::unix::fs::symlink("/etc/passwd", folder.join("evil")).unwrap();
    commit(&folder, &[]);
    let error = platform.error(local(&folder), "a").await;
    assert_eq!(error, "Error fetching git source: the link `evil` leads out of the source, to `/etc/passwd`");
    let folder = component_repository(&platform, "submodule");
    let modules = "[submodule \"etc\"]\n\tpath = etc\n\turl = file:///etc\n";
    std::fs::write(folder.join(".gitmodules"), modules).unwrap();
    let link = "160000,0123456789012345678901234567890123456789,etc";
    run_git(&folder, &["update-index", "--add", "--cacheinfo", link]);
    run_git(&folder, &["add", ".gitmodules"]);
    run_git(&folder, &["commit", "--quiet", "--message=submodule"]);
    let error = platform.error(local(&folder), "a").await;
    assert!(
        error.contains("the submodule `etc`: file:///etc names a folder of the platform's own disk"),
        "{error}"
    );
}

#[tokio::test]
async fn a_source_has_a_size() {
    let mut platform = Platform::start(&["--source_max", "2MiB"]).await;
    let folder = component_repository(&platform, "large");
    let mut random = vec![0; 4 << 20];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut random).unwrap();
    std::fs::write(folder.join("large"), random).unwrap();
    commit(&folder, &[]);
    let error = platform.error(local(&folder), "a").await;
    assert!(error.ends_with("is larger than 2 MiB"), "{error}");
}

#[tokio::test]
async fn only_the_operator_may_name_this_disk() {
    let mut platform = Platform::start(&["--local_sources", "false"]).await;
    let folder = component_repository(&platform, "repo");
    let error = platform.error(local(&folder), "a").await;
    assert!(error.contains("only the operator's namespace may do"), "{error}");
    let error = platform.error(git("http://127.0.0.1:1/x", "", ""), "a").await;
    assert!(error.contains("is not encrypted: use https://"), "{error}");
    let error = platform.error(git("git://127.0.0.1:1/x", "", ""), "a").await;
    assert!(error.contains("127.0.0.1 is the private address 127.0.0.1"), "{error}");
}

/// Serves a folder as plain files, which git can fetch from; `/private` wants a password.
async fn serve_files(root: &Path) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let root = root.to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let root = root.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                let path = line.split(' ').nth(1).unwrap().split('?').next().unwrap().to_owned();
                while stream.read_line(&mut line).await.is_ok_and(|read| read > 2) {}
                let file = std::fs::read(root.join(path.trim_start_matches('/')));
                let (status, body) = match file {
                    _ if path.starts_with("/private") => {
                        ("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"", Vec::new())
                    }
                    Ok(body) => ("200 OK", body),
                    Err(_) => ("404 Not Found", Vec::new()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&body).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn http_goes_through_the_door() {
    let mut platform = Platform::start(&[]).await;
    let library = component_repository(&platform, "library");
    let served = platform.folder("served");
    let bare = |from: &Path, name: &str| {
        run_git(&served, &["clone", "--quiet", "--bare", &from.display().to_string(), name]);
        run_git(&served.join(name), &["update-server-info"]);
    };
    bare(&library, "library.git");
    let port = serve_files(&served).await;
    // The main repository has its only component in a submodule with a relative address.
    let main = platform.folder("main");
    std::fs::write(main.join(".gitmodules"), "[submodule \"lib\"]\n\tpath = lib\n\turl = ../library.git\n")
        .unwrap();
    commit(&main, &[("README", "x")]);
    let link = run_git(&library, &["rev-parse", "HEAD"]);
    run_git(&main, &["update-index", "--add", "--cacheinfo", &format!("160000,{},lib", link.trim())]);
    run_git(&main, &["commit", "--quiet", "--message=submodule"]);
    bare(&main, "main.git");
    platform.built(git(&format!("http://127.0.0.1:{port}/main.git"), "lib", ""), "app").await;
    let error = platform.error(git(&format!("http://127.0.0.1:{port}/none.git"), "", ""), "b").await;
    assert!(error.contains("there is no repository at http://127.0.0.1"), "{error}");
    let error = platform.error(git(&format!("http://127.0.0.1:{port}/private/x.git"), "", ""), "b").await;
    assert!(error.contains("is private or does not exist: no credential is set for it"), "{error}");
}

#[tokio::test]
async fn the_git_protocol_goes_through_the_door() {
    let mut platform = Platform::start(&[]).await;
    component_repository(&platform, "repo");
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let base = platform.folder("");
    let mut daemon = tokio::process::Command::new("git")
        .args(["daemon", "--listen=127.0.0.1", "--export-all", "--reuseaddr", "--verbose"])
        .arg(format!("--port={port}"))
        .arg(format!("--base-path={}", base.display()))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut ready = BufReader::new(daemon.stderr.take().unwrap()).lines();
    while ready.next_line().await.unwrap().is_some_and(|line| !line.contains("Ready")) {}
    platform.built(git(&format!("git://127.0.0.1:{port}/repo"), "", "main"), "app").await;
    let error = platform.error(git(&format!("git://127.0.0.1:{port}/none"), "", ""), "b").await;
    assert!(error.contains("there is no repository"), "{error}");
    daemon.kill().await.unwrap();
}

#[tokio::test]
async fn a_mirror_stands_for_another_base() {
    let scratch = tempfile::tempdir().unwrap();
    let flag = format!("https://github.com/=file://{}/", scratch.path().display());
    let mut platform = Platform::start(&["--mirror", &flag]).await;
    let folder = scratch.path().join("org/repo");
    std::fs::create_dir_all(&folder).unwrap();
    write_component(&folder, JOB);
    commit(&folder, &[]);
    platform.built(git("https://github.com/org/repo", "", ""), "app").await;
}
