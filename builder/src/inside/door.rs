//! The sandbox's end of the door.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tokio::net::{TcpListener, UnixStream};

use super::{DOOR, PROXY};
use crate::door::SOCKET;

fn socket() -> PathBuf {
    PathBuf::from(DOOR).join(SOCKET)
}

/// Forwards [`PROXY`] to the socket while `command` runs.
pub(super) fn run(command: &[String]) -> Result<i32> {
    let (program, arguments) = command.split_first().context("no command")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start")?;
    runtime.block_on(async {
        let listener = TcpListener::bind(PROXY).await.context("listen for the proxy")?;
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .spawn()
            .with_context(|| format!("run {program}"))?;
        loop {
            tokio::select! {
                status = child.wait() => {
                    return Ok(status.context("wait")?.code().unwrap_or(1));
                }
                accepted = listener.accept() => {
                    let (mut tcp, _) = accepted.context("accept")?;
                    tokio::spawn(async move {
                        if let Ok(mut door) = UnixStream::connect(socket()).await {
                            let _ = tokio::io::copy_bidirectional(&mut tcp, &mut door).await;
                        }
                    });
                }
            }
        }
    })
}

/// A tunnel on standard input and output.
pub(super) fn dial(host: &str, port: u16) -> Result<i32> {
    let mut door = StdUnixStream::connect(socket()).context("reach the door")?;
    let name = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    write!(door, "CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n").context("ask the door")?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        door.read_exact(&mut byte).context("read the door's answer")?;
        head.extend_from_slice(&byte);
    }
    let text = String::from_utf8_lossy(&head);
    let status = text.lines().next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200") {
        bail!("{}", status.trim_start_matches("HTTP/1.1 "));
    }
    let mut up = door.try_clone().context("clone the connection")?;
    std::thread::spawn(move || {
        let _ = copy(&mut std::io::stdin().lock(), &mut up);
        let _ = up.shutdown(std::net::Shutdown::Write);
    });
    copy(&mut door, &mut std::io::stdout().lock()).context("copy")?;
    Ok(0)
}

/// Unlike `std::io::copy`, passes on each piece at once.
fn copy(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    let mut chunk = vec![0; 32 * 1024];
    loop {
        let read = from.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(chunk.get(..read).unwrap_or_default())?;
        to.flush()?;
    }
}
