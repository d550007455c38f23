//! Mails of the platform. A request leaves them in the [`Outbox`] and never waits for a mail server.

mod file;
mod outbox;
mod smtp;
mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use lettre::Address;
use micro_api::Error as Api;
use micro_auth::Secret;

pub(crate) use file::FileMailer;
pub use outbox::{Full, Outbox, Pace};
pub(crate) use smtp::SmtpMailer;
pub use smtp::{SmtpConfig, SmtpTls};
pub(crate) use text::Texts;

/// Bytes of an address. Source: RFC 5321, section 4.5.3.1.3.
const ADDRESS_BYTES_MAX: usize = 254;

/// One mail, in plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub to: Address,
    /// One line.
    pub subject: String,
    pub text: String,
}

/// Why a mail did not go out.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The mail server will not take it, however often it is asked.
    #[error("the mail server refused the mail for good")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It may be taken later.
    #[error("the mail could not be handed over")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The mail cannot be written as one.
    #[error("the mail cannot be written")]
    Unwritable(#[source] lettre::error::Error),
    /// A setting is wrong.
    #[error("the setting for mails is wrong: {0}")]
    Config(String),
    #[error("write the mail to {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl MailError {
    /// Trying again may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::File { .. })
    }
}

/// What hands a mail on.
#[async_trait]
pub trait Mailer: Send + Sync + 'static {
    /// Returns when somebody else is responsible for the mail. Takes a bounded time.
    async fn send(&self, message: &Message) -> Result<(), MailError>;
}

/// Where mails go.
#[derive(Debug, Clone, Default)]
pub enum MailConfig {
    /// Nowhere: codes cannot be sent.
    #[default]
    None,
    /// To a file, for a server that serves loopback alone.
    File(PathBuf),
    Smtp(SmtpConfig),
}

impl MailConfig {
    /// The outbox for this configuration. Fails when a setting is wrong; whether a server answers shows later.
    pub fn open(&self) -> Result<Outbox, MailError> {
        match self {
            Self::None => Ok(Outbox::none()),
            Self::File(path) => {
                let mailer = FileMailer::new(path.clone());
                Ok(Outbox::new(Arc::new(mailer), Pace::default()).with_file(path.clone()))
            }
            Self::Smtp(config) => Ok(Outbox::new(Arc::new(SmtpMailer::new(config)?), Pace::default())),
        }
    }
}

/// An address that a person typed. Only what every mail server takes: no display name, no comment, no quotes, ASCII.
pub(crate) fn parse_address(id: &str, text: &str) -> Result<Address, Api> {
    let text = text.trim();
    let refuse = || {
        let shown: String = text.chars().filter(|letter| !letter.is_control()).take(80).collect();
        Api::bad_request(id, format!("`{shown}` is not an e-mail address: write it as name@example.com"))
    };
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\(),:;<>[]".contains(&byte));
    if !plain || text.len() > ADDRESS_BYTES_MAX {
        return Err(refuse());
    }
    text.parse().map_err(|_| refuse())
}

/// A text of somebody else's, such as a `User-Agent`, as it may stand in a mail: one line, not long.
fn one_line(text: &str) -> String {
    const MAX: usize = 120;
    let cleaned: String =
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(MAX).collect();
    cleaned.trim().to_owned()
}

/// A password for the mail server that no log shows.
#[derive(Debug, Clone)]
pub struct SmtpLogin {
    pub user: String,
    pub password: Secret,
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
