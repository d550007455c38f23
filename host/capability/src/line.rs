//! A connection between a client and its server that tests can cut and stall.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes bytes on between clients and the server, until it is told not to.
pub(crate) struct Line {
    pub(crate) address: SocketAddr,
    stalled: Arc<AtomicBool>,
    cuts: watch::Sender<u32>,
    listening: tokio::task::JoinHandle<()>,
}

impl Line {
    /// To the PostgreSQL of this URL, with the URL by which it is reached.
    pub(crate) async fn to_postgres(url: &str) -> (Self, String) {
        let (before, rest) = url.split_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let line = Self::to(server.to_owned()).await;
        let url = format!("{before}@{}/{database}", line.address);
        (line, url)
    }

    pub(crate) async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (all_stalled, all_cuts) = (Arc::<AtomicBool>::default(), watch::Sender::new(0));
        let (stalled, cuts) = (Arc::clone(&all_stalled), all_cuts.subscribe());
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                let (stalled, mut cut) = (Arc::clone(&stalled), cuts.clone());
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::select! {
                        () = pass(from_client, to_server, &stalled) => {}
                        () = pass(from_server, to_client, &stalled) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, stalled: all_stalled, cuts: all_cuts, listening }
    }

    /// Cuts all, and takes nobody any more.
    pub(crate) async fn close(mut self) {
        self.listening.abort();
        let _ = (&mut self.listening).await;
        self.cut();
    }

    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    pub(crate) fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::SeqCst);
    }
}

async fn pass(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, stalled: &AtomicBool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        while stalled.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
