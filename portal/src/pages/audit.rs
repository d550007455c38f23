//! `/n/<namespace>/audit`: who did what, newest first.

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use micro_client::Page;
use serde_json::json;

use super::Answer;
use crate::config::ROWS;
use crate::error::Fault;
use crate::session::Person;

/// Records of one question during an export: the most that the control API gives.
const EXPORT_PAGE: u32 = 200;

pub(crate) async fn show(person: Person) -> Answer {
    let after = person.query("after").to_owned();
    let records = person.client.audit(&first_page(&after)).await?;
    page(&person, "team", &records, &after, json!({ "export": person.at("audit.ndjson"), "operator": false }))
}

pub(crate) fn first_page(after: &str) -> Page {
    Page { after: after.to_owned(), limit: u32::try_from(ROWS).unwrap_or(EXPORT_PAGE), ..Page::default() }
}

pub(crate) fn page(
    person: &Person,
    section: &str,
    records: &[micro_api::team::AuditRecord],
    after: &str,
    more: serde_json::Value,
) -> Answer {
    let next = records.last().filter(|_| records.len() == ROWS).map(|record| &record.id);
    let mut content = json!({ "records": records, "after": after, "next": next });
    if let (serde_json::Value::Object(content), serde_json::Value::Object(more)) = (&mut content, more) {
        content.extend(more);
    }
    person.page(section, "audit.html", content)
}

/// The whole log, one JSON object a line, read page by page while it is sent.
pub(crate) async fn export(person: Person) -> Result<Response, Fault> {
    let page = Page { limit: EXPORT_PAGE, ..Page::default() };
    let first = person.client.audit(&page).await?;
    let name = format!("attachment; filename=\"audit-{}.ndjson\"", person.namespace());
    let start = Some((person.client.clone(), first));
    let lines = stream::unfold(start, |state| async move {
        let (client, records) = state?;
        let last = records.last()?.id.clone();
        let mut text = String::new();
        for record in &records {
            text.push_str(&serde_json::to_string(record).ok()?);
            text.push('\n');
        }
        let whole = records.len() == EXPORT_PAGE as usize;
        let next = if whole {
            match client.audit(&Page { after: last, limit: EXPORT_PAGE, ..Page::default() }).await {
                Ok(next) => Some((client, next)),
                // The download breaks off, so that nobody takes a part for the whole.
                Err(error) => return Some((Err(std::io::Error::other(error)), None)),
            }
        } else {
            None
        };
        Some((Ok(Bytes::from(text)), next))
    });
    let headers =
        [(header::CONTENT_TYPE, "application/x-ndjson".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, Body::from_stream(lines)).into_response())
}
