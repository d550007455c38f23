//! The audit log as CSV (RFC 4180), read and sent a page at a time.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream;
use micro_api::Namespace;
use micro_api::team::AuditRecord;
use micro_db::audit::PAGE_MAX;

use crate::Control;
use crate::error::chain;

const HEADER: &str = "id,at_ms,actor,action,subject,address,detail\r\n";

/// Where the export is.
struct State {
    control: Arc<Control>,
    namespace: Option<Namespace>,
    after: String,
    /// What is sent before the next page is read.
    ready: VecDeque<String>,
    ended: bool,
}

/// All lines of a namespace, newest first; of all without one. Ends early when `over` comes.
pub(crate) fn export(
    control: Arc<Control>,
    namespace: Option<Namespace>,
    over: impl Future<Output = ()> + Send + 'static,
) -> Response {
    let ready = VecDeque::from([HEADER.to_owned()]);
    let state = State { control, namespace, after: String::new(), ready, ended: false };
    let pages = stream::unfold(state, |mut state| async move {
        if let Some(text) = state.ready.pop_front() {
            return Some((Ok::<_, Infallible>(Bytes::from(text)), state));
        }
        let text = state.next().await?;
        Some((Ok(Bytes::from(text)), state))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"audit.csv\"")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Body::from_stream(pages.take_until(Box::pin(over)))).into_response()
}

impl State {
    async fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        let page = match &self.namespace {
            Some(namespace) => self.control.db.audit_of(namespace, &self.after, PAGE_MAX).await,
            None => self.control.db.audit_of_all(&self.after, PAGE_MAX).await,
        };
        match page {
            Ok(page) => {
                self.after = page.last()?.id.clone();
                Some(page.iter().fold(String::new(), line))
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "An export of the audit log ended early");
                self.ended = true;
                Some("the export ended early: the database is not available\r\n".to_owned())
            }
        }
    }
}

fn line(mut text: String, record: &AuditRecord) -> String {
    let AuditRecord { id, at_ms, actor, action, subject, address, detail } = record;
    // Writing to a text cannot fail.
    let _ = write!(text, "{id},{at_ms}");
    for field in [actor, action, subject, address, detail] {
        text.push(',');
        quote(&mut text, field);
    }
    text.push_str("\r\n");
    text
}

/// Quotes a field, and keeps a spreadsheet from taking it for a formula.
fn quote(text: &mut String, field: &str) {
    text.push('"');
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        text.push('\'');
    }
    text.push_str(&field.replace('"', "\"\""));
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_are_no_formulas() {
        let quoted = |field: &str| {
            let mut text = String::new();
            quote(&mut text, field);
            text
        };
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"hi\"\r\n"), "\"say \"\"hi\"\"\r\n\"");
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"] {
            assert_eq!(quoted(formula), format!("\"'{formula}\""));
        }
    }
}
