//! Smart HTTP: a listener that hands each request to `git http-backend`, as a web server would by CGI.
//!
//! Repositories below `private/` want the user `tok` with the password `s3cret`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use tokio::io::AsyncWriteExt;

/// What a client may send in one request.
const REQUEST_BYTES_MAX: usize = 64 << 20;

/// A running server; it ends with the runtime that started it.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    root: PathBuf,
}

impl HttpServer {
    /// Serves the repositories below `root`.
    pub async fn start(root: &Path) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("bind the git server")?;
        let address = listener.local_addr().context("read the git server's address")?;
        let app = Router::new().fallback(serve).with_state(root.to_owned());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { address, root: root.to_owned() })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the repositories lie.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `http://127.0.0.1:PORT/<repository>`
    pub fn url(&self, repository: &str) -> String {
        format!("http://{}/{repository}", self.address)
    }
}

async fn serve(State(root): State<PathBuf>, request: Request) -> Response {
    if request.uri().path().starts_with("/private/") && !is_known(request.headers()) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")])
            .into_response();
    }
    backend(&root, request)
        .await
        .unwrap_or_else(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response())
}

fn is_known(headers: &HeaderMap) -> bool {
    let expected = base64::engine::general_purpose::STANDARD.encode("tok:s3cret");
    headers
        .get(header::AUTHORIZATION)
        .is_some_and(|value| value.as_bytes() == format!("Basic {expected}").as_bytes())
}

/// One request by the common gateway interface.
async fn backend(root: &Path, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, REQUEST_BYTES_MAX).await.context("read the request")?;
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut command = tokio::process::Command::new("git");
    command.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    command
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*");
    command.env("REQUEST_METHOD", parts.method.as_str()).env("PATH_INFO", parts.uri.path());
    command
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", text("content-type"));
    command.env("CONTENT_LENGTH", body.len().to_string()).env("REMOTE_ADDR", "127.0.0.1");
    command.env("HTTP_CONTENT_ENCODING", text("content-encoding")).env("GIT_PROTOCOL", text("git-protocol"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().context("start git http-backend")?;
    let mut stdin = child.stdin.take().context("take its stdin")?;
    let feed = tokio::spawn(async move { stdin.write_all(&body).await });
    let output = child.wait_with_output().await.context("read its answer")?;
    // A backend that answered early does not read on.
    let _ = feed.await;
    answer(&output.stdout)
}

/// Header lines, an empty line, the body; `Status:` is the status.
fn answer(output: &[u8]) -> Result<Response> {
    let end =
        output.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("find the end of the headers")?;
    let (head, rest) = output.split_at(end);
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(head).lines() {
        let (name, value) = line.split_once(':').context("read a header")?;
        if name.eq_ignore_ascii_case("status") {
            let code: u16 = value
                .split_whitespace()
                .next()
                .and_then(|code| code.parse().ok())
                .context("read the status")?;
            response = response.status(code);
        } else {
            response = response.header(name, value.trim());
        }
    }
    response.body(Body::from(rest.get(4..).unwrap_or_default().to_vec())).context("make the answer")
}
