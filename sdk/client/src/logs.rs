//! A service's log as a stream of records.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::stream::{BoxStream, Stream, StreamExt, try_unfold};
use micro_api::ServiceName;
use micro_api::logs::LogRecord;
use micro_api::routes::SERVICES;
use reqwest::Method;

use crate::{Client, Result};

/// A longer line of the stream is an error. The platform cuts messages far below it.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// A year: a followed log has no end of its own.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(365 * 86_400);

/// Which records to send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// None is every version.
    pub version: Option<String>,
    /// At most so many of the newest; none is the server's default.
    pub lines: Option<u64>,
    /// Not older than this, Unix milliseconds.
    pub since_ms: Option<i64>,
    /// Go on with new records until the stream is dropped.
    pub follow: bool,
    /// The output of the build instead of the service's.
    pub build: bool,
}

struct Lines {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    buffer: BytesMut,
    /// How much of `buffer` is known to hold no line end.
    scanned: usize,
    client: Client,
}

impl Client {
    /// The records, oldest first. 404 `service not found`.
    pub async fn logs(
        &self,
        name: &ServiceName,
        query: &LogQuery,
    ) -> Result<impl Stream<Item = Result<LogRecord>> + Send + use<>> {
        let mut url = self.url(SERVICES, &[&name.to_string(), "logs"]);
        {
            let mut pairs = url.query_pairs_mut();
            if let Some(version) = &query.version {
                pairs.append_pair("version", version);
            }
            if let Some(lines) = query.lines {
                pairs.append_pair("lines", &lines.to_string());
            }
            if let Some(since) = query.since_ms {
                pairs.append_pair("since_ms", &since.to_string());
            }
            pairs.append_pair("follow", if query.follow { "true" } else { "false" });
            pairs.append_pair("build", if query.build { "true" } else { "false" });
        }
        let mut request = self.request(Method::GET, url);
        if query.follow {
            request = request.timeout(FOLLOW_TIMEOUT);
        }
        let response = self.send(request).await?;
        let lines = Lines {
            body: response.bytes_stream().boxed(),
            buffer: BytesMut::new(),
            scanned: 0,
            client: self.clone(),
        };
        Ok(try_unfold(lines, |mut lines| async move {
            Ok(lines.next_record().await?.map(|record| (record, lines)))
        }))
    }
}

impl Lines {
    async fn next_record(&mut self) -> Result<Option<LogRecord>> {
        loop {
            while let Some(line) = self.take_line() {
                if !line.trim_ascii().is_empty() {
                    return self.parse(&line).map(Some);
                }
            }
            match self.body.next().await {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(error)) => return Err(self.client.broken(&error)),
                None if self.buffer.trim_ascii().is_empty() => return Ok(None),
                None => {
                    let line = self.buffer.split();
                    return self.parse(&line).map(Some);
                }
            }
            if self.buffer.len() > LINE_BYTES_MAX && !self.buffer.contains(&b'\n') {
                return Err(self.client.protocol("a line of the log is too long"));
            }
        }
    }

    fn take_line(&mut self) -> Option<BytesMut> {
        let end = self.buffer.iter().skip(self.scanned).position(|byte| *byte == b'\n');
        let Some(end) = end else {
            self.scanned = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.scanned + end);
        self.buffer.advance(1);
        self.scanned = 0;
        Some(line)
    }

    /// A record, or the error object with which the server ends a stream that broke.
    fn parse(&self, line: &[u8]) -> Result<LogRecord> {
        serde_json::from_slice(line).map_err(|error| match serde_json::from_slice::<micro_api::Error>(line) {
            Ok(told) if told.code != 0 => crate::Error::Api(told),
            _ => self.client.protocol(error.to_string()),
        })
    }
}
