//! A real ssh server, reached through the door with the operator's key.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::harness::*;

struct Server {
    _child: tokio::process::Child,
    port: u16,
    key: PathBuf,
    known: PathBuf,
}

fn key(path: &Path) -> String {
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status().unwrap();
    assert!(made.success());
    std::fs::read_to_string(path.with_extension("pub")).unwrap()
}

async fn start(folder: &Path) -> Server {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let host = key(&folder.join("host"));
    let user = key(&folder.join("user"));
    std::fs::write(folder.join("authorized"), user).unwrap();
    let known = folder.join("known");
    std::fs::write(&known, format!("[127.0.0.1]:{port} {host}")).unwrap();
    std::fs::create_dir_all("/run/sshd").unwrap();
    let config = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\nPidFile none\n\
         PasswordAuthentication no\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n",
        folder.display()
    );
    std::fs::write(folder.join("config"), config).unwrap();
    let child = tokio::process::Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f"])
        .arg(folder.join("config"))
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ready = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ready).await.expect("sshd answers");
    Server { _child: child, port, key: folder.join("user"), known }
}

#[tokio::test]
async fn ssh_goes_through_the_door() {
    let scratch = tempfile::tempdir().unwrap();
    let server = start(scratch.path()).await;
    let repository = scratch.path().join("repo");
    std::fs::create_dir(&repository).unwrap();
    write_component(&repository, JOB);
    commit(&repository, &[]);
    let url = format!("ssh://root@127.0.0.1:{}{}", server.port, repository.display());

    let mut platform = Platform::start(&[]).await;
    let error = platform.error(git(&url, "", ""), "app").await;
    assert!(error.contains("the host key of 127.0.0.1 is not known"), "{error}");

    let known = server.known.display().to_string();
    let mut platform = Platform::start(&["--known_hosts", &known]).await;
    let error = platform.error(git(&url, "", ""), "app").await;
    assert!(error.contains("refused the credential"), "{error}");

    let key = server.key.display().to_string();
    let mut platform = Platform::start(&["--known_hosts", &known, "--ssh_key", &key]).await;
    platform.built(git(&url, "", "main"), "app").await;
}
