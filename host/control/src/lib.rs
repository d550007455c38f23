//! The control plane: the API on port 8081 and the reconciler that makes what was asked for true.
//!
//! A request ends in a row (`micro_db`); the builder and [`task::reconcile`] move rows forward; nobody calls back. All
//! routes are on one page, [`router`]; a file of [`api`] is the whole story of one of them.

mod api;
mod authenticate;
mod authz;
mod bootstrap;
mod clock;
mod config;
mod control;
mod elsewhere;
mod error;
mod extract;
mod guard;
mod login;
mod mail;
mod near;
mod node;
mod oidc;
pub mod openapi;
mod people;
mod plan;
mod router;
mod seal;
mod task;
mod vault;

pub use authenticate::{Credentials, CredentialsError};
pub use authz::{Caller, LocalPeer};
pub use bootstrap::{OperatorSecret, first_start, reset_operator};
pub use clock::Clock;
pub use config::Config;
pub use control::Control;
pub use elsewhere::{Elsewhere, Registered};
pub use mail::{Full, MailConfig, MailError, Mailer, Message, Outbox, Pace, SmtpConfig, SmtpLogin, SmtpTls};
pub use node::{ActiveRevision, Chunks, Lead, LogQuery, Node, NotRun, Scheduled, ScheduledCall, Unservable};
pub use oidc::{Oidc, OidcConfig, OidcError};
pub use people::PeopleConfig;
pub use plan::{
    BillingError, BillingProvider, FREE, Invoice, Line, Load, Maxima, NoBilling, OPERATOR, Plan, PlanError,
    Plans, Prices,
};
pub use seal::{keys_of, platform_key};
pub use vault::Vault;

#[cfg(test)]
mod tests;
