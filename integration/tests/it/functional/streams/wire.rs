//! What streams look like on the wire: lines, and Connect's envelopes.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::stream::BoxStream;
use futures::{StreamExt as _, channel::mpsc};
use micro_integration::Platform;
use serde_json::Value;

/// The longest that anything may take.
pub(super) const WITHIN: Duration = Duration::from_secs(60);

/// The JSON object of each line.
pub(super) fn lines(text: &str) -> Result<Vec<Value>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| serde_json::from_str(line).with_context(|| format!("{line} in {text}"))).collect()
}

/// A message, or with flag 2 the end.
pub(super) fn envelope(flags: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[flags][..], length.as_slice(), message].concat()
}

/// Flags and bytes of each envelope of a whole body.
pub(super) fn envelopes(mut body: &[u8]) -> Result<Vec<(u8, Vec<u8>)>> {
    let mut found = Vec::new();
    while !body.is_empty() {
        let (one, rest) = split(body).with_context(|| format!("{body:?} is no envelope"))?;
        found.push(one);
        body = rest;
    }
    Ok(found)
}

type Envelope = (u8, Vec<u8>);

fn split(body: &[u8]) -> Option<(Envelope, &[u8])> {
    let (&[flags, a, b, c, d], rest) = body.split_first_chunk::<5>()?;
    let (message, rest) = rest.split_at_checked(u32::from_be_bytes([a, b, c, d]) as usize)?;
    Some(((flags, message.to_vec()), rest))
}

type Part = Result<Vec<u8>, std::io::Error>;

/// A call of Connect's over HTTP/2 without TLS, both of whose directions are open.
pub(super) struct Call {
    requests: Option<mpsc::UnboundedSender<Part>>,
    response: tokio::task::JoinHandle<reqwest::Result<reqwest::Response>>,
    body: Option<BoxStream<'static, reqwest::Result<Vec<u8>>>>,
    buffer: Vec<u8>,
}

impl Call {
    /// Begins a call; nothing is sent yet but its head.
    pub(super) fn begin(platform: &Platform, path: &str, kind: &str) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().timeout(WITHIN).build()?;
        let (requests, body) = mpsc::unbounded::<Part>();
        let request = client.post(platform.url(path)).header("content-type", kind);
        let request = request.body(reqwest::Body::wrap_stream(body));
        let response = tokio::spawn(request.send());
        Ok(Self { requests: Some(requests), response, body: None, buffer: Vec::new() })
    }

    pub(super) fn send(&self, message: &[u8]) -> Result<()> {
        let requests = self.requests.as_ref().context("the last message was sent")?;
        requests.unbounded_send(Ok(envelope(0, message))).context("the request is over")
    }

    /// No more requests.
    pub(super) fn finish(&mut self) {
        self.requests = None;
    }

    /// The next reply, or the end with flag 2.
    pub(super) async fn next(&mut self) -> Result<(u8, Vec<u8>)> {
        tokio::time::timeout(WITHIN, self.receive()).await.context("no reply came")?
    }

    async fn receive(&mut self) -> Result<(u8, Vec<u8>)> {
        if self.body.is_none() {
            let response = (&mut self.response).await??;
            let status = response.status();
            if status != 200 {
                bail!("{status} {}", response.text().await?);
            }
            ensure!(response.version() == reqwest::Version::HTTP_2, "{:?}", response.version());
            self.body = Some(response.bytes_stream().map(|part| part.map(Vec::from)).boxed());
        }
        loop {
            if let Some((one, rest)) = split(&self.buffer) {
                self.buffer = rest.to_vec();
                return Ok(one);
            }
            let body = self.body.as_mut().context("a body")?;
            let chunk = body.next().await.context("the stream ended without an end envelope")??;
            self.buffer.extend_from_slice(&chunk);
        }
    }
}
