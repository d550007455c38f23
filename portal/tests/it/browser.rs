//! What a browser does: cookies, forms, no redirects followed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::header::{HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder, StatusCode};

use crate::fake::{self, EMAIL, Fake, Mode};

/// A portal and one browser with its cookies.
pub(crate) struct Browser {
    pub(crate) fake: Arc<Fake>,
    pub(crate) address: SocketAddr,
    pub(crate) secure: bool,
    pub(crate) cookies: Mutex<BTreeMap<String, String>>,
    http: Client,
}

pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn location(&self) -> &str {
        self.headers.get(LOCATION).map_or("", |value| value.to_str().unwrap())
    }

    /// The token of the page's forms.
    pub(crate) fn token(&self) -> String {
        let (_, rest) = self.text.split_once("name=\"csrf\" value=\"").expect("the page has no form");
        rest.split('"').next().unwrap().to_owned()
    }

    pub(crate) fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect()
    }
}

impl Browser {
    pub(crate) async fn new(mode: Mode) -> Self {
        Self::with(Fake::new(mode), false).await
    }

    pub(crate) async fn with(fake: Fake, secure: bool) -> Self {
        let fake = Arc::new(fake);
        let control = fake::serve(Arc::clone(&fake)).await;
        Self::at(fake, control, secure).await
    }

    /// A portal whose control API is at `control`.
    pub(crate) async fn at(fake: Arc<Fake>, control: SocketAddr, secure: bool) -> Self {
        let router = micro_portal::router(micro_portal::Config {
            client: micro_client::Client::new(control.to_string().parse().unwrap()).unwrap(),
            secret: "shared".into(),
            hosts: vec!["127.0.0.1".into(), "localhost".into()],
            secure,
            gateway_url: "http://localhost:8080".into(),
            domain: "localhost".into(),
            control_url: "127.0.0.1:8081".into(),
            trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        })
        .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { fake, address, secure, cookies: Mutex::default(), http }
    }

    /// A browser that is signed in already.
    pub(crate) async fn signed_in(mode: Mode) -> Self {
        let browser = Self::new(mode).await;
        let session = browser.fake.open(EMAIL).session;
        browser.cookies.lock().insert("micro-session".into(), session);
        browser
    }

    /// Another browser on the same portal.
    pub(crate) fn another(&self) -> Self {
        Self {
            fake: Arc::clone(&self.fake),
            address: self.address,
            secure: self.secure,
            cookies: Mutex::default(),
            http: self.http.clone(),
        }
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().get(name).cloned()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies: Vec<_> =
            self.cookies.lock().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        request.header("cookie", cookies.join("; "))
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Page {
        let response = request.send().await.unwrap();
        let page = Page {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        };
        for line in page.set_cookies() {
            let (pair, rest) = line.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if rest.contains("Max-Age=0") {
                self.cookies.lock().remove(name);
            } else {
                self.cookies.lock().insert(name.to_owned(), value.to_owned());
            }
        }
        page
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        self.send(self.request(Method::GET, path)).await
    }

    /// Sends a form with the token that `page` has.
    pub(crate) async fn post(&self, page: &Page, path: &str, fields: &[(&str, &str)]) -> Page {
        let token = page.token();
        let mut fields = fields.to_vec();
        fields.push(("csrf", &token));
        self.send(self.request(Method::POST, path).form(&fields)).await
    }
}

/// Every page that a person can open.
pub(crate) const PAGES: &[&str] = &[
    "/n/quiet-amber-river",
    "/n/quiet-amber-river/services",
    "/n/quiet-amber-river/services?q=%3Cscript%3Ealert(1)%3C/script%3E%22'",
    "/n/quiet-amber-river/new",
    "/n/quiet-amber-river/services/helloworld",
    "/n/quiet-amber-river/services/helloworld/endpoints?version=v2-beta",
    "/n/quiet-amber-river/services/helloworld/logs",
    "/n/quiet-amber-river/services/helloworld/logs?q=%22%3E%3Cscript%3E",
    "/n/quiet-amber-river/services/helloworld/stats",
    "/n/quiet-amber-river/services/helloworld/instances",
    "/n/quiet-amber-river/services/invoices/deployments",
    "/n/quiet-amber-river/deployments/d-invoices-latest-error",
    "/n/quiet-amber-river/deployments/d-helloworld-v2-beta-building",
    "/n/quiet-amber-river/deployments/d-helloworld-latest-running",
    "/n/quiet-amber-river/usage",
    "/n/quiet-amber-river/members",
    "/n/quiet-amber-river/access",
    "/n/quiet-amber-river/audit",
    "/projects",
    "/settings",
    "/settings/keys",
    "/settings/sessions",
    "/settings/profile",
    "/device?code=%22%3E%3Cscript%3E",
    "/invitation/good",
    "/operator",
    "/operator/people",
    "/operator/plans",
    "/operator/audit",
];

/// Every page of somebody who is not signed in.
pub(crate) const OUTSIDE: &[&str] = &[
    "/login",
    "/signup",
    "/signup?step=code&email=%22%3E%3Cscript%3E",
    "/reset",
    "/reset?step=code",
    "/invitation/%22%3E%3Cscript%3E",
    "/nothing-here",
];
