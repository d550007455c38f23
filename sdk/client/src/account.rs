//! People, tokens, teams, usage and the operator: one method an endpoint.

use micro_api::auth::{Account, Inspect, NewAccount, Rule, Token, TokenRequest};
use micro_api::oidc::{Identity, OidcFactor, OidcFinish, OidcFinished, OidcStart, OidcStarted};
use micro_api::operator::{Change, Invite, NamespaceStatus, Person, Plan};
use micro_api::person::*;
use micro_api::routes::*;
use micro_api::team::*;
use micro_api::usage::{Billing, Limits, Usage};
use reqwest::Method;
use serde::Serialize;
use url::Url;

use crate::transport::as_json;
use crate::{Client, Result};

/// Where a list goes on, and how many of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Page {
    /// What to look for; empty: all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// The last id of the page before; empty: the first page.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub after: String,
    /// 1 to 200.
    pub limit: u32,
}

impl Client {
    pub async fn signup_info(&self) -> Result<SignupInfo> {
        self.get(self.url(SIGNUP, &[])).await
    }
    /// Sends a code to the address. The answer does not tell whether the address is known.
    pub async fn signup_code(&self, request: &CodeRequest) -> Result<()> {
        self.tell(Method::POST, self.url(SIGNUP, &["code"]), request).await
    }
    /// Whether a code holds, and who waits for its address. The code stays good.
    pub async fn signup_check(&self, check: &CodeCheck) -> Result<CodeChecked> {
        self.exchange(Method::POST, self.url(SIGNUP, &["check"]), check).await
    }
    pub async fn signup(&self, request: &Signup) -> Result<SessionOpened> {
        self.exchange(Method::POST, self.url(SIGNUP, &[]), request).await
    }
    pub async fn reset_code(&self, request: &CodeRequest) -> Result<()> {
        self.tell(Method::POST, self.url(RESET, &["code"]), request).await
    }
    pub async fn reset(&self, request: &ResetPassword) -> Result<()> {
        self.tell(Method::POST, self.url(RESET, &[]), request).await
    }
    pub async fn login(&self, request: &Login) -> Result<SessionOpened> {
        self.exchange(Method::POST, self.url(SESSIONS, &[]), request).await
    }
    pub async fn token(&self, request: &TokenRequest) -> Result<Token> {
        self.exchange(Method::POST, self.url(TOKEN, &[]), request).await
    }
    /// Whose token it is.
    pub async fn inspect(&self, token: &str) -> Result<Account> {
        let inspect = Inspect { token: token.to_owned() };
        self.exchange(Method::POST, self.url(INSPECT, &[]), &inspect).await
    }
    pub async fn device_start(&self) -> Result<DeviceStart> {
        self.json(as_json(self.request(Method::POST, self.url(DEVICE, &[])))).await
    }
    pub async fn device_token(&self, code: &DeviceCode) -> Result<Token> {
        self.exchange(Method::POST, self.url(DEVICE, &["token"]), code).await
    }
    pub async fn device_approve(&self, approve: &DeviceApprove) -> Result<()> {
        self.tell(Method::POST, self.url(DEVICE, &["approve"]), approve).await
    }
    /// Begins to sign in with the provider of single sign-on.
    pub async fn oidc_start(&self, start: &OidcStart) -> Result<OidcStarted> {
        self.exchange(Method::POST, self.url(OIDC, &[]), start).await
    }
    pub async fn oidc_finish(&self, finish: &OidcFinish) -> Result<OidcFinished> {
        self.exchange(Method::POST, self.url(OIDC, &["finish"]), finish).await
    }
    /// The second factor of the person whom the provider named.
    pub async fn oidc_factor(&self, factor: &OidcFactor) -> Result<OidcFinished> {
        self.exchange(Method::POST, self.url(OIDC, &["factor"]), factor).await
    }

    pub async fn me(&self) -> Result<Me> {
        self.get(self.url(ME, &[])).await
    }
    pub async fn change_profile(&self, change: &ChangeProfile) -> Result<Me> {
        self.exchange(Method::PATCH, self.url(ME, &[]), change).await
    }
    pub async fn change_password(&self, change: &ChangePassword) -> Result<()> {
        self.tell(Method::POST, self.url(ME, &["password"]), change).await
    }
    /// Sends a code to the old and to the new address.
    pub async fn change_email(&self, change: &ChangeEmail) -> Result<()> {
        self.tell(Method::POST, self.url(ME, &["email"]), change).await
    }
    pub async fn confirm_email(&self, change: &ChangeEmail) -> Result<()> {
        self.tell(Method::PUT, self.url(ME, &["email"]), change).await
    }
    pub async fn delete_me(&self, confirm: &DeleteMe) -> Result<()> {
        self.tell(Method::DELETE, self.url(ME, &[]), confirm).await
    }
    pub async fn totp_start(&self) -> Result<TotpSecret> {
        self.json(as_json(self.request(Method::POST, self.url(ME, &["totp"])))).await
    }
    pub async fn totp_confirm(&self, code: &TotpCode) -> Result<()> {
        self.tell(Method::PUT, self.url(ME, &["totp"]), code).await
    }
    pub async fn totp_remove(&self, code: &TotpCode) -> Result<()> {
        self.tell(Method::DELETE, self.url(ME, &["totp"]), code).await
    }
    /// The accounts elsewhere that sign the person in.
    pub async fn identities(&self) -> Result<Vec<Identity>> {
        self.get(self.url(IDENTITIES, &[])).await
    }
    /// Begins to link another one.
    pub async fn link_identity(&self, start: &OidcStart) -> Result<OidcStarted> {
        self.exchange(Method::POST, self.url(IDENTITIES, &[]), start).await
    }
    pub async fn unlink_identity(&self, id: &str) -> Result<()> {
        self.remove(self.url(IDENTITIES, &[id])).await
    }
    pub async fn sessions(&self) -> Result<Vec<Session>> {
        self.get(self.url(SESSIONS, &[])).await
    }
    /// Ends a session; `current` is the one that asks.
    pub async fn end_session(&self, id: &str) -> Result<()> {
        self.remove(self.url(SESSIONS, &[id])).await
    }

    pub async fn keys(&self) -> Result<Vec<Key>> {
        self.get(self.url(KEYS, &[])).await
    }
    pub async fn create_key(&self, key: &NewKey) -> Result<NewKeyMade> {
        self.exchange(Method::POST, self.url(KEYS, &[]), key).await
    }
    pub async fn revoke_key(&self, id: &str) -> Result<()> {
        self.remove(self.url(KEYS, &[id])).await
    }

    pub async fn accounts(&self) -> Result<Vec<Account>> {
        self.get(self.url(ACCOUNTS, &[])).await
    }
    pub async fn create_account(&self, account: &NewAccount) -> Result<Account> {
        self.exchange(Method::POST, self.url(ACCOUNTS, &[]), account).await
    }
    pub async fn delete_account(&self, id: &str) -> Result<()> {
        self.remove(self.url(ACCOUNTS, &[id])).await
    }
    pub async fn rules(&self) -> Result<Vec<Rule>> {
        self.get(self.url(RULES, &[])).await
    }
    pub async fn create_rule(&self, rule: &Rule) -> Result<()> {
        self.tell(Method::POST, self.url(RULES, &[]), rule).await
    }
    pub async fn delete_rule(&self, id: &str) -> Result<()> {
        self.remove(self.url(RULES, &[id])).await
    }

    pub async fn projects(&self) -> Result<Vec<Project>> {
        self.get(self.url(PROJECTS, &[])).await
    }
    pub async fn create_project(&self, project: &NewProject) -> Result<Project> {
        self.exchange(Method::POST, self.url(PROJECTS, &[]), project).await
    }
    pub async fn delete_project(&self, id: &str) -> Result<()> {
        self.remove(self.url(PROJECTS, &[id])).await
    }
    pub async fn create_environment(
        &self,
        project: &str,
        environment: &NewEnvironment,
    ) -> Result<Environment> {
        self.exchange(Method::POST, self.url(PROJECTS, &[project, "environments"]), environment).await
    }
    pub async fn delete_namespace(&self, namespace: &str) -> Result<()> {
        self.remove(self.url(NAMESPACES, &[namespace])).await
    }
    pub async fn members(&self) -> Result<Vec<Member>> {
        self.get(self.url(MEMBERS, &[])).await
    }
    pub async fn change_role(&self, id: &str, change: &ChangeRole) -> Result<()> {
        self.tell(Method::PUT, self.url(MEMBERS, &[id]), change).await
    }
    pub async fn remove_member(&self, id: &str) -> Result<()> {
        self.remove(self.url(MEMBERS, &[id])).await
    }
    pub async fn invitations(&self) -> Result<Vec<Invitation>> {
        self.get(self.url(INVITATIONS, &[])).await
    }
    pub async fn invite(&self, invitation: &NewInvitation) -> Result<Invitation> {
        self.exchange(Method::POST, self.url(INVITATIONS, &[]), invitation).await
    }
    pub async fn withdraw_invitation(&self, id: &str) -> Result<()> {
        self.remove(self.url(INVITATIONS, &[id])).await
    }
    pub async fn accept_invitation(&self, accept: &AcceptInvitation) -> Result<Membership> {
        self.exchange(Method::POST, self.url(INVITATIONS, &["accept"]), accept).await
    }

    pub async fn limits(&self) -> Result<Limits> {
        self.get(self.url(LIMITS, &[])).await
    }
    /// Of the last so many days, today included.
    pub async fn usage(&self, days: u32) -> Result<Vec<Usage>> {
        let mut url = self.url(USAGE, &[]);
        url.query_pairs_mut().append_pair("days", &days.to_string());
        self.get(url).await
    }
    pub async fn billing(&self) -> Result<Billing> {
        self.get(self.url(BILLING, &[])).await
    }
    pub async fn audit(&self, page: &Page) -> Result<Vec<AuditRecord>> {
        self.page(self.url(AUDIT, &[]), page).await
    }

    pub async fn operator_people(&self, page: &Page) -> Result<Vec<Person>> {
        self.page(self.url(OPERATOR, &["people"]), page).await
    }
    pub async fn operator_change_person(&self, id: &str, change: &Change) -> Result<Person> {
        self.exchange(Method::PUT, self.url(OPERATOR, &["people", id]), change).await
    }
    pub async fn operator_namespaces(&self, page: &Page) -> Result<Vec<NamespaceStatus>> {
        self.page(self.url(OPERATOR, &["namespaces"]), page).await
    }
    pub async fn operator_change_namespace(
        &self,
        namespace: &str,
        change: &Change,
    ) -> Result<NamespaceStatus> {
        self.exchange(Method::PUT, self.url(OPERATOR, &["namespaces", namespace]), change).await
    }
    pub async fn operator_invite(&self, invite: &Invite) -> Result<Invitation> {
        self.exchange(Method::POST, self.url(OPERATOR, &["invitations"]), invite).await
    }
    pub async fn operator_plans(&self) -> Result<Vec<Plan>> {
        self.get(self.url(OPERATOR, &["plans"])).await
    }
    pub async fn operator_audit(&self, page: &Page) -> Result<Vec<AuditRecord>> {
        self.page(self.url(OPERATOR, &["audit"]), page).await
    }

    /// Sends `body` and expects no answer but success.
    async fn tell(&self, method: Method, url: Url, body: &impl Serialize) -> Result<()> {
        self.body(self.request(method, url).json(body)).await.map(drop)
    }

    async fn remove(&self, url: Url) -> Result<()> {
        self.body(self.request(Method::DELETE, url)).await.map(drop)
    }

    async fn page<T: serde::de::DeserializeOwned>(&self, url: Url, page: &Page) -> Result<Vec<T>> {
        self.json(self.request(Method::GET, url).query(page)).await
    }
}
