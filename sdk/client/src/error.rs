//! What can go wrong between a client and the control API.

/// Why a request gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens there.
    #[error(
        "cannot reach a server at {address}: {reason}; start one with `micro server`, or choose another \
         environment with `micro env set NAME`"
    )]
    Connect { address: String, reason: String },
    /// The server answered with an error.
    #[error("{}", if _0.detail.is_empty() { _0.to_json() } else { _0.detail.clone() })]
    Api(micro_api::Error),
    /// The connection broke or the answer took too long.
    #[error("the connection to {address} failed: {reason}")]
    Transport { address: String, reason: String },
    /// The answer is not what this API says, as when something else listens there.
    #[error("{address} does not answer as a Micro server does: {reason}")]
    Protocol { address: String, reason: String },
    /// A local file could not be read.
    #[error("cannot read {path}: {source}")]
    File { path: String, source: std::io::Error },
}

impl Error {
    /// The server's own error object, if it is one.
    pub fn api(&self) -> Option<&micro_api::Error> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }

    /// The HTTP status of the server's error; 0 for every other kind.
    pub fn code(&self) -> u16 {
        self.api().map_or(0, |error| error.code)
    }

    /// Whether another attempt may find the server back: nothing was answered.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Transport { .. })
    }
}

/// The innermost reason of a reqwest error, without URLs.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    if error.is_timeout() { "timed out".to_owned() } else { source.to_string() }
}
