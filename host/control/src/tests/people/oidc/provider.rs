//! A provider that says whatever a test tells it to, true or not.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{Oidc, OidcConfig};

pub(super) const CLIENT: &str = "micro-test";
pub(super) const SECRET: &str = "s3cret: with % and +";

/// How an ID token is wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Forgery {
    No,
    /// These claims instead of the right ones; null: none.
    Claims(Value),
    Unsigned,
    /// An HMAC with the public key.
    Hmac,
    /// Signed by a key that calls itself as the right one does.
    OtherKey,
}

/// What the provider does wrong beside the ID token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mood {
    Well,
    /// Its description is elsewhere.
    Redirects,
    /// Its description never ends.
    Endless,
    /// It calls itself by another name.
    OtherName,
    /// It keeps tokens at a place without TLS.
    Unsafe,
    Broken,
}

struct Code {
    claims: Value,
    challenge: String,
    redirect_uri: String,
}

pub(super) struct FakeProvider {
    pub(super) issuer: String,
    key: Mutex<Key>,
    codes: Mutex<HashMap<String, Code>>,
    pub(super) forgery: Mutex<Forgery>,
    pub(super) mood: Mutex<Mood>,
    /// What it says at the endpoint for user information; null: it has none.
    pub(super) info: Mutex<Value>,
    pub(super) key_reads: AtomicUsize,
    count: AtomicUsize,
}

struct Key {
    kid: String,
    pair: EcdsaKeyPair,
}

impl Key {
    fn new(kid: &str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        Self { kid: kid.to_owned(), pair }
    }
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }
    fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.kid, "x": x, "y": y})
    }
}

/// What a browser comes back with.
#[derive(Debug, Clone)]
pub(super) struct Back {
    pub(super) code: String,
    pub(super) state: String,
}

impl FakeProvider {
    pub(super) async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Arc::new(Self {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            key: Mutex::new(Key::new("one")),
            codes: Mutex::default(),
            forgery: Mutex::new(Forgery::No),
            mood: Mutex::new(Mood::Well),
            info: Mutex::new(Value::Null),
            key_reads: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(description))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/me", get(async |State(provider): S| Json(provider.info.lock().clone())))
            .with_state(Arc::clone(&provider));
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    pub(super) fn config(&self) -> OidcConfig {
        let mut config = OidcConfig::new(self.issuer.clone(), CLIENT, "Example");
        config.client_secret = Some(micro_auth::Secret::new(SECRET));
        config
    }

    pub(super) fn open(&self) -> Oidc {
        self.config().open().unwrap()
    }

    /// Signs with another key from now on.
    pub(super) fn rotate(&self) {
        *self.key.lock() = Key::new("two");
    }

    /// A browser with this address signs in here, as somebody of whom `claims` are said.
    pub(super) fn visit(&self, url: &str, claims: Value) -> Back {
        let url = url::Url::parse(url).unwrap();
        assert_eq!(url.path(), "/authorize");
        let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", CLIENT),
            ("scope", "openid email"),
            ("code_challenge_method", "S256"),
            ("redirect_uri", "http://localhost:8082/login/oidc/callback"),
        ] {
            assert_eq!(query[name], value, "{name}");
        }
        let mut claims = claims;
        claims["nonce"] = json!(query["nonce"]);
        let code = format!("code-{}", self.count.fetch_add(1, Ordering::Relaxed));
        let (challenge, redirect_uri) = (query["code_challenge"].clone(), query["redirect_uri"].clone());
        self.codes.lock().insert(code.clone(), Code { claims, challenge, redirect_uri });
        Back { code, state: query["state"].clone() }
    }

    fn id_token(&self, claims: &Value) -> String {
        let now = micro_db::now_ms() / 1_000;
        let mut all = json!({"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300});
        let key = self.key.lock();
        let mut header = json!({"alg": "ES256", "kid": key.kid});
        let forgery = self.forgery.lock().clone();
        let none = json!({});
        let wrong = if let Forgery::Claims(wrong) = &forgery { wrong } else { &none };
        for (name, value) in claims.as_object().unwrap().iter().chain(wrong.as_object().unwrap()) {
            all[name] = value.clone();
        }
        match forgery {
            Forgery::Unsigned => header["alg"] = json!("none"),
            Forgery::Hmac => header["alg"] = json!("HS256"),
            _ => {}
        }
        let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&all));
        let signature = match forgery {
            Forgery::Unsigned => Vec::new(),
            Forgery::Hmac => {
                let public = hmac::Key::new(hmac::HMAC_SHA256, key.pair.public_key().as_ref());
                hmac::sign(&public, signed.as_bytes()).as_ref().to_vec()
            }
            Forgery::OtherKey => Key::new("one").sign(signed.as_bytes()),
            Forgery::No | Forgery::Claims(_) => key.sign(signed.as_bytes()),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

type S = State<Arc<FakeProvider>>;

async fn description(State(provider): S) -> Response {
    let mood = *provider.mood.lock();
    let at = |path: &str| format!("{}{path}", provider.issuer);
    let mut description = json!({
        "issuer": provider.issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
        "jwks_uri": at("/keys"), "userinfo_endpoint": at("/me"),
    });
    if provider.info.lock().is_null() {
        description["userinfo_endpoint"] = Value::Null;
    }
    match mood {
        Mood::Well => {}
        Mood::Redirects => return (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]).into_response(),
        Mood::Endless => description["padding"] = json!("x".repeat(300 * 1024)),
        Mood::OtherName => description["issuer"] = json!(at("/")),
        Mood::Unsafe => description["token_endpoint"] = json!("http://provider.example.com/token"),
        Mood::Broken => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
    Json(description).into_response()
}

async fn keys(State(provider): S) -> Json<Value> {
    provider.key_reads.fetch_add(1, Ordering::Relaxed);
    Json(json!({"keys": [{"kty": "oct", "kid": "one", "k": "AA"}, provider.key.lock().jwk()]}))
}

async fn token(
    State(provider): S,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let refuse = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response();
    let basic = headers[header::AUTHORIZATION].to_str().unwrap().strip_prefix("Basic ").unwrap();
    let basic = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
    if basic != "micro-test:s3cret%3A+with+%25+and+%2B" {
        return refuse("invalid_client");
    }
    assert_eq!(form["grant_type"], "authorization_code");
    // Each code once.
    let Some(code) = provider.codes.lock().remove(&form["code"]) else { return refuse("invalid_grant") };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    if challenge != code.challenge || form["redirect_uri"] != code.redirect_uri {
        return refuse("invalid_grant");
    }
    let id_token = provider.id_token(&code.claims);
    Json(json!({"access_token": "opaque", "token_type": "Bearer", "id_token": id_token})).into_response()
}
