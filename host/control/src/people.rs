//! What the endpoints about people share: who may sign up, how often what may be tried, and the mails.

use std::net::IpAddr;

use lettre::Address;
use micro_api::Error as Api;
use micro_api::person::SignupMode;
use micro_auth::PasswordError;
use micro_db::bootstrap::OPERATOR_EMAIL;
use micro_db::people::key_of;
use micro_db::{Bound, Person};

use crate::Control;
use crate::error::{Error, chain};
use crate::login::password_error;
use crate::mail::{Message, Outbox, Texts, parse_address};
use crate::oidc::Oidc;

/// Id of errors about people.
pub(crate) const ID: &str = "people";

const HOUR_MS: i64 = 60 * 60 * 1_000;
const TEN_MINUTES_MS: i64 = 10 * 60 * 1_000;

/// Codes and invitations mailed to one address.
const MAILS_TO: Bound = Bound { kind: "mail-to", what: "mails to this address", span_ms: HOUR_MS, max: 5 };
/// Those asked for from one address.
const MAILS_FROM: Bound =
    Bound { kind: "mail-from", what: "mails asked for from here", span_ms: HOUR_MS, max: 20 };
/// Codes tried from one address. Each code also dies of five wrong guesses.
pub(crate) const GUESSES: Bound =
    Bound { kind: "code-guess", what: "codes tried from here", span_ms: TEN_MINUTES_MS, max: 20 };
/// Sign-ups from one address.
pub(crate) const SIGN_UPS: Bound =
    Bound { kind: "sign-up", what: "sign-ups from here", span_ms: HOUR_MS, max: 20 };
/// Passwords and second factors tried by somebody who is signed in.
pub(crate) const CONFIRMATIONS: Bound =
    Bound { kind: "confirm", what: "tries to confirm it", span_ms: TEN_MINUTES_MS, max: 10 };
/// Invitations of one person.
pub(crate) const INVITES: Bound = Bound { kind: "invite", what: "invitations", span_ms: HOUR_MS, max: 30 };
/// Terminals that begin to wait, from one address.
pub(crate) const DEVICES: Bound =
    Bound { kind: "device", what: "terminals that sign in from here", span_ms: TEN_MINUTES_MS, max: 30 };
/// Codes of terminals tried by one person.
pub(crate) const DEVICE_GUESSES: Bound =
    Bound { kind: "device-guess", what: "codes of terminals", span_ms: TEN_MINUTES_MS, max: 10 };
/// Sign-ins by the provider that begin, from one address; links, by one person.
pub(crate) const OIDC_STARTS: Bound =
    Bound { kind: "oidc", what: "sign-ins that begin here", span_ms: TEN_MINUTES_MS, max: 50 };
/// Second factors after the provider, of one person.
pub(crate) const OIDC_FACTORS: Bound =
    Bound { kind: "oidc-factor", what: "codes of this account", span_ms: TEN_MINUTES_MS, max: 10 };

/// What the operator decides of people.
#[derive(Debug, Clone)]
pub struct PeopleConfig {
    /// How new people come in.
    pub signup: SignupMode,
    /// Where mails go.
    pub mail: Outbox,
    /// Codes mailed in an hour, to all together.
    pub mails_per_hour: i64,
    /// Invitations that a new person has to give.
    pub invitations: i64,
    /// Namespaces that a person may own.
    pub namespaces_max: i64,
    /// The provider of single sign-on, where there is one.
    pub oidc: Option<Oidc>,
}

impl Default for PeopleConfig {
    /// Sign-up by a mailed code, no mails, 1 000 codes an hour, 5 invitations, 10 namespaces.
    fn default() -> Self {
        Self {
            signup: SignupMode::Code,
            mail: Outbox::none(),
            mails_per_hour: 1_000,
            invitations: 5,
            namespaces_max: 10,
            oidc: None,
        }
    }
}

impl Control {
    /// How new people come in. Without mails no code can be sent, so that invitations are the only way.
    pub(crate) fn signup_mode(&self) -> SignupMode {
        let people = &self.config.people;
        match people.signup {
            SignupMode::Code if !people.mail.can_send() => SignupMode::Invitation,
            mode => mode,
        }
    }

    pub(crate) fn texts(&self) -> Texts<'_> {
        Texts { portal: self.config.portal_url.trim_end_matches('/') }
    }

    /// Leaves a mail for the mail server. Fails when too many wait.
    pub(crate) fn post(&self, message: Message) -> Result<(), Error> {
        if is_nowhere(&message.to) {
            return Ok(());
        }
        self.config.people.mail.post(message).map_err(|full| Api::new(ID, 503, full.to_string()).into())
    }

    /// As [`Self::post`] for what has happened already: that no mail tells of it does not undo it.
    pub(crate) fn tell(&self, message: Message) {
        // The outbox has logged why.
        let _ = self.post(message);
    }

    /// Tells a person by mail.
    pub(crate) fn tell_person(&self, person: &Person, message: impl FnOnce(Texts<'_>, Address) -> Message) {
        match parse_address(ID, &person.email) {
            Ok(to) => self.tell(message(self.texts(), to)),
            Err(error) => tracing::warn!(person = person.id, error = error.detail, "A person cannot be told"),
        }
    }

    /// Counts a mail that somebody asks for without proof that the address is theirs. The same for known and unknown
    /// addresses.
    pub(crate) async fn count_mail(&self, to: &Address, from: IpAddr) -> Result<(), Error> {
        let all = Bound {
            kind: "mail-all",
            what: "mails of this platform",
            span_ms: HOUR_MS,
            max: self.config.people.mails_per_hour,
        };
        self.count(MAILS_FROM, &from.to_string()).await?;
        self.count(MAILS_TO, to.as_ref()).await?;
        self.count(all, "").await
    }

    /// Counts an attempt; fails with 429 when it is one too many.
    pub(crate) async fn count(&self, bound: Bound, subject: &str) -> Result<(), Error> {
        self.db.attempt(bound, subject).await.map_err(Error::db(ID))
    }

    /// Hashes a new password.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, Error> {
        self.passwords.hash(password).await.map_err(|error: PasswordError| password_error(error))
    }

    /// The row of a person who is signed in.
    pub(crate) async fn person_row(&self, id: Option<&str>) -> Result<Person, Error> {
        let person = match id {
            Some(id) => self.db.person(id).await.map_err(Error::db(ID))?,
            None => None,
        };
        person.ok_or_else(|| Api::not_found(ID, "person not found").into())
    }

    /// Whether `password` is the person's; wrong ones are counted.
    pub(crate) async fn confirm_password(&self, person: &Person, password: &str) -> Result<(), Error> {
        if person.password.is_empty() {
            let detail = "your account has no password yet: set one by a mailed code first, as for one that is forgotten";
            return Err(Api::bad_request(ID, detail).into());
        }
        self.count(CONFIRMATIONS, &person.id).await?;
        let stored = Some(person.password.as_str()).filter(|hash| !hash.is_empty());
        let right = self.passwords.verify(password, stored).await.map_err(password_error)?;
        if !right {
            return Err(Api::bad_request(ID, "the password is wrong").into());
        }
        self.db.forgive(CONFIRMATIONS, &person.id).await.map_err(Error::db(ID))
    }

    /// Makes this process follow what changed of access. The change itself is in the rows, and all processes learn of it
    /// within a second, this one too if it fails here.
    pub(crate) async fn follow(&self) {
        if let Err(error) = self.follow_access().await {
            tracing::warn!(error = chain(&error), "A change of access was not followed at once");
        }
    }

    /// Stops what runs in namespaces that were deleted. What fails here the sweeper does later.
    pub(crate) async fn stop_all(&self, namespaces: &[micro_api::Namespace]) {
        let mut stopped = false;
        for namespace in namespaces {
            let versions = match self.db.versions(namespace, None, None).await {
                Ok(versions) => versions,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "The services of a namespace could not be listed");
                    continue;
                }
            };
            for version in versions {
                match self.db.kill(namespace, &version.service, &version.version).await {
                    Ok(_) | Err(micro_db::Error::NotRunning { .. }) => stopped = true,
                    Err(error) => tracing::warn!(error = chain(&error), "A service could not be stopped"),
                }
            }
        }
        if stopped {
            self.poke();
            if let Err(error) = self.route().await {
                tracing::warn!(error = chain(&error), "Stopped services are still routed to");
            }
        }
    }
}

/// The address that the operator has until another one is set: no mail can go there.
pub(crate) fn is_nowhere(to: &Address) -> bool {
    key_of(to.as_ref()) == OPERATOR_EMAIL
}
