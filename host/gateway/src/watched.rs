//! Answers that outlive the right to them: a token may be revoked and a namespace blocked while a stream is open.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use micro_api::{Error, Namespace};
use micro_auth::{Authenticator, Identity, Refused};
use micro_runtime::{Body, BoxError};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use crate::place::GATEWAY;
use crate::snapshot::Snapshot;

/// So many pieces an answer may have before it is looked after, if it never waits for one: most answers are over by
/// then, and cost no timer.
const PIECES: u32 = 16;

/// What is looked at again while an answer is sent.
pub(crate) struct Right {
    pub(crate) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) namespace: Namespace,
    /// The credential that the request came with.
    pub(crate) token: Option<Arc<str>>,
    /// Between two looks.
    pub(crate) period: Duration,
}

impl Right {
    /// Ends an answer with an error, which cuts the connection, once its client has no right to it any more.
    pub(crate) fn watch(self, response: Response<Body>) -> Response<Body> {
        response.map(|body| {
            if body.is_end_stream() {
                return body;
            }
            Watched { body, right: self, pieces: 0, due: None, asking: None }.boxed_unsync()
        })
    }
}

type Asking = Pin<Box<dyn Future<Output = Result<Arc<Identity>, Refused>> + Send>>;

struct Watched {
    body: Body,
    right: Right,
    pieces: u32,
    due: Option<Pin<Box<Sleep>>>,
    asking: Option<Asking>,
}

impl Watched {
    /// Ready once the right is lost.
    fn poll_lost(&mut self, context: &mut Context<'_>) -> Poll<Error> {
        let period = self.right.period;
        loop {
            if let Some(asking) = &mut self.asking {
                let answer = ready!(asking.as_mut().poll(context));
                self.asking = None;
                // One that ends by itself was good for what it was used for.
                if let Err(refused @ (Refused::Invalid | Refused::Blocked(_))) = answer {
                    return Poll::Ready(Error::unauthorized(GATEWAY, refused.to_string()));
                }
            }
            let due = self.due.get_or_insert_with(|| Box::pin(tokio::time::sleep(period)));
            ready!(due.as_mut().poll(context));
            due.as_mut().reset(Instant::now() + period);
            let tenant = self.right.snapshot.borrow().tenant(&self.right.namespace);
            if let Err(error) = tenant.check_open(&self.right.namespace) {
                return Poll::Ready(error);
            }
            self.asking = self.right.token.clone().map(|token| -> Asking {
                let authenticator = Arc::clone(&self.right.authenticator);
                Box::pin(async move { authenticator.authenticate(&token).await })
            });
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.pieces = self.pieces.saturating_add(1);
        if (polled.is_pending() || self.pieces > PIECES || self.due.is_some())
            && let Poll::Ready(error) = self.poll_lost(context)
        {
            return Poll::Ready(Some(Err(error.into())));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
