//! A throw-away SeaweedFS, which speaks S3, for the tests that run on it too. Each test makes a bucket of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{paths, postgres};

const READY_WITHIN: Duration = Duration::from_secs(60);
/// It listens for gRPC so far above each of its ports.
const GRPC: u16 = 10_000;
const KEY: &str = "test";
const SECRET: &str = "testsecret";

/// A running server; it stops and its files go when this is dropped.
#[derive(Debug)]
pub(crate) struct S3 {
    server: Child,
    dir: PathBuf,
    /// `http://KEY:SECRET@127.0.0.1:PORT`.
    pub(crate) url: String,
}

impl S3 {
    pub(crate) fn start() -> Result<Self> {
        let program = paths::find_program("weed")
            .context("SeaweedFS is not installed: run `cargo xtask setup --for test`")?;
        let dir = std::env::temp_dir().join(format!("micro-s3-{}", std::process::id()));
        fs::create_dir_all(dir.join("data")).with_context(|| format!("make {}", dir.display()))?;
        let identity = dir.join("s3.json");
        let known = format!(
            r#"{{"identities":[{{"name":"test","credentials":[{{"accessKey":"{KEY}","secretKey":"{SECRET}"}}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
        );
        fs::write(&identity, known).context("write who may use SeaweedFS")?;
        let (master, volume, filer, port) = (free_port()?, free_port()?, free_port()?, free_port()?);
        let mut server = Command::new(program);
        server.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
        server.arg(format!("-dir={}", dir.join("data").display()));
        server.arg(format!("-s3.config={}", identity.display()));
        server.arg(format!("-master.port={master}")).arg(format!("-volume.port={volume}"));
        server.arg(format!("-filer.port={filer}")).arg(format!("-s3.port={port}"));
        // Else these two listen on ports that are always the same.
        server.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
        // Each bucket takes some volumes, small files that grow to this.
        server.args(["-volume.max=400", "-master.volumeSizeLimitMB=64"]);
        server.stdout(Stdio::null()).stderr(fs::File::create(dir.join("log")).context("make a log")?);
        let server = server.spawn().context("start SeaweedFS")?;
        let mut s3 = Self { server, dir, url: format!("http://{KEY}:{SECRET}@127.0.0.1:{port}") };
        s3.wait_until_ready(port)?;
        Ok(s3)
    }

    fn wait_until_ready(&mut self, port: u16) -> Result<()> {
        let started = Instant::now();
        while !answers(port) {
            if let Some(status) = self.server.try_wait().context("look at SeaweedFS")? {
                let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                bail!("SeaweedFS ended with {status}: {log}");
            }
            if started.elapsed() > READY_WITHIN {
                bail!("SeaweedFS was not ready after {READY_WITHIN:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // Asked to end, it takes half a minute.
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = [0; 15];
    stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
        && stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer == *b"HTTP/1.1 200 OK"
}

/// A port that nobody listened on a moment ago, nor on its twin for gRPC.
fn free_port() -> Result<u16> {
    for _ in 0..1_000 {
        let port = postgres::free_port()?;
        if let Some(twin) = port.checked_add(GRPC)
            && TcpListener::bind(("127.0.0.1", twin)).is_ok()
        {
            return Ok(port);
        }
    }
    bail!("there are no two free ports that are {GRPC} apart")
}
