//! TLS between us and a real server: what all backends in Redis have from here.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use super::server::Server as Process;
use super::*;
use crate::certificates::Certificates;

/// Where the test that is started once more finds its server.
const URL: &str = "MICRO_TEST_REDIS_TLS";
const OPENED: &str = "it is open";

/// Which authorities are trusted is a setting of the whole process: so the test below starts this one as another.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_as_a_process_with_its_own_authorities_sees_it() {
    let Ok(url) = std::env::var(URL) else { return };
    match Redis::open(&RedisConfig::new(url)).await {
        Ok(_) => println!("{OPENED}"),
        Err(failure) => println!("{failure:?}"),
    }
}

/// What a process says that trusts this authority and no other.
fn told(port: u16, authority: &Path) -> String {
    let mut other = Command::new(std::env::current_exe().unwrap());
    let name = "redis::tests::a_server_as_a_process_with_its_own_authorities_sees_it";
    other.args(["--exact", name, "--nocapture"]).env(URL, format!("rediss://127.0.0.1:{port}"));
    let output = other.env("SSL_CERT_FILE", authority).env_remove("SSL_CERT_DIR").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A server that speaks TLS on the port.
fn with_tls(certificates: &Certificates) -> Option<(Process, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (certificate, key) = certificates.server();
    let text = |path: &Path| path.display().to_string();
    let (authority, certificate, key) = (text(&certificates.authority()), text(&certificate), text(&key));
    let process = Process::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &authority,
        "--tls-auth-clients",
        "no",
    ])?;
    Some((process, port))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_by_its_authority_and_by_its_name() {
    let (good, wrong) = (Certificates::new("IP:127.0.0.1"), Certificates::new("IP:127.0.0.1"));
    let Some((_process, port)) = with_tls(&good) else { return };
    let opened = told(port, &good.authority());
    assert!(opened.contains(OPENED), "{opened}");
    let refused = told(port, &wrong.authority());
    assert!(refused.contains("Away") && refused.contains("certificate"), "{refused}");
    let elsewhere = Certificates::new("DNS:elsewhere.example");
    let Some((_process, port)) = with_tls(&elsewhere) else { return };
    let refused = told(port, &elsewhere.authority());
    assert!(refused.contains("not valid for name"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_not_left_out_where_the_server_has_none() {
    let Some(process) = Process::start(&[]) else { return };
    let refused =
        Redis::open(&RedisConfig::new(format!("rediss://{}", process.address()))).await.unwrap_err();
    assert!(matches!(refused, Failure::Away(_)), "{refused:?}");
    assert!(refused.to_string().contains("rediss:// asks for TLS"), "{refused}");
}
