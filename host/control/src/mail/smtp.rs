//! Mails by SMTP.

use std::time::Duration;

use async_trait::async_trait;
use lettre::message::{Mailbox, header};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::{MailError, Mailer, Message, SmtpLogin};

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not at all: for a server on this machine.
    None,
    /// The connection begins in the clear and must be protected before anything is said.
    StartTls,
    /// From the first byte.
    Implicit,
}

/// A mail server.
#[derive(Debug, Clone)]
pub struct SmtpConfig {
    pub host: String,
    pub port: u16,
    pub tls: SmtpTls,
    pub login: Option<SmtpLogin>,
    /// The sender: `Micro <micro@example.com>` or an address alone.
    pub from: String,
    /// Bound of one mail, from connecting to the last answer.
    pub timeout: Duration,
}

impl SmtpConfig {
    /// Port 587 with STARTTLS and 30 s.
    pub fn new(host: impl Into<String>, from: impl Into<String>) -> Self {
        let timeout = Duration::from_secs(30);
        Self { host: host.into(), port: 587, tls: SmtpTls::StartTls, login: None, from: from.into(), timeout }
    }
}

/// Opens a connection for each mail: they are few.
pub(crate) struct SmtpMailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    timeout: Duration,
}

impl SmtpMailer {
    /// Fails when the sender is no address, or TLS cannot be set up.
    pub(crate) fn new(config: &SmtpConfig) -> Result<Self, MailError> {
        let from: Mailbox = config.from.parse().map_err(|_| {
            MailError::Config(format!("`{}` is not a sender: write micro@example.com", config.from))
        })?;
        let parameters = || {
            TlsParameters::new(config.host.clone())
                .map_err(|error| MailError::Config(format!("TLS for {}: {error}", config.host)))
        };
        let tls = match config.tls {
            SmtpTls::None => Tls::None,
            SmtpTls::StartTls => Tls::Required(parameters()?),
            SmtpTls::Implicit => Tls::Wrapper(parameters()?),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(config.host.clone())
            .port(config.port)
            .tls(tls)
            .timeout(Some(config.timeout))
            .hello_name(ClientId::Domain(from.email.domain().to_owned()));
        if let Some(login) = &config.login {
            let password = login.password.expose().to_owned();
            transport = transport.credentials(Credentials::new(login.user.clone(), password));
        }
        Ok(Self { transport: transport.build(), from, timeout: config.timeout })
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, message: &Message) -> Result<(), MailError> {
        // Lettre checks and encodes the headers, so that nothing typed can add one.
        let mail = lettre::Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, message.to.clone()))
            .subject(message.subject.clone())
            .message_id(None)
            .header(header::ContentType::TEXT_PLAIN)
            .body(message.text.clone())
            .map_err(MailError::Unwritable)?;
        // The transport bounds each step; a server that says a byte now and then would bind us for ever.
        match tokio::time::timeout(self.timeout, self.transport.send(mail)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.is_permanent() => Err(MailError::Refused(error.into())),
            Ok(Err(error)) => Err(MailError::Failed(error.into())),
            Err(late) => Err(MailError::Failed(late.into())),
        }
    }
}
