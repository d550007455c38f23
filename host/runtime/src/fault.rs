//! Why a call failed, in two texts: one for the caller, one for the service's log.

use micro_api::Error;

/// A call that did not succeed.
///
/// **Invariant:** [`Fault::error`] never shows text of the host. What a guest did is told by the limit's name and the
/// request's id; the rest stands in the service's log.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The handler answered with an error of its own.
    #[error("{0}")]
    Guest(Error),
    /// The messages of the caller broke off; the error is the gateway's.
    #[error("{0}")]
    Caller(Error),
    /// The guest trapped, or ended without an answer. The text is for the service's log.
    #[error("{0}")]
    Trap(String),
    /// CPU time of the call is used up.
    #[error("limit: cpu{0}")]
    CpuLimit(Place),
    /// The call took longer than it may.
    #[error("limit: wall")]
    WallLimit,
    /// The guest ran into its memory limit and trapped.
    #[error("limit: memory{0}")]
    MemoryLimit(Place),
    /// The guest ran into its table limit and trapped.
    #[error("limit: table{0}")]
    TableLimit(Place),
    /// The guest's stack overflowed.
    #[error("limit: stack{0}")]
    StackLimit(Place),
    /// The request is larger than the service takes.
    #[error("limit: request")]
    RequestLimit,
    /// The answer is larger than the service may send.
    #[error("limit: response")]
    ResponseLimit,
    /// The guest ended without an answer, or with an error in its own words. The text is for the service's log.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// The guest's HTTP answer cannot be sent: a status or header that HTTP forbids.
    #[error("{0}")]
    BadResponse(String),
    /// Too many calls wait already. The text names the limit.
    #[error("limit: {0}")]
    Saturated(&'static str),
    /// The revision's code cannot be loaded. The text is for the operator.
    #[error("cannot load: {0}")]
    Load(String),
    /// The guest cannot be instantiated. The text is for the service's log.
    #[error("cannot start: {0}")]
    Start(String),
    /// The component has no such export.
    #[error("the component does not export {0}")]
    NoSuchExport(&'static str),
    /// A bug of the host. The text is for the operator.
    #[error("host: {0}")]
    Host(String),
}

/// [`Fault::Saturated`] of a namespace that has as many instances as its plan allows, none of them free.
pub(crate) const SPACE_INSTANCES: &str = "instances: this namespace may have no more at once";
/// [`Fault::Saturated`] of a namespace whose instances hold all that its plan allows.
pub(crate) const SPACE_MEMORY: &str = "memory: the instances of this namespace may hold no more together";

/// Where in the guest it happened, for the service's log; empty where that is not known.
#[derive(Debug, Default)]
pub struct Place(String);

/// Frames of a backtrace that a log keeps: the innermost ones.
const FRAMES_MAX: usize = 24;

impl Place {
    pub(crate) fn of(error: &wasmtime::Error) -> Self {
        let Some(backtrace) = error.downcast_ref::<wasmtime::WasmBacktrace>() else { return Self::default() };
        let mut text = backtrace.to_string();
        // A frame's first line begins with its number, further lines of it do not.
        if let Some((end, _)) = text.match_indices(&format!("\n{FRAMES_MAX:>5}: ")).next() {
            text.truncate(end);
            text.push_str("\n    and so on");
        }
        Self(text)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "\n{}", self.0) }
    }
}

impl Fault {
    /// Micro's error object for the caller. `service` is who failed, `request` the id to look up in the log.
    pub fn error(&self, service: &str, request: &str) -> Error {
        let see = |what: &str| format!("{what} (request {request})");
        match self {
            Self::Guest(error) => {
                let mut error = error.clone();
                if error.id.is_empty() {
                    service.clone_into(&mut error.id);
                }
                if !(400..600).contains(&error.code) {
                    error.code = 500;
                }
                if error.status.is_empty() {
                    micro_api::error::status_text(error.code).clone_into(&mut error.status);
                }
                error
            }
            Self::Caller(error) => error.clone(),
            Self::Trap(_) => Error::internal(service, see("the service trapped; its log has the backtrace")),
            Self::CpuLimit(_) => Error::timeout(service, see("limit: cpu: the call used all its CPU time")),
            Self::WallLimit => Error::timeout(service, see("limit: wall: the call took too long")),
            Self::MemoryLimit(_) => {
                Error::internal(service, see("limit: memory: the service ran out of memory"))
            }
            Self::TableLimit(_) => Error::internal(service, see("limit: table: a table grew too large")),
            Self::StackLimit(_) => Error::internal(service, see("limit: stack: the call recursed too deep")),
            Self::RequestLimit => Error::new(service, 413, see("limit: request: the request is too large")),
            Self::ResponseLimit => Error::new(service, 502, see("limit: response: the answer is too large")),
            Self::NoAnswer(_) => Error::new(service, 502, see("the service ended without an answer")),
            Self::BadResponse(_) => {
                Error::new(service, 502, see("the service sent an answer that HTTP forbids"))
            }
            Self::Saturated(limit) => {
                Error::new(service, 503, see(&format!("limit: {limit}: try again later")))
            }
            Self::Load(_) => Error::internal(service, see("the service cannot be loaded")),
            Self::Start(_) => {
                Error::internal(service, see("the service cannot be started; its log says why"))
            }
            Self::NoSuchExport(export) => {
                Error::new(service, 501, see(&format!("the service does not export {export}")))
            }
            Self::Host(_) => Error::internal(service, see("the platform failed")),
        }
    }

    /// Taking a guest down and telling where it was costs the host more than most calls do: a service whose calls end
    /// so has its next ones on the slow threads, or its crashes would slow its neighbours down.
    pub(crate) fn is_costly(&self) -> bool {
        matches!(
            self,
            Self::Trap(_)
                | Self::CpuLimit(_)
                | Self::MemoryLimit(_)
                | Self::TableLimit(_)
                | Self::StackLimit(_)
                | Self::ResponseLimit
        )
    }

    /// The line for the service's log; none where the service is not to blame or has answered itself.
    pub(crate) fn log_line(&self) -> Option<String> {
        match self {
            Self::Guest(_) | Self::Caller(_) | Self::Load(_) | Self::Host(_) | Self::NoSuchExport(_) => None,
            other => Some(other.to_string()),
        }
    }
}
