//! Certificates of an authority that nobody knows but its test.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const EXTENSIONS: &str = "[req]\ndistinguished_name = name\n[name]\n\
    [authority]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n";
const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/// An authority with a server's certificate, in files.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    /// `of`: what the server is called, `IP:127.0.0.1` or `DNS:localhost`.
    pub(crate) fn new(of: &str) -> Self {
        let own = Self(tempfile::tempdir().unwrap());
        let server = format!("[server]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = {of}\n");
        std::fs::write(own.file("config"), format!("{EXTENSIONS}{server}")).unwrap();
        own.openssl(&["req", "-x509", "-config", "config", "-extensions", "authority"], |openssl| {
            openssl.args(NEW_KEY).args(["-keyout", "authority.key", "-out", "authority.pem"]);
            openssl.args(["-days", "2", "-subj", "/CN=An authority of a test"])
        });
        own.openssl(&["req", "-config", "config", "-subj", "/CN=A server of a test"], |openssl| {
            openssl.args(NEW_KEY).args(["-keyout", "server.key", "-out", "server.csr"])
        });
        own.openssl(&["x509", "-req", "-in", "server.csr", "-out", "server.pem"], |openssl| {
            openssl.args(["-CA", "authority.pem", "-CAkey", "authority.key", "-set_serial", "2"]);
            openssl.args(["-days", "2", "-extfile", "config", "-extensions", "server"])
        });
        own
    }

    /// The certificate of the authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.file("authority.pem")
    }

    /// The server's own, and its key.
    pub(crate) fn server(&self) -> (PathBuf, PathBuf) {
        (self.file("server.pem"), self.file("server.key"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn openssl(&self, begin: &[&str], more: impl FnOnce(&mut Command) -> &mut Command) {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(self.folder()).args(begin);
        let done = more(&mut openssl).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}
