//! May this request run now? Only here can an [`Admitted`] be made, and no handler runs without one.
//!
//! The permit travels with the answer's body and ends with it: a client that reads slowly holds its place.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use micro_api::{Error, Namespace};
use micro_runtime::{Body, BoxError};
use parking_lot::Mutex;

use crate::config::Config;
use crate::place::GATEWAY;

/// A request that counts against the limits until this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    gate: Arc<Gate>,
    namespace: Namespace,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.gate.counts.lock();
        counts.all = counts.all.saturating_sub(1);
        if let Some(count) = counts.by_namespace.get_mut(&self.namespace) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.by_namespace.remove(&self.namespace);
            }
        }
    }
}

impl Admitted {
    /// Ties the permit to the end of an answer's body.
    pub(crate) fn into_response(self, response: Response<Body>) -> Response<Body> {
        response
            .map(|body| if body.is_end_stream() { body } else { Held { body, _permit: self }.boxed_unsync() })
    }
}

/// Counts requests being answered.
#[derive(Debug)]
pub(crate) struct Gate {
    all_max: usize,
    namespace_max: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_namespace: HashMap<Namespace, usize>,
}

impl Gate {
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        Arc::new(Self {
            all_max: config.requests_max,
            namespace_max: config.requests_per_namespace_max,
            counts: Mutex::default(),
        })
    }

    /// A permit, or 503 that names the limit.
    pub(crate) fn admit(self: &Arc<Self>, namespace: &Namespace) -> Result<Admitted, Error> {
        let mut counts = self.counts.lock();
        if counts.all >= self.all_max {
            return Err(full("requests", self.all_max));
        }
        match counts.by_namespace.get_mut(namespace) {
            Some(count) if *count >= self.namespace_max => {
                return Err(full("requests of the namespace", self.namespace_max));
            }
            Some(count) => *count += 1,
            None => {
                counts.by_namespace.insert(namespace.clone(), 1);
            }
        }
        counts.all += 1;
        Ok(Admitted { gate: Arc::clone(self), namespace: namespace.clone() })
    }

    /// Requests being answered now.
    pub(crate) fn in_flight(&self) -> usize {
        self.counts.lock().all
    }
}

fn full(limit: &str, max: usize) -> Error {
    Error::new(GATEWAY, 503, format!("limit: {limit}: {max} are being answered already, try again"))
}

/// A body and the permit of its request.
struct Held {
    body: Body,
    _permit: Admitted,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_ends_with_the_body() {
        let gate = Gate::new(&Config { requests_max: 2, requests_per_namespace_max: 1, ..Config::default() });
        let (a, b): (Namespace, Namespace) = ("a".parse().unwrap(), "b".parse().unwrap());
        let first = gate.admit(&a).unwrap();
        assert!(gate.admit(&a).unwrap_err().detail.contains("requests of the namespace"));
        let _second = gate.admit(&b).unwrap();
        assert!(gate.admit(&"c".parse().unwrap()).unwrap_err().detail.starts_with("limit: requests: 2"));
        let response = first.into_response(Response::new(crate::respond::full("body")));
        assert_eq!(gate.in_flight(), 2, "the answer is still being read");
        drop(response);
        assert_eq!(gate.in_flight(), 1);
        drop(gate.admit(&a).unwrap().into_response(crate::respond::empty(http::StatusCode::NO_CONTENT)));
        assert_eq!(gate.in_flight(), 1);
    }
}
