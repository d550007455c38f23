//! A Redis of a test's own: to be stopped, killed and started again.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The shared server of a test run; none: there is none.
pub(crate) fn shared() -> Option<String> {
    std::env::var("MICRO_TEST_REDIS").ok()
}

/// A prefix that no other test has.
pub(crate) fn prefix() -> String {
    format!("t{}", uuid::Uuid::new_v4().simple())
}

/// Removes what a test left behind on a shared server.
pub(crate) async fn remove_all(url: &str, prefix: &str) {
    let client = ::redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut cursor = 0_u64;
    loop {
        let mut scan = ::redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{prefix}:*")).arg("COUNT").arg(1_000);
        let (next, keys): (u64, Vec<String>) = scan.query_async(&mut connection).await.unwrap();
        for key in keys {
            ::redis::cmd("UNLINK").arg(key).query_async::<()>(&mut connection).await.unwrap();
        }
        cursor = next;
        if cursor == 0 {
            return;
        }
    }
}

impl super::Redis {
    /// Whatever a test wants to ask: a command and its arguments.
    pub(crate) async fn ask<T: ::redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut call = ::redis::cmd(words[0]);
        call.arg(&words[1..]);
        self.retried(&super::Call::plain(call)).await.unwrap()
    }
}

/// A server with the settings under which it loses nothing, and whatever a test adds; it ends with this.
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    port: u16,
    extra: Vec<String>,
}

impl Server {
    /// None where the tests run without Redis.
    pub(crate) fn start(extra: &[&str]) -> Option<Self> {
        shared()?;
        let folder = tempfile::tempdir().unwrap();
        let extra: Vec<_> = extra.iter().map(|&word| word.to_owned()).collect();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = spawn(&folder, port, &extra);
        let mut server = Self { child, folder, port, extra };
        server.wait_until_ready();
        Some(server)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on its files and its port, once it was killed.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.folder, self.port, &self.extra);
        self.wait_until_ready();
    }

    /// Stops it from doing anything, until [`Server::go_on`]; its connections stay.
    pub(crate) fn stall(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !answers(self.port) {
            assert_eq!(self.child.try_wait().unwrap(), None, "redis-server ended");
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &TempDir, port: u16, extra: &[String]) -> Child {
    let mut server = Command::new("redis-server");
    server
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"])
        .arg(folder.path());
    server.args(["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]);
    server.args(extra).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Whether it is ready for calls, be it that it wants a password first.
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut answer = [0; 7];
    stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && (answer.starts_with(b"+PONG") || answer.starts_with(b"-NOAUTH"))
}
