//! Proving who one is by a secret, and what one gets for it: sessions and tokens.

use std::collections::BTreeMap;

use micro_api::auth::Token;
use micro_api::person::SessionOpened;
use micro_api::{Error as Api, Namespace};
use micro_auth::{AccountType, Claims, Opaque, OpaqueKind, PasswordError, Secret, key, totp};
use micro_db::attempts::Bound;
use micro_db::audit::{Actor, Entry};
use micro_db::{NamespaceAccount, Person, Rotation, Session, now_ms};

use crate::Control;
use crate::authenticate::SESSION_IDLE_MS;
use crate::authz::AUTH;
use crate::error::{Error, chain};
use crate::seal;

/// Access tokens live so long.
const ACCESS_S: i64 = 15 * 60;
/// A family of refresh tokens ends after so long.
const FAMILY_MS: i64 = 90 * 24 * 60 * 60 * 1000;

const BY_ID: Bound = Bound { kind: "login", what: "sign-ins of this account", span_ms: 600_000, max: 10 };
const BY_ADDRESS: Bound =
    Bound { kind: "login-address", what: "sign-ins from this address", span_ms: 600_000, max: 50 };

/// Somebody who proved who they are.
pub(crate) enum Holder {
    Person(Box<Person>),
    Account(Namespace, NamespaceAccount),
}

/// Where a sign-in comes from.
#[derive(Debug, Clone)]
pub(crate) struct From<'a> {
    pub(crate) address: std::net::IpAddr,
    pub(crate) agent: &'a str,
}

impl Control {
    /// One answer for an unknown id and a wrong secret, after one verification either way. `namespace` is where an
    /// account that is no person would be.
    pub(crate) async fn prove(
        &self,
        id: &str,
        secret: &str,
        totp: &str,
        namespace: Option<&Namespace>,
        from: &From<'_>,
    ) -> Result<Holder, Error> {
        self.count_login(from.address).await?;
        self.db.attempt(BY_ID, id).await.map_err(Error::db(AUTH))?;
        let person = self.db.person_by_login(id).await.map_err(Error::db(AUTH))?;
        let account = match (&person, namespace) {
            (None, Some(namespace)) => self.db.account(namespace, id).await.map_err(Error::db(AUTH))?,
            _ => None,
        };
        let stored = person.as_ref().map(|person| person.password.as_str());
        let stored = stored.or_else(|| account.as_ref().map(|account| account.password.as_str()));
        let right = self.passwords.verify(secret, stored.filter(|hash| !hash.is_empty())).await;
        if !right.map_err(password_error)? {
            return Err(Api::unauthorized(AUTH, "the id or the secret is wrong").into());
        }
        let holder = match (person, account, namespace) {
            (Some(person), _, _) => {
                self.check_person(&person, secret, totp).await?;
                Holder::Person(Box::new(person))
            }
            (None, Some(account), Some(namespace)) => Holder::Account(namespace.clone(), account),
            _ => return Err(Api::unauthorized(AUTH, "the id or the secret is wrong").into()),
        };
        self.db.forgive(BY_ID, id).await.map_err(Error::db(AUTH))?;
        Ok(holder)
    }

    /// Counts a sign-in, by whatever means, for the address that it comes from.
    pub(crate) async fn count_login(&self, from: std::net::IpAddr) -> Result<(), Error> {
        self.db.attempt(BY_ADDRESS, &from.to_string()).await.map_err(Error::db(AUTH))
    }

    /// What beside the password must be right.
    async fn check_person(&self, person: &Person, password: &str, totp: &str) -> Result<(), Error> {
        check_standing(person)?;
        if person.has_totp() {
            self.check_totp(person, totp).await?;
        }
        if self.passwords.needs_rehash(&person.password)
            && let Ok(new) = self.passwords.hash(password).await
        {
            self.db.rehash(&person.id, &person.password, &new).await.map_err(Error::db(AUTH))?;
        }
        Ok(())
    }

    /// A code of the person's second factor, each good once.
    pub(crate) async fn check_totp(&self, person: &Person, code: &str) -> Result<(), Error> {
        if code.is_empty() {
            let detail = "a second factor is needed: send the six digits of your authenticator as `totp`";
            return Err(Api::unauthorized(AUTH, detail).into());
        }
        let sealed = person.sealed_totp.as_deref().unwrap_or_default();
        let context = seal::second_factor(&person.id);
        let opened = self.credentials.sealer().open(&context, sealed).ok();
        let secret = opened.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        let Some(secret) = secret else {
            tracing::error!(person = person.id, "A second factor cannot be unsealed");
            return Err(Api::internal(AUTH, "the second factor cannot be checked").into());
        };
        let step = totp::check(&Secret::new(secret), code, now_ms() / 1000).ok().flatten();
        let step = step.and_then(|step| i64::try_from(step).ok());
        let fresh = match step {
            Some(step) => self.db.take_totp_step(&person.id, step).await.map_err(Error::db(AUTH))?,
            None => false,
        };
        if fresh {
            return Ok(());
        }
        Err(Api::unauthorized(AUTH, "the code of the second factor is wrong, or was used before").into())
    }

    /// Opens a browser's session.
    pub(crate) async fn open_session(
        &self,
        person: &Person,
        from: &From<'_>,
    ) -> Result<SessionOpened, Error> {
        let credential = Opaque::new(OpaqueKind::Session);
        let now = now_ms();
        let session = Session {
            id: uuid::Uuid::new_v4().to_string(),
            kind: "browser".to_owned(),
            person: person.id.clone(),
            digest: key::digest(credential.expose()),
            agent: from.agent.to_owned(),
            address: from.address.to_string(),
            created_ms: now,
            used_ms: now,
            expires_ms: now + SESSION_IDLE_MS,
            ..Session::default()
        };
        self.db.open_session(&session).await.map_err(Error::db(AUTH))?;
        self.note_login(person, from, "session.open").await;
        let first = self.db.memberships(&person.id).await.map_err(Error::db(AUTH))?.into_iter().next();
        Ok(SessionOpened {
            session: credential.expose().to_owned(),
            expires_ms: session.expires_ms,
            namespace: first.map(|first| first.namespace.to_string()).unwrap_or_default(),
        })
    }

    /// Opens a family of a command line: an access token for `namespace`, and a refresh token.
    pub(crate) async fn issue_tokens(
        &self,
        person: &Person,
        namespace: &Namespace,
        from: &From<'_>,
    ) -> Result<Token, Error> {
        let session = family(namespace, from, &person.id, "");
        let refresh = Opaque::new(OpaqueKind::Refresh);
        let token = self.person_token(person, namespace, &session, refresh.expose()).await?;
        let digest = key::digest(refresh.expose());
        self.db.open_family(&session, &digest).await.map_err(Error::db(AUTH))?;
        self.note_login(person, from, "token.issue").await;
        Ok(token)
    }

    /// As [`Self::issue_tokens`], for an account of the namespace.
    pub(crate) async fn issue_account_tokens(
        &self,
        namespace: &Namespace,
        account: &NamespaceAccount,
        from: &From<'_>,
    ) -> Result<Token, Error> {
        let session = family(namespace, from, "", &account.id);
        let refresh = Opaque::new(OpaqueKind::Refresh);
        let digest = key::digest(refresh.expose());
        self.db.open_family(&session, &digest).await.map_err(Error::db(AUTH))?;
        let claims = self.claims(namespace, &account.id, &account.scopes, None, &session.id);
        self.signed(claims, refresh.expose())
    }

    /// Uses a refresh token. The successor's access token serves `namespace`, or the one that the family began with.
    pub(crate) async fn refresh(&self, refresh: &str, namespace: Option<&Namespace>) -> Result<Token, Error> {
        let invalid = || {
            Error::from(Api::unauthorized(
                AUTH,
                "account is required: the refresh token is not valid, run `micro login`",
            ))
        };
        if Opaque::parse(refresh) != Some(OpaqueKind::Refresh) {
            return Err(invalid());
        }
        let next = Opaque::new(OpaqueKind::Refresh);
        let sealed = self.credentials.sealer().seal(seal::SUCCESSOR, next.expose().as_bytes());
        let digests = (key::digest(refresh), key::digest(next.expose()));
        let rotation = self.db.rotate(&digests.0, &digests.1, &sealed).await.map_err(Error::db(AUTH))?;
        let (session, successor) = match rotation {
            Rotation::Rotated(session) => (session, next.expose().to_owned()),
            Rotation::Again(session, sealed) => {
                let opened = self.credentials.sealer().open(seal::SUCCESSOR, &sealed);
                let opened = opened.ok().and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
                (session, opened.ok_or_else(invalid)?)
            }
            Rotation::Reused(session) => {
                tracing::warn!(session = session.id, "A refresh token was used twice: its family has ended");
                self.follow_access().await.map_err(Error::db(AUTH))?;
                return Err(invalid());
            }
            Rotation::Unknown => return Err(invalid()),
        };
        let first: Option<Namespace> = session.namespace.parse().ok();
        let namespace = namespace.cloned().or(first).unwrap_or_default();
        if session.person.is_empty() {
            let account = self.db.account(&namespace, &session.account).await.map_err(Error::db(AUTH))?;
            let account = account.filter(|_| session.namespace == namespace.as_str()).ok_or_else(invalid)?;
            let claims = self.claims(&namespace, &account.id, &account.scopes, None, &session.id);
            return self.signed(claims, &successor);
        }
        let person = self.db.person(&session.person).await.map_err(Error::db(AUTH))?;
        let person = person
            .filter(|person| person.deleted_ms.is_none() && !person.is_blocked())
            .ok_or_else(invalid)?;
        self.person_token(&person, &namespace, &session, &successor).await
    }

    async fn person_token(
        &self,
        person: &Person,
        namespace: &Namespace,
        session: &Session,
        refresh: &str,
    ) -> Result<Token, Error> {
        let role = self.db.role(namespace, &person.id).await.map_err(Error::db(AUTH))?;
        let Some(role) = role else {
            let detail = format!("namespace {namespace} not found: `micro user namespace list` shows yours");
            return Err(Api::not_found(AUTH, detail).into());
        };
        let name = Some(person.name.clone());
        let claims = self.claims(namespace, &person.id, &micro_auth::scopes_of(role), name, &session.id);
        self.signed(claims, refresh)
    }

    fn claims(
        &self,
        namespace: &Namespace,
        id: &str,
        scopes: &[String],
        name: Option<String>,
        session: &str,
    ) -> Claims {
        let now = now_ms() / 1000;
        Claims {
            iss: namespace.to_string(),
            aud: self.credentials.audience().to_owned(),
            sub: id.to_owned(),
            account_type: AccountType::User,
            scopes: scopes.to_vec(),
            metadata: BTreeMap::new(),
            name,
            iat: now,
            nbf: now,
            exp: now + ACCESS_S,
            jti: uuid::Uuid::new_v4().to_string(),
            sid: Some(session.to_owned()),
        }
    }

    fn signed(&self, claims: Claims, refresh: &str) -> Result<Token, Error> {
        let access_token = self.credentials.keyring().sign(&claims).map_err(|error| {
            tracing::error!(error = chain(&error), "An access token cannot be signed");
            Api::internal(AUTH, "the token cannot be signed")
        })?;
        Ok(Token {
            access_token,
            refresh_token: refresh.to_owned(),
            created: claims.iat,
            expiry: claims.exp,
            namespace: claims.iss,
        })
    }

    /// A sign-in in the person's rows and the audit log. It happened, so a failure to note it is only told.
    async fn note_login(&self, person: &Person, from: &From<'_>, action: &'static str) {
        let actor =
            Actor { id: person.id.clone(), name: person.name.clone(), address: from.address.to_string() };
        let entry = Entry { actor: &actor, namespace: "", action, subject: &person.name, detail: from.agent };
        let noted = async {
            self.db.note_login(&person.id).await?;
            self.db.audit(entry).await
        };
        if let Err(error) = noted.await {
            tracing::warn!(error = chain(&error), "A sign-in was not noted");
        }
        // Whoever just signed up knows it.
        if person.login_ms > 0 {
            let address = from.address.to_string();
            self.tell_person(person, |texts, to| texts.new_login(to, from.agent, &address));
        }
    }
}

/// Whether the person may sign in at all, whatever they prove.
pub(crate) fn check_standing(person: &Person) -> Result<(), Error> {
    if person.deleted_ms.is_some() {
        let detail = "this account is being deleted: ask the operator of this platform to restore it";
        return Err(Api::forbidden(AUTH, detail).into());
    }
    if person.is_blocked() {
        let detail = "this account is blocked: ask the operator of this platform";
        return Err(Api::forbidden(AUTH, detail).into());
    }
    Ok(())
}

fn family(namespace: &Namespace, from: &From<'_>, person: &str, account: &str) -> Session {
    let now = now_ms();
    Session {
        id: uuid::Uuid::new_v4().to_string(),
        kind: "cli".to_owned(),
        person: person.to_owned(),
        account: account.to_owned(),
        namespace: namespace.to_string(),
        digest: String::new(),
        agent: from.agent.to_owned(),
        address: from.address.to_string(),
        created_ms: now,
        used_ms: now,
        expires_ms: now + FAMILY_MS,
    }
}

/// A password that was refused before it was compared, or could not be compared now.
pub(crate) fn password_error(error: PasswordError) -> Error {
    match &error {
        PasswordError::TooLong | PasswordError::TooShort => Api::bad_request(AUTH, error.to_string()).into(),
        PasswordError::Busy => Api::new(AUTH, 503, "too many sign-ins at once: try again in a moment").into(),
        _ => {
            tracing::error!(error = chain(&error), "A password could not be checked");
            Api::internal(AUTH, "the password cannot be checked").into()
        }
    }
}
