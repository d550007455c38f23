//! `/.micro/blob/<service>/<key>`: blobs by their URLs, without a service of the tenant's being called.
//!
//! Paths below `/.micro/` are the platform's on every host: no service's name begins with a dot, so no path of Micro's
//! resolvers is lost, and this is asked before declared routes and before a service's own origin. The host names the
//! namespace as for every other request.
//!
//! Whoever asks is nobody, whatever credential comes along: a public blob is everybody's, and a signed URL says all that
//! there is to say. What is private, is missing or cannot be is answered alike.

mod download;
mod head;
mod part;
mod target;

use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use micro_api::{Error, Namespace};
use micro_capability::blob::{Blobs, Error as Failure, Row};
use micro_runtime::Body;

use self::download::Download;
use self::part::Part;
use self::target::Target;
use crate::handle::{Visitor, now_ms};
use crate::place::{GATEWAY, Place};
use crate::rate::{self, Left};
use crate::respond::Refusal;
use crate::tenant::Tenant;
use crate::{Gateway, respond};

/// Where paths are the platform's.
pub(crate) const RESERVED: &str = "/.micro/";
/// Id of errors about blobs, as services and the control API have it.
const BLOB: &str = "go.micro.blob";
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// So often what is there may change while a request is answered.
const TRIES: usize = 4;

impl Gateway {
    /// method → target → signature → rates → admit → blob → budget → answer.
    pub(crate) async fn blob(
        &self,
        parts: &Parts,
        place: &Place,
        visitor: &Visitor,
        tenant: &Tenant,
    ) -> Result<Response<Body>, Refusal> {
        if let Some(answer) = check_method(&parts.method) {
            return answer;
        }
        let namespace = place.namespace();
        let left = self.rates.anonymous(visitor.client.address)?;
        let blobs = &self.runtime.capabilities().blobs;
        let target = Target::of(&parts.uri, place).ok_or_else(missing)?;
        let signed = target.signature.map_err(|unsigned| refused(unsigned.to_string()))?;
        if let Some(signature) = &signed {
            let now_s = u64::try_from(now_ms() / 1_000).unwrap_or(u64::MAX);
            let checked = blobs.urls().check(&target.key, signature, now_s);
            checked.map_err(|unsigned| refused(unsigned.to_string()))?;
        }
        let left = Left::tighter(left, self.rates.namespace(namespace, tenant)?);
        let admitted = self.gate.admit(namespace, tenant.concurrency).await?;
        let asked = Asked { blobs, target: &target, is_signed: signed.is_some(), parts };
        let mut row = asked.look().await?;
        self.quota.admit(namespace, &target.service).map_err(|over| rate::exceeded(&over, now_ms()))?;
        let mut response = None;
        for _ in 0..TRIES {
            response = self.blob_of(&asked, &row, namespace).await?;
            if response.is_some() {
                break;
            }
            row = asked.look_again(&row).await?;
        }
        let mut response = response.ok_or_else(busy)?;
        if let Some(left) = left {
            left.tell(response.headers_mut());
        }
        let response = self.right(namespace, None).watch(response);
        Ok(admitted.into_response(response))
    }

    /// The answer from this row; none when its bytes are gone.
    async fn blob_of(
        &self,
        asked: &Asked<'_>,
        row: &Row,
        namespace: &Namespace,
    ) -> Result<Option<Response<Body>>, Refusal> {
        let headers = &asked.parts.headers;
        if head::is_known(headers, row) {
            let mut response = respond::empty(StatusCode::NOT_MODIFIED);
            head::validators(response.headers_mut(), row, asked.is_signed);
            return Ok(Some(response));
        }
        let is_head = asked.parts.method == Method::HEAD;
        let part = if is_head { Part::Whole } else { part::of(headers, row) };
        let (status, offset, length) = match part {
            Part::Whole => (StatusCode::OK, 0, row.size),
            Part::Range { offset, length } => (StatusCode::PARTIAL_CONTENT, offset, length),
            Part::Outside => return Err(outside(row)),
        };
        let mut response = if is_head {
            respond::empty(status)
        } else {
            let reading = match asked.blobs.read(row, offset, Some(length)).await {
                Err(Failure::Missing) => return Ok(None),
                read => read.map_err(Error::from)?,
            };
            let tally = self.runtime.capabilities().tallies.of(namespace, &asked.target.service);
            let body = Download::body(reading, tally, self.config.blob_time_max);
            let mut response = Response::new(body);
            *response.status_mut() = status;
            response
        };
        let answer = response.headers_mut();
        head::describe(answer, row, asked.target.key.key());
        head::validators(answer, row, asked.is_signed);
        answer.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        if status == StatusCode::PARTIAL_CONTENT {
            let part = format!("{offset}-{}", (offset + length).saturating_sub(1));
            answer.insert(header::CONTENT_RANGE, content_range(&part, row));
        }
        Ok(Some(response))
    }
}

/// A request for one blob, whose signature is good if it has one.
struct Asked<'a> {
    blobs: &'a Blobs,
    target: &'a Target,
    is_signed: bool,
    parts: &'a Parts,
}

impl Asked<'_> {
    async fn look(&self) -> Result<Row, Refusal> {
        self.seen(self.blobs.stat(&self.target.key).await)
    }

    async fn look_again(&self, row: &Row) -> Result<Row, Refusal> {
        self.seen(self.blobs.newer(&self.target.key, row).await)
    }

    /// Only what whoever asks may see.
    fn seen(&self, found: Result<Row, Failure>) -> Result<Row, Refusal> {
        match found {
            Ok(row) if self.is_signed || row.public => Ok(row),
            Ok(_) | Err(Failure::Missing) => Err(missing()),
            Err(error) => Err(Error::from(error).into()),
        }
    }
}

fn check_method(method: &Method) -> Option<Result<Response<Body>, Refusal>> {
    match *method {
        Method::GET | Method::HEAD => None,
        Method::OPTIONS => {
            let mut response = respond::empty(StatusCode::OK);
            response.headers_mut().insert(header::ALLOW, METHODS);
            Some(Ok(response))
        }
        _ => {
            let detail = format!("a blob's URL answers GET and HEAD, not {method}");
            let error = Error::new(BLOB, 405, detail);
            Some(Err(Refusal::from(error).header(header::ALLOW, METHODS)))
        }
    }
}

fn missing() -> Refusal {
    Refusal::from(Error::not_found(BLOB, "not found")).header(header::CACHE_CONTROL, NO_STORE)
}

fn refused(detail: String) -> Refusal {
    Refusal::from(Error::forbidden(BLOB, detail)).header(header::CACHE_CONTROL, NO_STORE)
}

fn busy() -> Refusal {
    let detail = "this blob is being replaced again and again: try again";
    Refusal::from(Error::new(GATEWAY, 503, detail)).retry_after(1)
}

/// The error that says how long the blob is.
fn outside(row: &Row) -> Refusal {
    Refusal::from(Error::from(Failure::Range(row.size)))
        .header(header::CONTENT_RANGE, content_range("*", row))
        .header(header::CACHE_CONTROL, NO_STORE)
}

fn content_range(part: &str, row: &Row) -> HeaderValue {
    let text = format!("bytes {part}/{}", row.size);
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("bytes */*"))
}
