//! People: sign-up, sessions, keys, profile.

use serde::{Deserialize, Serialize};

use crate::auth::Role;

/// Who may sign up, and where mails go: what a sign-up page has to know. `GET /v1/signup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SignupInfo {
    pub mode: SignupMode,
    /// The file that mails are written to instead of being sent; only on a server that serves loopback alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail_file: Option<String>,
    /// Name of the provider of single sign-on, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<String>,
}

/// How new people come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignupMode {
    /// Whoever proves an e-mail address by a mailed code.
    Code,
    /// Whoever has an invitation, which also proves the address.
    Invitation,
    /// Whoever comes, without proof of the address.
    Open,
    /// Nobody.
    Closed,
}

/// An e-mail address that a code goes to. `POST /v1/signup/code`, `POST /v1/reset/code`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeRequest {
    pub email: String,
}

/// A code that was mailed to an address. `POST /v1/signup/check`: whether it holds, without using it up; a wrong one
/// counts as a guess.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeCheck {
    pub email: String,
    /// The mailed code (mode `code`).
    #[serde(default)]
    pub code: String,
    /// An invitation's code instead.
    #[serde(default)]
    pub invitation: String,
}

/// What a code that holds says of its address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CodeChecked {
    /// The namespace that an invitation for the address waits for; empty: none.
    pub invited_to: String,
}

/// `POST /v1/signup`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signup {
    pub email: String,
    /// The mailed code (mode `code`).
    #[serde(default)]
    pub code: String,
    /// An invitation; accepted in every mode but `closed`.
    #[serde(default)]
    pub invitation: String,
    /// 8 to 1 024 bytes.
    pub password: String,
    /// A name to sign in with beside the address. Empty: made from the address.
    #[serde(default)]
    pub name: String,
    /// Join the namespace of the invitation instead of making one's own.
    #[serde(default)]
    pub join: bool,
}

/// `POST /v1/sessions`: sign in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// E-mail address or name.
    pub id: String,
    pub secret: String,
    #[serde(default)]
    pub totp: String,
}

/// A session was opened: the credential of a browser, good for every namespace of the person (the header
/// `Micro-Namespace` chooses).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SessionOpened {
    /// `micros_…`; ends after 30 days, or 14 days without use.
    pub session: String,
    pub expires_ms: i64,
    /// The namespace to show first.
    pub namespace: String,
}

/// Where somebody is signed in. `GET /v1/sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Session {
    pub id: String,
    /// `browser` or `cli`.
    pub kind: String,
    /// The program, from its `User-Agent`.
    pub agent: String,
    /// The address that opened it.
    pub address: String,
    pub created_ms: i64,
    pub used_ms: i64,
    pub expires_ms: i64,
    /// The one that asks.
    pub current: bool,
}

/// The one who asks. `GET /v1/me`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Me {
    /// A person's id, or the account's.
    pub id: String,
    pub name: String,
    /// Empty for what is no person.
    pub email: String,
    /// May use the operator's endpoints.
    pub operator: bool,
    /// A second factor is set up.
    pub totp: bool,
    /// The namespace that this request acts in.
    pub namespace: String,
    pub role: Option<Role>,
    pub scopes: Vec<String>,
    pub namespaces: Vec<Membership>,
    /// `session`, `access`, `key`, `account` or `local`.
    pub credential: String,
}

/// A namespace of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Membership {
    pub namespace: String,
    /// The project whose environment it is, and the environment's name.
    pub project: String,
    pub environment: String,
    pub role: Role,
}

/// `PATCH /v1/me`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeProfile {
    pub name: String,
}

/// `POST /v1/me/password`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    pub old_password: String,
    pub new_password: String,
}

/// `POST /v1/reset`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetPassword {
    pub email: String,
    pub code: String,
    pub password: String,
}

/// `POST /v1/me/email`: a code goes to each of the two addresses; `PUT /v1/me/email` brings both back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeEmail {
    pub email: String,
    #[serde(default)]
    pub old_code: String,
    #[serde(default)]
    pub new_code: String,
}

/// `DELETE /v1/me`: the password confirms it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteMe {
    pub password: String,
}

/// `POST /v1/me/totp`: what an authenticator reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TotpSecret {
    /// Base32.
    pub secret: String,
    /// `otpauth://…`
    pub uri: String,
}

/// `PUT /v1/me/totp` switches it on, `DELETE /v1/me/totp` off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TotpCode {
    pub totp: String,
}

/// `POST /v1/keys`. Nobody grants more than they hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What it is for: shown in lists.
    pub description: String,
    /// Roles and named scopes. Empty: the scopes of the one who asks.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Days until it ends, 1 to 365. 0: 90.
    #[serde(default)]
    pub days: u32,
    /// The one service that the key may deploy and call. Empty: all.
    #[serde(default)]
    pub service: String,
}

/// An API key. `GET /v1/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Key {
    pub id: String,
    pub description: String,
    pub scopes: Vec<String>,
    /// The one service that it is limited to; empty: all.
    pub service: String,
    /// Name of the person or account that made it.
    pub owner: String,
    pub created_ms: i64,
    pub expires_ms: i64,
    /// 0: never. Exact to a minute.
    pub used_ms: i64,
    /// An operator or a quota stopped it.
    pub blocked: bool,
}

/// The answer of `POST /v1/keys`: the only time that `token` is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct NewKeyMade {
    pub key: Key,
    /// `micro_…`
    pub token: String,
}

/// `POST /v1/device`: the start of `micro login` on a terminal (RFC 8628).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeviceStart {
    pub device_code: String,
    /// What the person types on the page: `XXXX-XXXX`.
    pub user_code: String,
    pub verification_uri: String,
    /// Seconds until the codes end.
    pub expires_in: i64,
    /// Seconds between two polls.
    pub interval: i64,
}

/// `POST /v1/device/token`: 400 `authorization_pending` or `slow_down` until the person has said yes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceCode {
    pub device_code: String,
}

/// `POST /v1/device/approve`, by a signed-in person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceApprove {
    pub user_code: String,
    /// The namespace that the command line acts in.
    pub namespace: String,
}
