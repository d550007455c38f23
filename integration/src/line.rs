//! A way to a server that can be closed, as if the server were away, and opened again.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::eventually;

/// How long the port may still be in use.
const AGAIN_WITHIN: Duration = Duration::from_secs(10);

/// Passes bytes on to the server while it is open.
#[derive(Debug)]
pub struct Line {
    server: String,
    address: SocketAddr,
    passing: Option<JoinHandle<()>>,
}

impl Line {
    /// `server` is `host:port`.
    pub async fn to(server: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("bind a line")?;
        let address = listener.local_addr().context("read a line's address")?;
        let passing = Some(tokio::spawn(pass(listener, server.to_owned())));
        Ok(Self { server: server.to_owned(), address, passing })
    }

    /// Where clients find the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections, and refuses new ones.
    pub async fn close(&mut self) {
        if let Some(passing) = self.passing.take() {
            passing.abort();
            // Its connections end with it.
            let _ = passing.await;
        }
    }

    /// Passes on again.
    pub async fn open(&mut self) -> Result<()> {
        let address = self.address;
        let listener = eventually("the line's port is free", AGAIN_WITHIN, async || {
            TcpListener::bind(address).await.context("bind a line again")
        })
        .await?;
        self.passing = Some(tokio::spawn(pass(listener, self.server.clone())));
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(passing) = &self.passing {
            passing.abort();
        }
    }
}

async fn pass(listener: TcpListener, server: String) {
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let server = server.clone();
        connections.spawn(async move {
            if let Ok(mut server) = TcpStream::connect(&server).await {
                // Whoever ends it ends it for both.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
