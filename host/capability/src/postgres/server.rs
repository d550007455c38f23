//! A PostgreSQL of a test's own: to be killed and started again, and to run out of disk.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::certificates::Certificates;

/// What a test takes from the disk before, to give it back.
const BALLAST_BYTES: usize = 8 << 20;

/// A server that keeps what it acknowledged; it ends with this.
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    /// The tables lie on a disk of their own.
    mounted: bool,
    settings: Vec<String>,
}

impl Server {
    /// None where the tests run without PostgreSQL.
    pub(crate) fn start() -> Option<Self> {
        Self::begin(None, None)
    }

    /// It speaks TLS to whoever asks for it.
    pub(crate) fn start_with(certificates: &Certificates) -> Option<Self> {
        Self::begin(None, Some(certificates))
    }

    /// Its tables have `bytes` of disk and no more; what it writes ahead lies elsewhere, since a server that cannot do
    /// that stops. None also where nobody may mount a disk.
    pub(crate) fn start_on_disk_of(bytes: u64) -> Option<Self> {
        Self::begin(Some(bytes), None)
    }

    fn begin(disk_bytes: Option<u64>, tls: Option<&Certificates>) -> Option<Self> {
        std::env::var_os("MICRO_TEST_POSTGRES")?;
        let programs = programs()?;
        let folder = tempfile::tempdir().unwrap();
        for name in ["data", "run"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let data = folder.path().join("data");
        if let Some(bytes) = disk_bytes {
            let options = format!("size={bytes}");
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&data);
            if !mount.stderr(Stdio::null()).status().is_ok_and(|done| done.success()) {
                eprintln!("nobody may mount a disk here: not tested");
                return None;
            }
        }
        let settings = tls.map(|tls| speak_tls(folder.path(), tls)).unwrap_or_default();
        if is_root() {
            run(Command::new("chown").args(["-R", "postgres"]).arg(folder.path()));
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut init = as_user(&programs.join("initdb"));
        init.arg("-D").arg(data.join("pg")).arg("-X").arg(folder.path().join("ahead"));
        run(init.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]));
        let child = spawn(&programs, &folder, port, &settings);
        let mut server = Self { child, folder, programs, port, mounted: disk_bytes.is_some(), settings };
        server.wait_until_ready();
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Takes some of the disk.
    pub(crate) fn take_room(&self) {
        let mut file = std::fs::File::create(self.ballast()).unwrap();
        file.write_all(&vec![7; BALLAST_BYTES]).unwrap();
    }

    /// Gives it back.
    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("data").join("ballast")
    }

    /// `kill -9` of the server and of all that work for it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on its files and its port, once it was killed.
    pub(crate) fn restart(&mut self) {
        // Until the workers of the one that was killed have seen it, a new one refuses the files.
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            self.child = spawn(&self.programs, &self.folder, self.port, &self.settings);
            if self.comes_up() {
                return;
            }
            assert!(Instant::now() < deadline, "postgres does not come up again");
        }
    }

    fn wait_until_ready(&mut self) {
        assert!(self.comes_up(), "postgres ended: {}", self.log());
    }

    /// Whether it answers; false: it ended.
    fn comes_up(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(30);
        let port = self.port.to_string();
        loop {
            let mut ask = Command::new(self.programs.join("pg_isready"));
            ask.args(["-q", "-h", "127.0.0.1", "-p", &port]).stderr(Stdio::null());
            if ask.status().unwrap().success() {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < deadline, "postgres does not answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.mounted {
            // Its workers may still have files open: the disk goes when they have gone.
            let _ = Command::new("umount").arg("--lazy").arg(self.folder.path().join("data")).status();
        }
    }
}

/// The folder of the newest installed server's programs.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let bins = versions.flatten().map(|version| version.path().join("bin"));
    bins.filter(|bin| bin.join("initdb").exists()).max()
}

fn spawn(programs: &Path, folder: &TempDir, port: u16, settings: &[String]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
    let mut server = as_user(&programs.join("postgres"));
    server.arg("-D").arg(folder.path().join("data/pg")).arg("-k").arg(folder.path().join("run"));
    server.args(["-c", "listen_addresses=127.0.0.1", "-p", &port.to_string()]);
    for setting in settings {
        server.args(["-c", setting]);
    }
    server.stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// It takes no key that others may read or have.
fn speak_tls(folder: &Path, tls: &Certificates) -> Vec<String> {
    let (certificate, key) = tls.server();
    let own = |file: &Path, name: &str| {
        let own = folder.join(name);
        std::fs::copy(file, &own).unwrap();
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o600)).unwrap();
        own
    };
    let (certificate, key) = (own(&certificate, "server.pem"), own(&key, "server.key"));
    vec![
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", certificate.display()),
        format!("ssl_key_file={}", key.display()),
    ]
}

/// PostgreSQL refuses root: root runs it as the package's user.
fn as_user(program: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
