//! Streams that share an instance: what becomes of one is nothing to the others.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use micro_integration::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::bounds::{Single, run};
use super::counts;
use super::wire::{WITHIN, lines};

/// A call that goes on for so long after its caller left is given up; the instance takes no new ones from then on.
const MANIFEST: &str =
    "[service]\nname = \"ticker\"\n[run]\nreuse = \"concurrent\"\n[limits]\nwall = \"1s\"\n";
/// Messages of a stream that stays. With 10 ms between them it lasts longer than what is given up.
const COUNT: u64 = 300;
/// Between two pings: as fast as they can they would use all CPU time of the instance.
const PAUSE: Duration = Duration::from_millis(50);

/// A conversation by HTTP/1.1, whose caller is gone when it is dropped.
struct Rally {
    stream: TcpStream,
    said: String,
}

impl Rally {
    async fn begin(single: &Single) -> Result<Self> {
        let (namespace, token) = (&single.tenant.namespace, &single.tenant.token);
        let mut stream = TcpStream::connect(single.platform.api()).await.context("connect")?;
        let head = format!(
            "POST /ticker/ping-pong HTTP/1.1\r\nhost: {namespace}.localhost\r\nauthorization: Bearer {token}\r\n\
             content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.context("begin a rally")?;
        let mut rally = Self { stream, said: String::new() };
        rally.ping(1).await?;
        Ok(rally)
    }

    /// Sends a ping, and waits for its pong.
    async fn ping(&mut self, stroke: u64) -> Result<()> {
        let line = format!("{{\"stroke\": {stroke}}}\n");
        let chunk = format!("{:x}\r\n{line}\r\n", line.len());
        self.stream.write_all(chunk.as_bytes()).await.context("send a ping")?;
        let pong = format!("{{\"stroke\":\"{stroke}\"}}");
        while !self.said.contains(&pong) {
            let more = self.read().await?;
            ensure!(more && self.said.starts_with("HTTP/1.1 200 "), "no pong {stroke}: {}", self.said);
        }
        Ok(())
    }

    /// Sends no more; all that was said until the end.
    async fn finish(mut self) -> Result<String> {
        self.stream.write_all(b"0\r\n\r\n").await.context("end a rally")?;
        while self.read().await? {}
        Ok(self.said)
    }

    /// False: the connection is closed.
    async fn read(&mut self) -> Result<bool> {
        let mut buffer = vec![0; 4_096];
        let read = timeout(WITHIN, self.stream.read(&mut buffer)).await.context("nothing comes")??;
        self.said.push_str(&String::from_utf8_lossy(buffer.get(..read).unwrap_or_default()));
        Ok(read > 0)
    }
}

/// The first replies of a stream, and the rest.
type Replies = (String, reqwest::Response);

/// What is open at once.
struct Open {
    rally: Rally,
    counting: Replies,
    /// Whose callers leave while the service waits for a message, sleeps, and sends.
    leaving: (Rally, Replies, Replies),
}

/// Opens all of them. As there is one instance at most, each that is answered while the first is open is in it.
async fn open(single: &Single) -> Result<Open> {
    let rally = Rally::begin(single).await?;
    let waits = Rally::begin(single).await?;
    let sleeps = single.begin("/ticker/stream?interval_ms=60000", "*/*").await?;
    let sends = single.begin("/ticker/stream?interval_ms=1", "*/*").await?;
    let counting = single.begin(&format!("/ticker/stream?count={COUNT}&interval_ms=10"), "*/*").await?;
    Ok(Open { rally, counting, leaving: (waits, sleeps, sends) })
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_leave_take_nothing_from_others_in_the_same_instance() -> Result<()> {
    let single = Single::start().await?;
    let micro = &single.tenant.micro;
    run(&single.platform, micro, "ticker", MANIFEST).await?;
    // An instance that is slow for once takes no more calls.
    let Open { mut rally, counting: (first, rest), leaving } =
        eventually("all are in one instance", WITHIN, async || open(&single).await).await?;
    let mut counting = tokio::spawn(async move { anyhow::Ok(first + &rest.text().await?) });
    ensure!(!counting.is_finished(), "nothing goes on while the others leave");
    drop(leaving);

    let mut stroke = 1;
    let counted = loop {
        stroke += 1;
        rally.ping(stroke).await?;
        if let Ok(counted) = timeout(PAUSE, &mut counting).await {
            break counted.context("count")??;
        }
    };
    ensure!(lines(&counted)? == counts(COUNT), "{counted}");
    eventually("the service hears that a caller left", WITHIN, async || {
        let logs = micro.ok(&["logs", "-n", "1000", "ticker"]).await?;
        ensure!(logs.contains(", then 499"), "{logs}");
        Ok(())
    })
    .await?;
    // Whoever stayed is served to its end.
    rally.ping(stroke + 1).await?;
    let said = rally.finish().await?;
    ensure!(!said.contains("error") && said.ends_with("0\r\n\r\n"), "{said}");
    single.is_free("/ticker/call?name=Jane").await
}
