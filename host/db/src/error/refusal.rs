//! Why a wish of a person or a team was not granted. Each text says what to do.

use micro_api::Error as Api;

/// What is wrong with what somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something was tried too often.
    #[error("too many {what}: {max} are taken in {} minutes: try again in {} s", span_ms / 60_000, seconds(*resets_ms))]
    Attempts {
        what: &'static str,
        max: i64,
        /// The span in which they are counted.
        span_ms: i64,
        /// Until the count begins again.
        resets_ms: i64,
    },
    /// A mailed code does not match, was used, was tried too often, was replaced, or has expired.
    #[error("the code is wrong or has expired: look at the newest mail, or ask for another code")]
    WrongCode,
    #[error("there is an account with this e-mail address: sign in, or reset its password")]
    EmailTaken,
    #[error("the name `{0}` is taken: choose another")]
    NameTaken(String),
    #[error("the invitation was used or withdrawn, or has expired: ask for another")]
    NoInvitation,
    #[error("the invitation is for another e-mail address: use the address that it was sent to")]
    InvitationForOther,
    #[error("there is no invitation `{0}` that waits")]
    NotInvited(String),
    #[error("you have given all of your {0} invitations: withdraw one that waits, or ask the operator")]
    NoInvitationsLeft(i64),
    #[error("{0} is a member already")]
    AlreadyMember(String),
    #[error("person not found")]
    NoPerson,
    #[error("member not found")]
    NoMember,
    #[error("namespace not found")]
    NoNamespace,
    #[error("project not found")]
    NoProject,
    #[error("the namespace `{0}` is taken, or was once: choose another")]
    NamespaceTaken(String),
    #[error("no free name was found for a namespace: try again")]
    NoName,
    #[error("there is a project of yours with the name `{0}`: choose another")]
    ProjectTaken(String),
    #[error("the project has an environment `{0}`: choose another name")]
    EnvironmentTaken(String),
    #[error("you own {0} namespaces, the most that one person may: delete one first, or ask the operator")]
    NamespacesMax(i64),
    #[error("only an owner may do this: ask one of {0}")]
    OwnersOnly(String),
    #[error("{0} needs an owner: make another member its owner first")]
    LastOwner(String),
    #[error(
        "you are the only owner of {0}, which others use: make another member its owner, or delete it, first"
    )]
    SoleOwner(String),
    #[error("the account waits for its deletion: the operator of this platform can restore it")]
    Deleted,
    #[error("there is no terminal with this code that waits: start `micro login` again")]
    NoDevice,
    /// The state or ticket is not known, was used, has expired, or is another browser's.
    #[error(
        "this sign-in was finished before, took longer than 10 minutes, or began in another browser: start again"
    )]
    NoFlow,
    #[error("this identity signs in another account: unlink it there first")]
    IdentityTaken,
    #[error("identity not found")]
    NoIdentity,
    #[error("nothing else signs you in: set a password first, by a code that is mailed to you")]
    LastIdentity,
    #[error(
        "there is no invitation for this e-mail address: ask somebody who has an account, or the operator"
    )]
    NotInvitedHere,
    #[error("a second factor is set up already: remove it first")]
    TotpOn,
    #[error("no second factor was begun: start again")]
    TotpOff,
}

impl Refusal {
    pub(super) fn to_api(&self, id: &str) -> Api {
        let detail = self.to_string();
        match self {
            Self::Attempts { .. } => Api::new(id, 429, detail),
            Self::WrongCode | Self::TotpOff | Self::NoFlow => Api::bad_request(id, detail),
            Self::EmailTaken
            | Self::NameTaken(_)
            | Self::AlreadyMember(_)
            | Self::NamespaceTaken(_)
            | Self::ProjectTaken(_)
            | Self::EnvironmentTaken(_)
            | Self::LastOwner(_)
            | Self::SoleOwner(_)
            | Self::IdentityTaken
            | Self::LastIdentity
            | Self::TotpOn => Api::conflict(id, detail),
            Self::InvitationForOther
            | Self::NoInvitationsLeft(_)
            | Self::NamespacesMax(_)
            | Self::OwnersOnly(_)
            | Self::NotInvitedHere
            | Self::Deleted => Api::forbidden(id, detail),
            Self::NoInvitation
            | Self::NotInvited(_)
            | Self::NoPerson
            | Self::NoMember
            | Self::NoNamespace
            | Self::NoProject
            | Self::NoIdentity
            | Self::NoDevice => Api::not_found(id, detail),
            Self::NoName => Api::new(id, 503, detail),
        }
    }

    /// When it may be tried again, milliseconds from now.
    pub fn resets_ms(&self) -> Option<i64> {
        match self {
            Self::Attempts { resets_ms, .. } => Some(*resets_ms),
            _ => None,
        }
    }
}

/// Whole seconds, at least one.
fn seconds(ms: i64) -> i64 {
    ms.div_euclid(1_000).saturating_add(1).max(1)
}
