//! A service's log as a stream of records.

use std::time::Duration;

use futures::stream::Stream;
use micro_api::ServiceName;
use micro_api::logs::LogRecord;
use micro_api::routes::SERVICES;
use reqwest::Method;

use crate::lines::lines;
use crate::{Client, Result};

/// A longer line of the stream is an error. The platform cuts messages far below it.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// A year: a followed log has no end of its own.
pub(crate) const FOLLOW_TIMEOUT: Duration = Duration::from_secs(365 * 86_400);

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
        Ok(lines(self, response, LINE_BYTES_MAX))
    }
}
