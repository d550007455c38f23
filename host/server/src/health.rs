//! `/healthz` (the process answers), `/readyz` (it can serve) and `/metrics`, on an address of their own.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use futures::future::BoxFuture;
use serde::Serialize;

/// One thing that must work before this process should get traffic.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) ok: bool,
    /// What is wrong; empty when nothing is.
    pub(crate) detail: String,
}

/// What the health address asks of the rest of the process.
pub(crate) trait Probe: Send + Sync + 'static {
    /// Each check with its result.
    fn checks(&self) -> BoxFuture<'_, Vec<Check>>;
    /// Prometheus text.
    fn metrics(&self) -> String;
}

/// The routes of the health address.
pub(crate) fn router(probe: Arc<dyn Probe>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "OK" }))
        .route("/health", get(|| async { "OK" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(probe)
}

async fn ready(State(probe): State<Arc<dyn Probe>>) -> Response {
    let checks = probe.checks().await;
    let status =
        if checks.iter().all(|check| check.ok) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(checks)).into_response()
}

async fn metrics(State(probe): State<Arc<dyn Probe>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], probe.metrics()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    struct Fixed(bool);

    impl Probe for Fixed {
        fn checks(&self) -> BoxFuture<'_, Vec<Check>> {
            let check = Check { name: "database", ok: self.0, detail: String::new() };
            Box::pin(async move { vec![check] })
        }
        fn metrics(&self) -> String {
            "micro_up 1\n".to_owned()
        }
    }

    async fn get(ok: bool, path: &str) -> (StatusCode, String) {
        let request = axum::http::Request::get(path).body(Body::empty()).unwrap();
        let response = router(Arc::new(Fixed(ok))).oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_follows_the_checks() {
        assert_eq!(get(true, "/readyz").await.0, StatusCode::OK);
        let (status, body) = get(false, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, r#"[{"name":"database","ok":false,"detail":""}]"#);
        assert_eq!(get(true, "/healthz").await, (StatusCode::OK, "OK".to_owned()));
        assert_eq!(get(true, "/metrics").await.1, "micro_up 1\n");
    }
}
