//! The socket of this machine's server. Whoever answers there gets what we send and is believed, so it must be ours:
//! another user of the machine could listen on the port while our server is down, but not here.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use micro_client::{Client, Error};

use crate::environment::{SERVER_ADDRESS, variable};

/// Overrides the path.
const VARIABLE: &str = "MICRO_SOCKET";
const FILE_NAME: &str = "server.sock";

/// Where the server of this machine listens.
pub(crate) fn path(home: &Path) -> PathBuf {
    variable(VARIABLE).map_or_else(|| home.join(FILE_NAME), PathBuf::from)
}

/// A client of the server at the socket, once it is known to be ours. Nothing is sent.
pub(crate) fn client(home: &Path) -> Result<Client> {
    let path = path(home);
    check(&path, rustix::process::geteuid().as_raw())?;
    Ok(Client::on_socket(&path, SERVER_ADDRESS.parse()?)?)
}

/// Refuses a socket that `us` does not own, that lies where others could replace it, or at whose other end is someone
/// else. [`Error::Connect`] when no server is there.
pub(crate) fn check(path: &Path, us: u32) -> Result<()> {
    let absent = |reason: String| Error::Connect { address: SERVER_ADDRESS.to_owned(), reason };
    let shown = path.display();
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(absent(format!("there is no socket {shown}")).into());
        }
        Err(error) => return Err(error).with_context(|| format!("looking at {shown}")),
    };
    if !metadata.file_type().is_socket() {
        bail!("{shown} is no socket: remove it and start the server again with `micro server`");
    }
    if metadata.uid() != us {
        bail!(
            "{shown} belongs to another user: nothing is sent there; choose another socket with {VARIABLE}"
        );
    }
    check_folder(path, us)?;
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) => return Err(absent(format!("{shown}: {error}")).into()),
    };
    let peer = rustix::net::sockopt::socket_peercred(&stream)
        .with_context(|| format!("asking who listens on {shown}"))?;
    if peer.uid.as_raw() != us {
        bail!(
            "another user listens on {shown}: nothing is sent there; choose another socket with {VARIABLE}"
        );
    }
    Ok(())
}

fn check_folder(path: &Path, us: u32) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let shown = folder.display();
    let metadata = folder.metadata().with_context(|| format!("looking at {shown}"))?;
    if metadata.uid() != us || metadata.permissions().mode() & 0o022 != 0 {
        bail!(
            "{shown} is open to other users, who could put a socket of theirs there: close it with \
             `chmod 700 {shown}`, or choose another socket with {VARIABLE}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn us() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn only_a_socket_of_ours_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.sock");
        let listener = UnixListener::bind(&path).unwrap();
        check(&path, us()).unwrap();
        let foreign = check(&path, us() + 1).unwrap_err().to_string();
        assert!(foreign.contains("belongs to another user: nothing is sent there"), "{foreign}");

        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let open = check(&path, us()).unwrap_err().to_string();
        assert!(open.contains("is open to other users") && open.contains("chmod 700"), "{open}");
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();

        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(check(&link, us()).unwrap_err().to_string().contains("is no socket"));
        drop(listener);
        let gone = check(&path, us()).unwrap_err();
        assert!(gone.downcast_ref::<Error>().is_some_and(Error::is_unreachable), "{gone:#}");
    }

    #[test]
    fn no_socket_means_no_server() {
        let folder = tempfile::tempdir().unwrap();
        let error = check(&folder.path().join("server.sock"), us()).unwrap_err();
        assert!(error.downcast_ref::<Error>().is_some_and(Error::is_unreachable));
        let text = error.to_string();
        assert!(text.starts_with("cannot reach a server at 127.0.0.1:8081: there is no socket /"), "{text}");
        assert!(text.contains("`micro server`"), "{text}");
    }
}
