//! Single sign-on: begin, finish, the second factor; and the identities of a person.
//!
//! A sign-in is a row that the state names by its digest. It is good once, for ten minutes, and only with the secret
//! that the browser which began it got, so that nobody can be signed in by a link that somebody else made.

pub(crate) mod factor;
pub(crate) mod finish;
pub(crate) mod identities;
pub(crate) mod start;

use micro_api::Error as Api;
use micro_api::oidc::{OidcStart, OidcStarted};
use micro_auth::{key, random_secret};
use micro_db::flows::FLOW_MS;
use micro_db::{Flow, Step};

use crate::Control;
use crate::error::Error;
use crate::oidc::{ID, Oidc, Request};

/// What the code verifier is sealed as.
const SEALED_VERIFIER: &str = "oidc_flows.sealed verifier";
/// What the identity is sealed as whose person must give a second factor.
const SEALED_IDENTITY: &str = "oidc_flows.sealed identity";
/// Bytes of a text that comes back at the end.
const REDIRECT_BYTES_MAX: usize = 2_048;

/// The provider, where the operator named one.
fn provider(control: &Control) -> Result<&Oidc, Error> {
    let provider = control.config.people.oidc.as_ref();
    provider.ok_or_else(|| Api::not_found(ID, "this platform has no single sign-on").into())
}

/// Where the provider sends browsers back to.
fn redirect_uri(control: &Control) -> String {
    format!("{}/login/oidc/callback", control.texts().portal)
}

/// Sends a browser to the provider. `person`: who links; empty: somebody signs in.
async fn begin(control: &Control, person: &str, start: &OidcStart) -> Result<OidcStarted, Error> {
    let provider = provider(control)?;
    if start.redirect_to.len() > REDIRECT_BYTES_MAX {
        let detail = format!("redirect_to has more than {REDIRECT_BYTES_MAX} bytes");
        return Err(Api::bad_request(ID, detail).into());
    }
    let (state, nonce) = (random_secret(""), random_secret(""));
    let (verifier, browser) = (random_secret(""), random_secret(""));
    let redirect_uri = redirect_uri(control);
    let request = Request {
        redirect_uri: &redirect_uri,
        state: state.expose(),
        nonce: nonce.expose(),
        verifier: verifier.expose(),
    };
    let url = provider.authorization_url(&request).await.map_err(|error| provider.explain(&error))?;
    let flow = Flow {
        digest: key::digest(state.expose()),
        browser: key::digest(browser.expose()),
        person: person.to_owned(),
        nonce: key::digest(nonce.expose()),
        sealed: control.credentials.sealer().seal(SEALED_VERIFIER, verifier.expose().as_bytes()),
        redirect_to: start.redirect_to.clone(),
    };
    control.db.begin_flow(Step::Provider, &flow).await.map_err(Error::db(ID))?;
    Ok(OidcStarted { url, browser: browser.expose().to_owned(), expires_in: FLOW_MS / 1_000 })
}

/// Opens what a flow's row keeps sealed.
fn unseal(control: &Control, context: &str, flow: &Flow) -> Result<String, Error> {
    let opened = control.credentials.sealer().open(context, &flow.sealed).ok();
    opened.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()).ok_or_else(|| {
        tracing::error!("A sign-in under way cannot be unsealed");
        Api::internal(ID, "internal error").into()
    })
}
