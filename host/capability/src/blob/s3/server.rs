//! Buckets of tests' own on the server of a test run, and a server of a test's own: to be killed and started again.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use micro_s3::Http;
use serde::Deserialize;
use tempfile::TempDir;
use url::Url;

use super::raw::{self, Raw};
use super::{S3, S3Config};

const KEY: &str = "test";
const SECRET: &str = "testsecret";
/// SeaweedFS listens for gRPC this much above each of its ports.
const GRPC: u16 = 10_000;

/// A bucket that no other test has; none where the tests run without S3.
pub(crate) async fn bucket() -> Option<S3Config> {
    let url = Url::parse(&std::env::var("MICRO_TEST_S3").ok()?).unwrap();
    let mut address = url.clone();
    address.set_username("").unwrap();
    address.set_password(None).unwrap();
    let config = S3Config {
        key: url.username().to_owned(),
        secret: url.password().unwrap().to_owned(),
        ..S3Config::new(address, format!("t{}", uuid::Uuid::new_v4().simple()))
    };
    make(&config).await;
    Some(config)
}

/// The same bucket by another address.
pub(crate) fn by(config: &S3Config, address: impl std::fmt::Display) -> S3Config {
    S3Config { address: format!("http://{address}"), ..config.clone() }
}

/// Host and port of the server.
pub(crate) fn host(config: &S3Config) -> String {
    config.address.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

fn raw(config: &S3Config) -> Raw {
    let http = Http::new(Duration::from_secs(3), Duration::from_secs(30)).unwrap();
    Raw::new(http, raw::address(&config.address).unwrap(), config)
}

pub(crate) async fn make(config: &S3Config) {
    raw(config).send(Method::PUT, "", &[]).await.unwrap();
}

/// Removes a bucket and all in it.
pub(crate) async fn remove(config: &S3Config) {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct List {
        #[serde(default)]
        contents: Vec<Object>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Object {
        key: String,
    }
    let raw = raw(config);
    loop {
        let list: List = raw.get("", &[("list-type", "2")]).await.unwrap();
        if list.contents.is_empty() {
            break;
        }
        for object in list.contents {
            raw.send(Method::DELETE, &object.key, &[]).await.unwrap();
        }
    }
    raw.send(Method::DELETE, "", &[]).await.unwrap();
}

impl S3 {
    /// How many uploads there are that did not end.
    pub(crate) async fn uploads(&self) -> usize {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct List {
            #[serde(default)]
            upload: Vec<serde::de::IgnoredAny>,
        }
        let list: List = self.0.raw.get("", &[("uploads", "")]).await.unwrap();
        list.upload.len()
    }
}

/// A server with one bucket, that ends with this.
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    /// Of master, volumes, filer and S3.
    ports: [u16; 4],
    pub(crate) config: S3Config,
}

impl Server {
    /// None where the tests run without S3.
    pub(crate) async fn start() -> Option<Self> {
        std::env::var_os("MICRO_TEST_S3")?;
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let identity = format!(
            r#"{{"identities":[{{"name":"t","credentials":[{{"accessKey":"{KEY}","secretKey":"{SECRET}"}}],
            "actions":["Admin","Read","Write","List"]}}]}}"#
        );
        std::fs::write(folder.path().join("s3.json"), identity).unwrap();
        let ports = std::array::from_fn(|_| free_port());
        let config = S3Config {
            key: KEY.to_owned(),
            secret: SECRET.to_owned(),
            ..S3Config::new(format!("http://127.0.0.1:{}", ports[3]), "own")
        };
        let mut server = Self { child: spawn(&folder, &ports), folder, ports, config };
        server.wait_until_ready();
        make(&server.config).await;
        Some(server)
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on its files and its ports, once it was killed.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.folder, &self.ports);
        self.wait_until_ready();
    }

    fn wait_until_ready(&mut self) {
        // After a kill it waits for the lease of its former self to run out.
        let deadline = Instant::now() + Duration::from_secs(120);
        while !answers(self.ports[3]) {
            assert_eq!(self.child.try_wait().unwrap(), None, "weed ended");
            assert!(Instant::now() < deadline, "weed does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if port < u16::MAX - GRPC && TcpListener::bind(("127.0.0.1", port + GRPC)).is_ok() {
            return port;
        }
    }
}

fn spawn(folder: &TempDir, [master, volume, filer, s3]: &[u16; 4]) -> Child {
    let (data, identity) = (folder.path().join("data"), folder.path().join("s3.json"));
    let mut server = Command::new("weed");
    server.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
    server.args([format!("-dir={}", data.display()), format!("-s3.config={}", identity.display())]);
    server.args([format!("-master.port={master}"), format!("-volume.port={volume}")]);
    server.args([format!("-filer.port={filer}"), format!("-s3.port={s3}")]);
    server.args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=16", "-master.volumeSizeLimitMB=64"]);
    server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn answers(port: u16) -> bool {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut answer = [0; 15];
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer == *b"HTTP/1.1 200 OK"
}
