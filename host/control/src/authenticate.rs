//! From a bearer credential to an [`Identity`].
//!
//! Known credentials are answered from memory, for as long as nothing changed in who may do what: every entry carries
//! the access revision that it was looked up under, and counts only while that is the newest one. The revision is read
//! before the rows, so an answer that a revocation overtook is never kept.
//!
//! That one was used is noted in memory and written later ([`uses`]): no request waits for it.

mod uses;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use micro_api::Namespace;
use micro_api::auth::Role;
use micro_auth::{
    Authenticator, Credential, Identity, Keyring, Opaque, OpaqueKind, PublicKey, Refused, Sealer, SigningKey,
    TokenError, key, scopes_of,
};
use micro_db::{Db, Holder, Person, Session, now_ms};
use parking_lot::RwLock;

use crate::error::chain;
use crate::seal;
use uses::{Noted, Notes, Uses};

/// Credentials kept in memory.
const KNOWN_MAX: u64 = 100_000;
/// How long known credentials count while the database is away.
const ALONE_MS: i64 = 5 * 60 * 1000;
/// A browser's session ends after so long without use.
pub(crate) const SESSION_IDLE_MS: i64 = 14 * 24 * 60 * 60 * 1000;

/// What knows who holds which credential.
pub struct Credentials {
    db: Db,
    sealer: Arc<Sealer>,
    /// The URL that access tokens are for.
    audience: String,
    keyring: RwLock<Arc<Keyring>>,
    known: moka::sync::Cache<Question, Known>,
    revision: AtomicI64,
    /// The one that the keyring was read after.
    keyring_revision: AtomicI64,
    /// When the database last told the revision, Unix milliseconds.
    told_ms: AtomicI64,
    uses: Uses,
}

/// A credential's digest, and the namespace that it was asked for.
type Question = ([u8; 32], Option<Namespace>);

#[derive(Clone)]
struct Known {
    revision: i64,
    identity: Arc<Identity>,
    notes: Option<Arc<Notes>>,
}

/// A failure of the platform that keeps it from starting.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("read the signing keys")]
    Db(#[from] micro_db::Error),
    #[error("unseal the signing key {kid}: is the master key the one that it was sealed with?")]
    Seal { kid: String },
    /// Something is sealed by a master key that was not given.
    #[error(
        "secrets in the database are sealed by the master key {sealed_by}, and the one given is {given}: start with \
         the right one, or name the one before with --master_key_previous while it is being replaced"
    )]
    MasterKey { sealed_by: String, given: String },
    /// The right key does not open it either.
    #[error("{what} in the database was changed or damaged: it cannot be unsealed")]
    Sealed { what: &'static str },
    #[error("the signing key {kid} is damaged")]
    Damaged { kid: String },
    #[error("make a signing key")]
    Make,
}

impl Credentials {
    /// Reads the signing keys, and makes the first one where there is none. What a master key before the current one
    /// sealed is sealed anew; if something was sealed by neither, nothing changes and this fails.
    pub async fn open(db: Db, sealer: Arc<Sealer>, audience: String) -> Result<Arc<Self>, CredentialsError> {
        seal::renew(&db, &sealer).await?;
        if db.signing_keys().await?.is_empty() {
            let first = SigningKey::generate(now_ms()).map_err(|_| CredentialsError::Make)?;
            db.insert_first_signing_key(first.kid(), &sealer.seal(seal::SIGNING_KEY, &first.export()))
                .await?;
        }
        // First: a key that is made meanwhile changes it.
        let revision = db.access_revision().await?;
        let keyring = read_keys(&db, &sealer).await?;
        Ok(Arc::new(Self {
            db,
            sealer,
            audience,
            keyring: RwLock::new(Arc::new(keyring)),
            known: moka::sync::Cache::new(KNOWN_MAX),
            revision: AtomicI64::new(revision),
            keyring_revision: AtomicI64::new(revision),
            told_ms: AtomicI64::new(now_ms()),
            uses: Uses::default(),
        }))
    }

    /// Asks how often access changed. What was known before the last change is looked up anew. What this does not come
    /// to, because it fails or nobody waits for it any more, the next one does.
    pub async fn refresh(&self) -> Result<i64, micro_db::Error> {
        let revision = self.db.access_revision().await?;
        self.told_ms.store(now_ms(), Ordering::Relaxed);
        self.revision.store(revision, Ordering::Release);
        if self.keyring_revision.load(Ordering::Acquire) != revision {
            match read_keys(&self.db, &self.sealer).await {
                Ok(keyring) => *self.keyring.write() = Arc::new(keyring),
                Err(CredentialsError::Db(error)) => return Err(error),
                Err(error) => tracing::error!(error = chain(&error), "The signing keys cannot be read"),
            }
            self.keyring_revision.store(revision, Ordering::Release);
        }
        Ok(revision)
    }

    /// The access revision that answers from now on are held to.
    pub(crate) fn revision(&self) -> i64 {
        self.revision.load(Ordering::Acquire)
    }

    pub(crate) fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring.read())
    }

    pub(crate) fn audience(&self) -> &str {
        &self.audience
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// A new signing key; those before it verify for `overlap_ms` more, longer than any token lives.
    pub async fn rotate_signing_key(&self, overlap_ms: i64) -> Result<String, CredentialsError> {
        let next = SigningKey::generate(now_ms()).map_err(|_| CredentialsError::Make)?;
        let sealed = self.sealer.seal(seal::SIGNING_KEY, &next.export());
        self.db.rotate_signing_key(next.kid(), &sealed, now_ms() + overlap_ms).await?;
        self.refresh().await?;
        Ok(next.kid().to_owned())
    }

    /// The identity behind `credential`. A credential of several namespaces acts in `namespace`, or in its first one;
    /// one of a single namespace ignores it: the caller compares.
    pub async fn identify(
        &self,
        credential: &str,
        namespace: Option<&Namespace>,
    ) -> Result<Arc<Identity>, Refused> {
        let question = (digest_of(credential), namespace.cloned());
        let (revision, now_ms) = (self.revision(), now_ms());
        let known = self.known.get(&question).filter(|known| known.revision == revision);
        // The end of a session moves while it is used.
        let known = known.filter(|known| known.identity.expires_ms > now_ms);
        let (known, is_new) = match known {
            Some(known) => (known, false),
            None => {
                let (identity, notes) = self.look_up(credential, namespace).await?;
                (Known { revision, identity: Arc::new(identity), notes }, true)
            }
        };
        self.check_time(&known.identity, now_ms)?;
        if is_new {
            self.known.insert(question, known.clone());
        }
        if let Some(notes) = known.notes {
            self.uses.note(&notes, now_ms);
        }
        Ok(known.identity)
    }

    /// Writes down which credentials were used since the last time. What cannot be written waits for the next.
    pub(crate) async fn write_uses(&self) -> Result<(), micro_db::Error> {
        self.uses.write(&self.db).await
    }

    fn check_time(&self, identity: &Identity, now_ms: i64) -> Result<(), Refused> {
        if identity.expires_ms <= now_ms {
            return Err(Refused::Expired(identity.expires_ms / 1000));
        }
        if now_ms - self.told_ms.load(Ordering::Relaxed) > ALONE_MS {
            return Err(Refused::Unavailable);
        }
        Ok(())
    }

    async fn look_up(&self, credential: &str, namespace: Option<&Namespace>) -> Result<Found, Refused> {
        match Opaque::parse(credential) {
            Some(OpaqueKind::Key) => self.by_key(credential).await,
            Some(OpaqueKind::Session) => self.by_session(credential, namespace).await,
            Some(_) => Err(Refused::Invalid),
            None => self.by_token(credential).await.map(|identity| (identity, None)),
        }
    }

    async fn by_key(&self, credential: &str) -> Result<Found, Refused> {
        let held = self.db.held_key(&key::digest(credential)).await.map_err(away)?;
        let held = held.ok_or(Refused::Invalid)?;
        let key = held.credential;
        if key.expires_ms <= now_ms() {
            return Err(Refused::Expired(key.expires_ms / 1000));
        }
        if key.blocked != 0 {
            return Err(Refused::Blocked("the API key".to_owned()));
        }
        let namespace: Namespace = key.namespace.parse().map_err(|_| Refused::Invalid)?;
        check_open(&namespace, held.standing.is_namespace_closed())?;
        let mut scopes: Vec<String> = serde_json::from_str(&key.scopes).map_err(|_| Refused::Invalid)?;
        let mut person = None;
        if !key.owner.starts_with("account:") {
            // A key never outlives what its owner may do.
            let owner = held.standing.holder().map_err(away)?.ok_or(Refused::Invalid)?;
            check_person(&owner.name, owner.is_blocked)?;
            let role = owner.role.ok_or(Refused::Invalid)?;
            scopes.retain(|scope| scope.parse::<Role>().is_ok_and(|held| held <= role) || !is_role(scope));
            person = Some(key.owner.clone());
        }
        let notes = Notes::new(Noted::Key(key.id.clone()), key.used_ms);
        let identity = Identity {
            id: key.owner.strip_prefix("account:").unwrap_or(&key.owner).to_owned(),
            name: key.owner_name,
            credential: Credential::Key,
            namespace,
            scopes,
            person,
            session: key.id,
            service: if key.service.is_empty() { None } else { key.service.parse().ok() },
            operator: false,
            expires_ms: key.expires_ms,
        };
        Ok((identity, notes))
    }

    async fn by_session(&self, credential: &str, namespace: Option<&Namespace>) -> Result<Found, Refused> {
        let session = self.db.session_by_digest(&key::digest(credential)).await.map_err(away)?;
        let session = session.ok_or(Refused::Invalid)?;
        let person = self.living(&session.person).await?;
        let (namespace, scopes) = self.place_of(&person, namespace).await?;
        let noted = Noted::Session { id: session.id.clone(), created_ms: session.created_ms };
        let notes = Notes::new(noted, session.used_ms);
        let holder = Holder {
            is_operator: person.is_operator(),
            is_blocked: person.is_blocked(),
            name: person.name,
            role: None,
        };
        Ok((of_person(holder, Credential::Session, namespace, scopes, session), notes))
    }

    /// The namespace that a person acts in and the scopes there; none where they are no member, so that what is asked
    /// of it is `not found`.
    async fn place_of(
        &self,
        person: &Person,
        wanted: Option<&Namespace>,
    ) -> Result<(Namespace, Vec<String>), Refused> {
        let memberships = self.db.memberships(&person.id).await.map_err(away)?;
        let found = match wanted {
            Some(wanted) => memberships.into_iter().find(|member| member.namespace == *wanted),
            None => memberships.into_iter().next(),
        };
        Ok(match (found, wanted) {
            (Some(found), _) => (found.namespace, scopes_of(found.role)),
            (None, Some(wanted)) => (wanted.clone(), Vec::new()),
            (None, None) => (Namespace::default(), Vec::new()),
        })
    }

    async fn by_token(&self, token: &str) -> Result<Identity, Refused> {
        let now_s = now_ms() / 1000;
        let claims = self.keyring().verify(token, &self.audience, now_s).map_err(|error| match error {
            TokenError::Expired { since_s } => Refused::Expired(now_s - since_s),
            _ => Refused::Invalid,
        })?;
        let namespace: Namespace = claims.iss.parse().map_err(|_| Refused::Invalid)?;
        let sid = claims.sid.ok_or(Refused::Invalid)?;
        let held = self.db.held_session(&sid, &namespace).await.map_err(away)?.ok_or(Refused::Invalid)?;
        let (session, standing) = (held.credential, held.standing);
        check_open(&namespace, standing.is_namespace_closed())?;
        let expires_ms = claims.exp.saturating_mul(1000);
        if session.person.is_empty() {
            let scopes = standing.account_scopes().filter(|_| session.namespace == namespace.as_str());
            let scopes = scopes.ok_or(Refused::Invalid)?;
            let scopes = serde_json::from_str(scopes).map_err(|_| Refused::Invalid)?;
            return Ok(of_account(session, namespace, scopes, expires_ms));
        }
        let person = standing.holder().map_err(away)?.ok_or(Refused::Invalid)?;
        check_person(&person.name, person.is_blocked)?;
        // Roles are read, not taken from the token: a change acts at once.
        let role = person.role.ok_or(Refused::Invalid)?;
        let identity = of_person(person, Credential::Access, namespace, scopes_of(role), session);
        Ok(Identity { expires_ms, ..identity })
    }

    async fn living(&self, person: &str) -> Result<Person, Refused> {
        let person = self.db.person(person).await.map_err(away)?;
        let person = person.filter(|person| person.deleted_ms.is_none()).ok_or(Refused::Invalid)?;
        check_person(&person.name, person.is_blocked())?;
        Ok(person)
    }
}

/// An identity, and where its use is noted.
type Found = (Identity, Option<Arc<Notes>>);

#[async_trait]
impl Authenticator for Credentials {
    async fn authenticate(&self, credential: &str) -> Result<Arc<Identity>, Refused> {
        self.identify(credential, None).await
    }
}

fn of_person(
    person: Holder,
    credential: Credential,
    namespace: Namespace,
    scopes: Vec<String>,
    session: Session,
) -> Identity {
    Identity {
        id: session.person.clone(),
        name: person.name,
        credential,
        namespace,
        scopes,
        person: Some(session.person),
        session: session.id,
        service: None,
        operator: person.is_operator,
        expires_ms: session.expires_ms,
    }
}

fn of_account(session: Session, namespace: Namespace, scopes: Vec<String>, expires_ms: i64) -> Identity {
    Identity {
        name: session.account.clone(),
        id: session.account,
        credential: Credential::Account,
        namespace,
        scopes,
        person: None,
        session: session.id,
        service: None,
        operator: false,
        expires_ms,
    }
}

fn check_open(namespace: &Namespace, closed: Option<bool>) -> Result<(), Refused> {
    match closed {
        Some(false) => Ok(()),
        Some(true) => Err(Refused::Blocked(format!("the namespace {namespace}"))),
        None => Err(Refused::Invalid),
    }
}

fn check_person(name: &str, is_blocked: bool) -> Result<(), Refused> {
    if is_blocked { Err(Refused::Blocked(format!("the account {name}"))) } else { Ok(()) }
}

/// Micro's `admin` is a role too: an owner's.
fn is_role(scope: &str) -> bool {
    scope == "admin" || scope.parse::<Role>().is_ok()
}

async fn read_keys(db: &Db, sealer: &Sealer) -> Result<Keyring, CredentialsError> {
    let mut active: Option<SigningKey> = None;
    let mut accepted: HashMap<String, PublicKey> = HashMap::new();
    for row in db.signing_keys().await? {
        let kid = row.kid;
        let bytes = sealer
            .open(seal::SIGNING_KEY, &row.sealed_key)
            .map_err(|_| CredentialsError::Seal { kid: kid.clone() })?;
        let key = SigningKey::import(&bytes).map_err(|_| CredentialsError::Damaged { kid: kid.clone() })?;
        accepted.insert(kid, key.public().clone());
        if row.retired_ms.is_none() && active.is_none() {
            active = Some(key);
        }
    }
    let active = active.ok_or(CredentialsError::Make)?;
    Ok(Keyring::new(active, accepted.into_values().collect()))
}

fn digest_of(credential: &str) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(credential.as_bytes()).into()
}

fn away(error: micro_db::Error) -> Refused {
    tracing::warn!(error = chain(&error), "A credential could not be looked up");
    Refused::Unavailable
}
