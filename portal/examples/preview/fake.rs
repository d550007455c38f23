//! A control API that answers from memory: for tests, and for looking at pages without a platform.

#[path = "data.rs"]
pub(crate) mod data;
#[path = "keys.rs"]
mod keys;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use axum::{Json, Router};
use futures::StreamExt;
use micro_api::Error;
use micro_api::auth::{Role, Rule};
use micro_api::oidc::*;
use micro_api::person::*;
use micro_api::team::*;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// What the platform knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Somebody who has just signed up.
    Empty,
    /// Somebody who has used it for a while.
    Full,
    /// Every question about the namespace fails.
    Error,
}

#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) mode: Mode,
    pub(crate) signup: SignupMode,
    pub(crate) mail_file: Option<PathBuf>,
    /// Session to e-mail address.
    pub(crate) sessions: Mutex<HashMap<String, String>>,
    /// E-mail address to password.
    pub(crate) passwords: Mutex<HashMap<String, String>>,
    pub(crate) keys: Mutex<Vec<Key>>,
    pub(crate) rules: Mutex<Vec<Rule>>,
    /// Method, path and the visitor's address of every request.
    pub(crate) seen: Mutex<Vec<(String, String, String)>>,
    /// This person has a second factor; its code is 000000.
    pub(crate) totp: Option<String>,
    /// The namespace that new people are invited to.
    pub(crate) waits_for: String,
    /// What the provider of single sign-on is called.
    pub(crate) oidc: Option<String>,
    /// Sign-ins under way there: the browser's secret to what comes back at the end.
    pub(crate) flows: Mutex<HashMap<String, String>>,
    pub(crate) identities: Mutex<Vec<Identity>>,
    /// Everybody is an operator.
    pub(crate) operator: bool,
    counter: Mutex<u64>,
}

pub(crate) const CODE: &str = "123456";
pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const EMAIL: &str = "jane@example.com";
pub(crate) const PROVIDER: &str = "https://provider.example";

impl Fake {
    pub(crate) fn new(mode: Mode) -> Self {
        let keys = if mode == Mode::Empty {
            Vec::new()
        } else {
            vec![
                data::key("k1", "My laptop", vec!["owner".into()], "", true),
                data::key(
                    "k2",
                    data::HOSTILE,
                    vec!["developer".into(), "deploy".into()],
                    "helloworld",
                    false,
                ),
            ]
        };
        Self {
            mode,
            signup: SignupMode::Code,
            mail_file: None,
            sessions: Mutex::default(),
            passwords: Mutex::new(HashMap::from([(EMAIL.to_owned(), PASSWORD.to_owned())])),
            keys: Mutex::new(keys),
            rules: Mutex::new(if mode == Mode::Empty { Vec::new() } else { data::rules() }),
            seen: Mutex::default(),
            totp: None,
            waits_for: String::new(),
            oidc: Some("Example".into()),
            flows: Mutex::default(),
            identities: Mutex::new(if mode == Mode::Empty { Vec::new() } else { vec![data::identity()] }),
            operator: true,
            counter: Mutex::new(0),
        }
    }

    fn full(&self) -> bool {
        self.mode != Mode::Empty
    }

    /// Opens a session for `email`.
    pub(crate) fn open(&self, email: &str) -> SessionOpened {
        let mut counter = self.counter.lock();
        *counter += 1;
        let session = format!("micros_session{counter}_{:x}", data::now());
        self.sessions.lock().insert(session.clone(), email.to_owned());
        SessionOpened { session, expires_ms: data::now() + 1_000_000, namespace: data::NAMESPACE.into() }
    }
}

type S = State<Arc<Fake>>;

/// Listens on a port that the system chooses.
pub(crate) async fn serve(fake: Arc<Fake>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router(fake)).await });
    address
}

fn router(fake: Arc<Fake>) -> Router {
    let open = Router::new()
        .route("/v1/signup", get(signup_info).post(signup))
        .route("/v1/signup/code", post(code))
        .route("/v1/signup/check", post(check))
        .route("/v1/reset/code", post(code))
        .route("/v1/reset", post(reset))
        .route("/v1/sessions", post(login))
        .route("/v1/oidc", post(oidc_start))
        .route("/v1/oidc/finish", post(oidc_finish))
        .route("/v1/oidc/factor", post(oidc_factor));
    let person = Router::new()
        .route("/v1/me", get(me).delete(gone))
        .route("/v1/me", patch(me))
        .route(
            "/v1/me/identities",
            get(async |State(fake): S| Json(fake.identities.lock().clone())).post(oidc_start),
        )
        .route("/v1/me/identities/{id}", delete(unlink))
        .route("/v1/me/password", post(change_password))
        .route("/v1/me/email", post(done).put(done))
        .route("/v1/me/totp", post(totp).put(done).delete(done))
        .route("/v1/sessions", get(async |State(fake): S| Json(data::sessions(fake.full()))))
        .route("/v1/sessions/{id}", delete(end))
        .route("/v1/device/approve", post(approve))
        .route("/v1/invitations/accept", post(accept));
    let failing = namespace_routes().layer(from_fn_with_state(Arc::clone(&fake), fail));
    let signed = person.merge(failing).layer(from_fn_with_state(Arc::clone(&fake), signed_in));
    open.merge(signed).layer(from_fn_with_state(Arc::clone(&fake), note)).with_state(fake)
}

fn namespace_routes() -> Router<Arc<Fake>> {
    Router::new()
        .route("/v1/services", get(services).post(run).put(run))
        .route("/v1/services/{name}", delete(kill))
        .route("/v1/services/{name}/logs", get(logs))
        .route("/v1/services/{name}/stats", get(async |Path(name): Path<String>| Json(data::stats(&name))))
        .route("/v1/services/{name}/health", get(async |Path(name): Path<String>| Json(data::health(&name))))
        .route(
            "/v1/registry/services/{name}",
            get(async |Path(name): Path<String>| Json(data::registry(&name))),
        )
        .route("/v1/deployments/{id}", get(deployment))
        .route("/rpc", post(rpc))
        .route(
            "/v1/auth/rules",
            get(async |State(fake): S| Json(fake.rules.lock().clone())).post(keys::create_rule),
        )
        .route("/v1/auth/rules/{id}", delete(done))
        .route(
            "/v1/auth/accounts",
            get(async |State(fake): S| Json(data::accounts(fake.full()))).post(keys::create_account),
        )
        .route("/v1/auth/accounts/{id}", delete(done))
        .route("/v1/keys", get(async |State(fake): S| Json(fake.keys.lock().clone())).post(keys::create_key))
        .route("/v1/keys/{id}", delete(keys::revoke))
        .route("/v1/projects", get(async |State(fake): S| Json(data::projects(fake.full()))).post(refused))
        .route("/v1/projects/{id}", delete(done))
        .route("/v1/projects/{id}/environments", post(refused))
        .route("/v1/namespaces/{namespace}", delete(done))
        .route("/v1/members", get(async |State(fake): S| Json(data::members(fake.full()))))
        .route("/v1/members/{id}", put(done).delete(done))
        .route(
            "/v1/invitations",
            get(async |State(fake): S| Json(data::invitations(fake.full()))).post(invite),
        )
        .route("/v1/invitations/{id}", delete(done))
        .route("/v1/limits", get(async |State(fake): S| Json(data::limits(fake.full()))))
        .route(
            "/v1/usage",
            get(async |State(fake): S| Json(if fake.full() { data::usage() } else { vec![] })),
        )
        .route("/v1/billing", get(async |State(fake): S| Json(data::billing(fake.full()))))
        .route("/v1/audit", get(async |State(fake): S| Json(data::audit(fake.full()))))
        .route("/v1/operator/people", get(async |State(fake): S| Json(data::people(fake.full()))))
        .route("/v1/operator/people/{id}", put(async || Json(data::people(true)[1].clone())))
        .route("/v1/operator/namespaces", get(async |State(fake): S| Json(data::namespaces(fake.full()))))
        .route("/v1/operator/namespaces/{id}", put(async || Json(data::namespaces(true)[0].clone())))
        .route("/v1/operator/plans", get(async |State(fake): S| Json(data::plans(fake.full()))))
        .route("/v1/operator/audit", get(async |State(fake): S| Json(data::audit(fake.full()))))
        .route("/v1/operator/invitations", post(invite))
}

fn error(code: u16, detail: &str) -> Response {
    let error = Error::new("control", code, detail);
    (StatusCode::from_u16(code).unwrap(), Json(error)).into_response()
}

async fn done() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn refused() -> Response {
    error(409, &format!("the name `{}` is taken", data::HOSTILE))
}

async fn note(State(fake): S, request: Request, next: Next) -> Response {
    let from =
        request.headers().get("x-forwarded-for").and_then(|value| value.to_str().ok()).unwrap_or_default();
    fake.seen.lock().push((request.method().to_string(), request.uri().path().to_owned(), from.to_owned()));
    next.run(request).await
}

fn session_of(headers: &HeaderMap) -> String {
    let line = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    line.trim_start_matches("Bearer ").to_owned()
}

async fn signed_in(State(fake): S, request: Request, next: Next) -> Response {
    let known = fake.sessions.lock().contains_key(&session_of(request.headers()));
    if !known {
        return error(401, "the session has ended");
    }
    let namespace = request.headers().get("micro-namespace").and_then(|value| value.to_str().ok());
    if namespace.is_some_and(|name| data::memberships().iter().all(|known| known.namespace != name)) {
        return error(404, "namespace not found");
    }
    next.run(request).await
}

async fn fail(State(fake): S, request: Request, next: Next) -> Response {
    match fake.mode {
        Mode::Error => error(503, &format!("The database does not answer. {}", data::HOSTILE)),
        _ => next.run(request).await,
    }
}

async fn signup_info(State(fake): S) -> Json<SignupInfo> {
    let mail_file = fake.mail_file.as_ref().map(|path| path.display().to_string());
    Json(SignupInfo { mode: fake.signup, mail_file, oidc: fake.oidc.clone() })
}

async fn code(State(fake): S, Json(request): Json<CodeRequest>) -> StatusCode {
    if let Some(path) = &fake.mail_file {
        std::fs::write(
            path,
            format!("To: {}\nSubject: Your code is {CODE}\n\nYour code:\n\n    {CODE}\n", request.email),
        )
        .unwrap();
    }
    StatusCode::ACCEPTED
}

async fn check(State(fake): S, Json(check): Json<CodeCheck>) -> Response {
    if check.code != CODE {
        return error(400, "the code is wrong or has ended");
    }
    Json(CodeChecked { invited_to: fake.waits_for.clone() }).into_response()
}

async fn signup(State(fake): S, Json(signup): Json<Signup>) -> Response {
    if signup.invitation.is_empty() && signup.code != CODE {
        return error(400, "the code is wrong or has ended");
    }
    fake.passwords.lock().insert(signup.email.clone(), signup.password);
    (StatusCode::CREATED, Json(fake.open(&signup.email))).into_response()
}

async fn reset(State(fake): S, Json(reset): Json<ResetPassword>) -> Response {
    if reset.code != CODE {
        return error(400, "the code is wrong or has ended");
    }
    fake.passwords.lock().insert(reset.email, reset.password);
    StatusCode::NO_CONTENT.into_response()
}

async fn login(State(fake): S, Json(login): Json<Login>) -> Response {
    let good = fake.passwords.lock().get(&login.id).is_some_and(|known| *known == login.secret);
    if !good {
        return error(401, "the id or the secret is wrong");
    }
    if fake.totp.as_ref() == Some(&login.id) && login.totp != "000000" {
        return error(401, "a second factor is needed");
    }
    (StatusCode::CREATED, Json(fake.open(&login.id))).into_response()
}

async fn oidc_start(State(fake): S, Json(start): Json<OidcStart>) -> Response {
    if fake.oidc.is_none() {
        return error(404, "this platform has no single sign-on");
    }
    let browser = format!("browser{}", fake.flows.lock().len());
    fake.flows.lock().insert(browser.clone(), start.redirect_to);
    let url = format!("{PROVIDER}/auth?state=s&x=%22%3E%3Cscript%3E");
    (StatusCode::CREATED, Json(OidcStarted { url, browser, expires_in: 600 })).into_response()
}

/// The code says what comes of it.
async fn oidc_finish(State(fake): S, headers: HeaderMap, Json(finish): Json<OidcFinish>) -> Response {
    let redirect_to = fake.flows.lock().get(&finish.browser).cloned();
    let Some(redirect_to) = redirect_to.filter(|_| finish.state == "s" && finish.iss == PROVIDER) else {
        return error(400, "this sign-in was finished before");
    };
    match finish.code.as_str() {
        "good" => {
            Json(OidcFinished::Opened { session: fake.open(EMAIL), redirect_to, new: false }).into_response()
        }
        "new" => {
            Json(OidcFinished::Opened { session: fake.open(EMAIL), redirect_to, new: true }).into_response()
        }
        "evil" => {
            let redirect_to = "//evil.example".to_owned();
            Json(OidcFinished::Opened { session: fake.open(EMAIL), redirect_to, new: false }).into_response()
        }
        "factor" => Json(OidcFinished::Factor { ticket: "ticket".into() }).into_response(),
        "link" if fake.sessions.lock().contains_key(&session_of(&headers)) => {
            Json(OidcFinished::Linked { redirect_to }).into_response()
        }
        "link" => error(401, "account is required"),
        "down" => error(503, data::HOSTILE),
        _ => error(403, data::HOSTILE),
    }
}

async fn oidc_factor(State(fake): S, Json(factor): Json<OidcFactor>) -> Response {
    let Some(redirect_to) = fake.flows.lock().get(&factor.browser).cloned() else {
        return error(400, "this sign-in was finished before");
    };
    if factor.ticket != "ticket" || factor.totp != "000000" {
        return error(401, "the code of the second factor is wrong");
    }
    Json(OidcFinished::Opened { session: fake.open(EMAIL), redirect_to, new: false }).into_response()
}

async fn unlink(State(fake): S, Path(id): Path<String>) -> Response {
    let before = fake.identities.lock().len();
    fake.identities.lock().retain(|identity| identity.id != id);
    if fake.identities.lock().len() == before {
        return error(404, "identity not found");
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn me(State(fake): S, headers: HeaderMap) -> Json<Me> {
    let email = fake.sessions.lock().get(&session_of(&headers)).cloned().unwrap_or_default();
    let namespace = headers.get("micro-namespace").and_then(|value| value.to_str().ok());
    let namespace = namespace.unwrap_or(data::NAMESPACE).to_owned();
    let namespaces = data::memberships();
    let role = namespaces.iter().find(|known| known.namespace == namespace).map(|known| known.role);
    Json(Me {
        id: "u1".into(),
        name: email.split('@').next().unwrap_or_default().into(),
        email,
        operator: fake.operator,
        totp: false,
        namespace,
        role,
        scopes: vec!["owner".into()],
        namespaces,
        credential: "session".into(),
    })
}

async fn gone(State(fake): S, Json(confirm): Json<DeleteMe>) -> Response {
    if confirm.password != PASSWORD {
        return error(400, "the password is wrong");
    }
    fake.sessions.lock().clear();
    StatusCode::NO_CONTENT.into_response()
}

async fn change_password(Json(change): Json<ChangePassword>) -> Response {
    if change.old_password == PASSWORD {
        done().await.into_response()
    } else {
        error(400, "the password is wrong")
    }
}

async fn totp() -> Json<TotpSecret> {
    let secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP".to_owned();
    let uri = format!("otpauth://totp/Micro:{EMAIL}?secret={secret}&issuer=Micro");
    Json(TotpSecret { secret, uri })
}

async fn end(State(fake): S, headers: HeaderMap, Path(id): Path<String>) -> StatusCode {
    if id == "current" {
        fake.sessions.lock().remove(&session_of(&headers));
    }
    StatusCode::NO_CONTENT
}

async fn approve(Json(approve): Json<DeviceApprove>) -> Response {
    if approve.user_code == "ABCD-EFGH" {
        done().await.into_response()
    } else {
        error(404, "the code is not known or has ended")
    }
}

async fn accept(Json(accept): Json<AcceptInvitation>) -> Response {
    if accept.code == "good" {
        Json(data::memberships()[2].clone()).into_response()
    } else {
        error(404, "the invitation is not known or has ended")
    }
}

async fn services(State(fake): S, Query(query): Query<HashMap<String, String>>) -> Response {
    let mut services = if fake.full() { data::services() } else { Vec::new() };
    if let Some(name) = query.get("name") {
        services.retain(|row| row.name == *name);
    }
    Json(services).into_response()
}

async fn run(Json(_): Json<Value>) -> Response {
    Json(data::deployment("d-helloworld-v2-beta-building")).into_response()
}

async fn kill() -> Response {
    Json(data::deployment("d-mailer-latest-stopped")).into_response()
}

async fn deployment(Path(id): Path<String>, Query(query): Query<HashMap<String, String>>) -> Response {
    let Some(mut deployment) = data::deployment(&id) else { return error(404, "deployment not found") };
    if query.contains_key("seen") {
        deployment = data::deployment("d-helloworld-latest-running").unwrap();
        deployment.id = id;
    }
    Json(deployment).into_response()
}

async fn logs(State(fake): S, Query(query): Query<HashMap<String, String>>) -> Response {
    let flag = |name: &str| query.get(name).is_some_and(|value| value == "true");
    let mut lines = if fake.full() { data::logs(flag("build")) } else { Vec::new() };
    let since: i64 = query.get("since_ms").and_then(|since| since.parse().ok()).unwrap_or(0);
    // The records are made anew at each question, so a build's lines are as old as its page.
    if !flag("build") || flag("follow") {
        lines.retain(|line| line.timestamp >= since);
    }
    let text: String = lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
    let past = futures::stream::once(async move { Ok::<_, std::io::Error>(text) });
    if flag("follow") && !flag("build") {
        return Body::from_stream(past.chain(futures::stream::pending())).into_response();
    }
    Body::from_stream(past).into_response()
}

async fn rpc(Json(call): Json<Value>) -> Response {
    match call["request"]["name"].as_str() {
        Some("fail") => error(500, data::HOSTILE),
        Some(name) => Json(json!({ "msg": format!("Hello {name}") })).into_response(),
        None => Json(json!({ "id": "4711", "items": [] })).into_response(),
    }
}

async fn invite(Json(new): Json<Value>) -> Response {
    let mut made = data::invitations(true)[0].clone();
    made.email = new["email"].as_str().unwrap_or_default().to_owned();
    made.role = Role::Developer;
    made.code = Some("good".into());
    (StatusCode::CREATED, Json(made)).into_response()
}
