//! OpenSSH on a port of its own, with keys made for it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::eventually;
use crate::platform::die_with_parent;

/// A running server; it stops when this is dropped.
#[derive(Debug)]
pub struct SshServer {
    server: Child,
    address: SocketAddr,
    dir: PathBuf,
}

impl SshServer {
    /// Starts it with its files in `dir`. Clients may clone everything that this user may read.
    pub async fn start(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        for key in ["host", "client"] {
            keygen(&dir.join(key))?;
        }
        fs::copy(dir.join("client.pub"), dir.join("authorized_keys"))
            .context("authorise the client's key")?;
        if Path::new("/run").metadata().is_ok() {
            // As root the server insists on this folder; elsewhere it needs none.
            let _ = fs::create_dir_all("/run/sshd");
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .context("find a port")?;
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {}\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/authorized_keys\n\
             PidFile {dir}/pid\nPasswordAuthentication no\nStrictModes no\nUsePAM no\nSetEnv GIT_CONFIG_COUNT=1 \
             GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=* PATH={path}\n",
            port.port(),
            dir = dir.display(),
            path = std::env::var("PATH").unwrap_or_default(),
        );
        fs::write(dir.join("config"), config).context("write sshd's configuration")?;
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(dir.join("config"));
        let mut command = die_with_parent(&command);
        command.stdin(Stdio::null()).stderr(fs::File::create(dir.join("log")).context("make sshd's log")?);
        let server = command.spawn().context("start sshd")?;
        let mut this = Self { server, address: port, dir: dir.to_owned() };
        this.wait_until_ready().await?;
        Ok(this)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let address = self.address;
        let log = self.dir.join("log");
        eventually("sshd answers", Duration::from_secs(20), async || {
            if let Some(status) = self.server.try_wait()? {
                bail!("sshd ended with {status}: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            tokio::net::TcpStream::connect(address).await.context("connect").map(drop)
        })
        .await
    }

    /// `ssh://USER@127.0.0.1:PORT<path>`
    pub fn url(&self, path: &Path) -> String {
        let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        format!("ssh://{user}@{}{}", self.address, path.display())
    }

    /// The private key that the server accepts.
    pub fn client_key(&self) -> PathBuf {
        self.dir.join("client")
    }

    /// A `known_hosts` file with the server's key.
    pub fn known_hosts(&self) -> Result<PathBuf> {
        let key = fs::read_to_string(self.dir.join("host.pub")).context("read the host key")?;
        let file = self.dir.join("known_hosts");
        let line = format!("[127.0.0.1]:{} {key}", self.address.port());
        fs::write(&file, line).context("write known_hosts")?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644))
            .context("let others read known_hosts")?;
        Ok(file)
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn keygen(file: &Path) -> Result<()> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file);
    let output = command.output().context("start ssh-keygen")?;
    if !output.status.success() {
        bail!("ssh-keygen: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
