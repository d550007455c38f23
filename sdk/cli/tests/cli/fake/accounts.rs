//! Accounts of the fake: who is who, and tokens that rotate as the platform's do.
//!
//! `jane` with the password `secret` is an owner of `quick-red-fox` and a developer in `slow-blue-owl`; `micro_good`
//! is a key of hers. With `guarded` set, every path but the public ones wants one of those.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use super::{Shared, refuse};

/// The namespaces of `jane`.
pub(crate) const FOX: &str = "quick-red-fox";
pub(crate) const OWL: &str = "slow-blue-owl";
pub(crate) const KEY: &str = "micro_good";

/// As long as the platform gives the successor again.
const SUCCESSOR: Duration = Duration::from_secs(30);

/// What the fake knows of accounts.
pub(crate) struct Accounts {
    /// Whether a credential is asked for.
    pub(crate) guarded: bool,
    /// Seconds that an access token holds.
    pub(crate) life: i64,
    /// Holds back the answer of a rotation until it is false again.
    pub(crate) hold: bool,
    pub(crate) rotations: usize,
    /// Where the client keeps its login: each access token that comes must stand there.
    pub(crate) config: Option<std::path::PathBuf>,
    /// Those that did not.
    pub(crate) unsaved: usize,
    /// A refresh token came that had been rotated long ago.
    pub(crate) reused: bool,
    pub(crate) password: String,
    /// Method, path and body of what changed something in a team.
    pub(crate) changes: Vec<(String, Value)>,
    /// Path, `Authorization` and `Micro-Namespace` of every request.
    pub(crate) requests: Vec<(String, String, String)>,
    /// How often a device login is asked for before it is approved.
    pub(crate) pending: usize,
    pub(crate) signup_mode: &'static str,
    /// Where an invitation of the address waits.
    pub(crate) invited_to: &'static str,
    access: BTreeMap<String, Access>,
    refresh: Vec<(String, Option<Instant>)>,
}

struct Access {
    namespace: String,
    expiry: i64,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            guarded: false,
            life: 900,
            hold: false,
            rotations: 0,
            config: None,
            unsaved: 0,
            reused: false,
            password: "secret".into(),
            changes: Vec::new(),
            requests: Vec::new(),
            pending: 0,
            signup_mode: "code",
            invited_to: "",
            access: BTreeMap::new(),
            refresh: Vec::new(),
        }
    }
}

/// Put on requests that come by the socket.
#[derive(Clone, Copy)]
pub(super) struct Local;

const PUBLIC: [&str; 7] = [
    "/v1/version",
    "/v1/auth/token",
    "/v1/auth/inspect",
    "/v1/device",
    "/v1/device/token",
    "/v1/reset",
    "/v1/reset/code",
];

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

impl Accounts {
    /// Makes tokens for `namespace`, of a new session.
    fn open(&mut self, namespace: &str) -> Value {
        let refresh = format!("micror_{}", self.refresh.len());
        self.refresh.push((refresh.clone(), None));
        self.mint(namespace, &refresh)
    }

    fn mint(&mut self, namespace: &str, refresh: &str) -> Value {
        let namespace = if namespace.is_empty() { FOX } else { namespace };
        let access = format!("access.{}.{namespace}", self.access.len());
        let expiry = now() + self.life;
        self.access.insert(access.clone(), Access { namespace: namespace.into(), expiry });
        json!({
            "access_token": access, "refresh_token": refresh, "created": now(), "expiry": expiry,
            "namespace": namespace,
        })
    }

    /// The successor of a refresh token: the same one for 30 s, then nothing.
    fn rotate(&mut self, token: &str, namespace: &str) -> Option<Value> {
        let place = self.refresh.iter().position(|(known, _)| known == token)?;
        let successor = format!("{token}+");
        match self.refresh[place].1 {
            None => {
                self.refresh[place].1 = Some(Instant::now());
                self.refresh.push((successor.clone(), None));
                self.rotations += 1;
            }
            Some(at) if at.elapsed() < SUCCESSOR => {}
            Some(_) => {
                self.reused = true;
                return None;
            }
        }
        Some(self.mint(namespace, &successor))
    }

    /// The namespace that a request acts in.
    fn namespace(&self, headers: &HeaderMap, local: bool) -> Option<String> {
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        match header("authorization") {
            None => local.then(|| header("micro-namespace").unwrap_or_else(|| "default".into())),
            Some(text) => match text.strip_prefix("Bearer ")? {
                KEY | "micros_browser" => Some(FOX.into()),
                token => self.access.get(token).filter(|of| of.expiry > now()).map(|of| of.namespace.clone()),
            },
        }
    }

    pub(crate) fn end_all(&mut self) {
        self.access.clear();
        self.refresh.clear();
    }
}

pub(super) async fn guard(State(seen): State<Shared>, mut request: Request, next: Next) -> Response {
    let refusal = {
        let mut seen = seen.lock().unwrap();
        let accounts = &mut seen.accounts;
        let path = request.uri().path().to_owned();
        let header = |name: &str| {
            let value = request.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let (authorization, wanted) = (header("authorization"), header("micro-namespace"));
        if let (Some(config), Some(token)) = (&accounts.config, authorization.strip_prefix("Bearer ")) {
            let is_saved = std::fs::read_to_string(config).unwrap().contains(token);
            accounts.unsaved += usize::from(!is_saved);
        }
        accounts.requests.push((path.clone(), authorization, wanted.clone()));
        let local = request.extensions().get::<Local>().is_some();
        let namespace = accounts.namespace(request.headers(), local);
        let is_public = PUBLIC.contains(&path.as_str()) || path.starts_with("/v1/signup");
        match (&namespace, accounts.guarded && !is_public) {
            (None, true) => Some(refuse(401, "Unauthorized call made to control:Any")),
            (Some(namespace), true) if !wanted.is_empty() && *namespace != wanted => {
                Some(refuse(403, &format!("Account was not issued by {wanted}")))
            }
            _ => {
                request.extensions_mut().insert(Namespace(namespace.unwrap_or_else(|| FOX.into())));
                None
            }
        }
    };
    match refusal {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

/// The namespace that a request acts in.
#[derive(Clone)]
pub(super) struct Namespace(pub(super) String);

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/v1/auth/token", post(token))
        .route("/v1/auth/inspect", post(inspect))
        .route("/v1/device", post(device))
        .route("/v1/device/token", post(device_token))
        .route("/v1/signup", get(signup_info).post(signup))
        .route("/v1/signup/code", post(code))
        .route("/v1/signup/check", post(check))
        .route("/v1/reset/code", post(code))
        .route("/v1/reset", post(reset))
        .route("/v1/me", get(me).delete(change).patch(rename))
        .route("/v1/me/email", post(change).put(change))
        .route("/v1/me/totp", post(totp).put(change).delete(change))
        .route("/v1/me/password", post(password))
        .route("/v1/sessions", get(sessions))
        .route("/v1/sessions/{id}", delete(end_session))
        .route("/v1/keys", get(keys).post(new_key))
        .route("/v1/auth/accounts", get(accounts).post(new_account))
        .route("/v1/auth/rules", get(rules).post(change))
        .merge(super::teams::router())
        .route("/v1/{*rest}", delete(change).put(change))
}

/// Notes a change and says that it was done.
async fn change(State(seen): State<Shared>, request: Request) -> Response {
    note(&seen, request).await;
    StatusCode::NO_CONTENT.into_response()
}

/// Method and path, and the body.
pub(super) async fn note(seen: &Shared, request: Request) -> Value {
    let what = format!("{} {}", request.method(), request.uri());
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    seen.lock().unwrap().accounts.changes.push((what, body.clone()));
    body
}

async fn token(State(seen): State<Shared>, Json(body): Json<Value>) -> Response {
    let text = |key: &str| body[key].as_str().unwrap().to_owned();
    let answer = {
        let mut seen = seen.lock().unwrap();
        let accounts = &mut seen.accounts;
        match text("refresh_token").as_str() {
            "" if matches!(text("id").as_str(), "jane" | "jane@example.com" | "new@example.com")
                && text("secret") == accounts.password =>
            {
                Some(accounts.open(&text("namespace")))
            }
            "" => None,
            refresh => accounts.rotate(refresh, &text("namespace")),
        }
    };
    while seen.lock().unwrap().accounts.hold {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    match answer {
        Some(token) => Json(token).into_response(),
        None => refuse(401, "the id or the secret is wrong"),
    }
}

async fn inspect(State(seen): State<Shared>, Json(body): Json<Value>) -> Response {
    let token = body["token"].as_str().unwrap();
    let issuer = match seen.lock().unwrap().accounts.access.get(token) {
        Some(access) => access.namespace.clone(),
        None if token == KEY => FOX.to_owned(),
        None => return refuse(400, "Invalid token"),
    };
    let account = json!({
        "id": "jane-1", "type": "apikey", "issuer": issuer, "metadata": {}, "scopes": ["developer"],
    });
    Json(account).into_response()
}

async fn device() -> Json<Value> {
    Json(json!({
        "device_code": "device-1", "user_code": "ABCD-EFGH", "verification_uri": "https://example.com/device",
        "expires_in": 60, "interval": 0,
    }))
}

async fn device_token(State(seen): State<Shared>, Json(body): Json<Value>) -> Response {
    assert_eq!(body["device_code"], "device-1");
    let accounts = &mut seen.lock().unwrap().accounts;
    match accounts.pending {
        0 => Json(accounts.open(OWL)).into_response(),
        _ => {
            accounts.pending -= 1;
            refuse(400, "authorization_pending")
        }
    }
}

async fn signup_info(State(seen): State<Shared>) -> Json<Value> {
    Json(json!({ "mode": seen.lock().unwrap().accounts.signup_mode }))
}

async fn code(State(seen): State<Shared>, request: Request) -> StatusCode {
    note(&seen, request).await;
    StatusCode::ACCEPTED
}

async fn check(State(seen): State<Shared>, Json(body): Json<Value>) -> Response {
    match body["code"] == "12345678" || body["invitation"] == "invited" {
        true => Json(json!({ "invited_to": seen.lock().unwrap().accounts.invited_to })).into_response(),
        false => refuse(400, "the code is wrong or has ended"),
    }
}

async fn signup(State(seen): State<Shared>, request: Request) -> Response {
    let body = note(&seen, request).await;
    seen.lock().unwrap().accounts.password = body["password"].as_str().unwrap().into();
    let opened = json!({ "session": "micros_browser", "expires_ms": 1, "namespace": FOX });
    (StatusCode::CREATED, Json(opened)).into_response()
}

async fn reset(State(seen): State<Shared>, Json(body): Json<Value>) -> Response {
    if body["code"] != "12345678" {
        return refuse(400, "the code is wrong or has ended");
    }
    seen.lock().unwrap().accounts.password = body["password"].as_str().unwrap().into();
    StatusCode::NO_CONTENT.into_response()
}

async fn me(Extension(Namespace(namespace)): Extension<Namespace>) -> Response {
    if namespace == "default" {
        return Json(json!({
            "id": "operator", "name": "operator", "email": "", "operator": true, "totp": false,
            "namespace": "default", "role": "owner", "scopes": ["owner"], "namespaces": [], "credential": "local",
        }))
        .into_response();
    }
    if ![FOX, OWL].contains(&namespace.as_str()) {
        return refuse(404, "namespace not found");
    }
    Json(profile(&namespace)).into_response()
}

fn profile(namespace: &str) -> Value {
    let of = |namespace: &str, environment: &str, role: &str| json!({ "namespace": namespace, "project": "shop", "environment": environment, "role": role });
    json!({
        "id": "jane-1", "name": "jane", "email": "jane@example.com", "operator": false, "totp": false,
        "namespace": namespace, "role": "owner", "scopes": ["owner", "billing"],
        "namespaces": [of(FOX, "production", "owner"), of(OWL, "staging", "developer")], "credential": "access",
    })
}

async fn rename(State(seen): State<Shared>, request: Request) -> Response {
    let body = note(&seen, request).await;
    let mut me = profile(FOX);
    me["name"] = body["name"].clone();
    Json(me).into_response()
}

async fn totp() -> Json<Value> {
    Json(json!({ "secret": "JBSWY3DP", "uri": "otpauth://totp/Micro:jane?secret=JBSWY3DP" }))
}

async fn password(State(seen): State<Shared>, Json(body): Json<Value>) -> Response {
    let accounts = &mut seen.lock().unwrap().accounts;
    if body["old_password"] != accounts.password.as_str() {
        return refuse(400, "the old password is wrong");
    }
    accounts.password = body["new_password"].as_str().unwrap().into();
    StatusCode::NO_CONTENT.into_response()
}

async fn sessions() -> Json<Value> {
    Json(json!([{
        "id": "s1", "kind": "cli", "agent": "micro/0.1.0", "address": "192.0.2.1", "created_ms": 0, "used_ms": 0,
        "expires_ms": 1, "current": true,
    }]))
}

async fn end_session(State(seen): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    note(&seen, request).await;
    if id == "current" {
        seen.lock().unwrap().accounts.end_all();
    }
    StatusCode::NO_CONTENT.into_response()
}

fn key(id: &str, description: &str) -> Value {
    json!({
        "id": id, "description": description, "scopes": ["developer"], "service": "", "owner": "jane",
        "created_ms": 0, "expires_ms": 1, "used_ms": 0, "blocked": false,
    })
}

async fn keys() -> Json<Value> {
    Json(json!([key("k1", "ci")]))
}

async fn new_key(State(seen): State<Shared>, request: Request) -> Response {
    let body = note(&seen, request).await;
    let made = json!({ "key": key("k2", body["description"].as_str().unwrap()), "token": "micro_new" });
    (StatusCode::CREATED, Json(made)).into_response()
}

async fn accounts() -> Json<Value> {
    let account = |id: &str, scopes: &[&str]| json!({ "id": id, "type": "user", "issuer": FOX, "metadata": {}, "scopes": scopes });
    Json(json!([account("default", &["owner"]), account("ci", &[])]))
}

async fn new_account(Json(body): Json<Value>) -> Response {
    if body["id"] == "default" {
        return refuse(400, "Account with this ID already exists");
    }
    let account = json!({
        "id": body["id"], "type": "user", "issuer": FOX, "metadata": {}, "scopes": body["scopes"],
        "secret": body["secret"],
    });
    (StatusCode::CREATED, Json(account)).into_response()
}

async fn rules(State(seen): State<Shared>) -> Json<Value> {
    let seen = seen.lock().unwrap();
    let made = seen.accounts.changes.iter().filter(|(what, _)| what == "POST /v1/auth/rules");
    Json(made.map(|(_, rule)| rule.clone()).collect())
}

/// The listener on a socket, beside the one on TCP.
pub(super) async fn serve_socket(listener: tokio::net::UnixListener, router: Router) {
    axum::serve(listener, router.layer(Extension(Local))).await.unwrap();
}
