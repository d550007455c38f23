//! The socket by which the owner of this machine is known without a credential: whoever connects must run as our own
//! user. The folder is closed to others, so nobody else can put a socket in its place.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::{Extension, Router};
use micro_control::LocalPeer;
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// Pause after the system refused a connection: it has no descriptors left.
const RETRY: Duration = Duration::from_millis(100);

/// The socket of this process; its file goes with it.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    uid: u32,
}

impl Socket {
    /// Listens at `path`. A file that nobody listens at any more is replaced.
    pub(crate) async fn bind(path: &Path) -> Result<Self> {
        let folder = path.parent().context("the socket needs a folder")?;
        let uid = rustix::process::geteuid().as_raw();
        guard(folder, uid)?;
        match UnixStream::connect(path).await {
            Ok(_) => bail!("another server listens at {}: stop it, or choose with --socket", path.display()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(_) => std::fs::remove_file(path).with_context(|| format!("remove {}", path.display()))?,
        }
        let listener = UnixListener::bind(path).with_context(|| format!("listen at {}", path.display()))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .with_context(|| format!("close {} to others", path.display()))?;
        Ok(Self { listener, path: path.to_owned(), uid })
    }

    /// Serves `router` to our own user until `stop`.
    pub(crate) async fn serve(self, router: Router, stop: CancellationToken) {
        let path = self.path.clone();
        let router = router.layer(Extension(LocalPeer));
        let served = axum::serve(self, router).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "The socket ended");
        }
        // Gone already: somebody cleaned up.
        let _ = std::fs::remove_file(path);
    }
}

impl axum::serve::Listener for Socket {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => match stream.peer_cred() {
                    Ok(peer) if peer.uid() == self.uid => return (stream, address),
                    Ok(peer) => tracing::warn!(uid = peer.uid(), "Another user tried the socket"),
                    Err(error) => tracing::warn!(%error, "A peer of the socket is not known"),
                },
                Err(error) => {
                    tracing::warn!(%error, "The socket takes no connection");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Makes the folder for its owner alone, or refuses one that others may enter.
fn guard(folder: &Path, uid: u32) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("make {}", folder.display()))?;
    let metadata = folder.metadata().with_context(|| format!("look at {}", folder.display()))?;
    if metadata.uid() != uid || metadata.permissions().mode() & 0o077 != 0 {
        bail!("the socket's folder {} must be yours alone: run `chmod 700` on it", folder.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_was_left_behind_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let path = folder.path().join("server.sock");
        let first = Socket::bind(&path).await.unwrap();
        let error = Socket::bind(&path).await.err().unwrap().to_string();
        assert!(error.starts_with("another server listens"), "{error}");
        drop(first);
        assert!(path.exists());
        let again = Socket::bind(&path).await.unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        drop(again);
    }

    #[tokio::test]
    async fn a_folder_that_others_may_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = Socket::bind(&folder.path().join("server.sock")).await.err().unwrap().to_string();
        assert!(error.contains("must be yours alone"), "{error}");
    }
}
