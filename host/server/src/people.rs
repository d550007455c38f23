//! Sign-up and mails, from flags.

use anyhow::{Result, bail};
use micro_api::person::SignupMode;
use micro_auth::Secret;
use micro_control::{MailConfig, PeopleConfig, SmtpConfig, SmtpLogin, SmtpTls};

use crate::config::Options;

/// How people come in, and where mails go: to a mail server, or, where nobody but this machine is served, to a file.
pub(crate) fn config(options: &Options, data: &std::path::Path) -> Result<PeopleConfig> {
    let signup = match options.signup.as_str() {
        "code" => SignupMode::Code,
        "invitation" => SignupMode::Invitation,
        "open" => SignupMode::Open,
        "closed" => SignupMode::Closed,
        other => bail!("--signup {other}: choose code, invitation, open or closed"),
    };
    let mail = match &options.smtp_host {
        Some(host) => MailConfig::Smtp(smtp(options, host)?),
        None if options.is_loopback() => MailConfig::File(data.join("mail.txt")),
        None => MailConfig::None,
    };
    let outbox = mail.open()?;
    // Without mails an address cannot be proved: off this machine only the operator's invitation lets people in.
    let signup = match signup {
        SignupMode::Code | SignupMode::Open if !outbox.can_send() => SignupMode::Invitation,
        mode => mode,
    };
    Ok(PeopleConfig { signup, mail: outbox, ..PeopleConfig::default() })
}

fn smtp(options: &Options, host: &str) -> Result<SmtpConfig> {
    let Some(from) = &options.smtp_from else {
        bail!("--smtp_host needs a sender: --smtp_from 'Micro <micro@example.com>'");
    };
    let mut config = SmtpConfig::new(host, from);
    config.port = options.smtp_port;
    config.tls = match options.smtp_tls.as_str() {
        "starttls" => SmtpTls::StartTls,
        "implicit" => SmtpTls::Implicit,
        "none" => SmtpTls::None,
        other => bail!("--smtp_tls {other}: choose starttls, implicit or none"),
    };
    config.login = match (&options.smtp_user, &options.smtp_password) {
        (Some(user), Some(password)) => {
            Some(SmtpLogin { user: user.clone(), password: Secret::new(password.clone()) })
        }
        (None, None) => None,
        _ => bail!("--smtp_user and MICRO_SMTP_PASSWORD go together"),
    };
    Ok(config)
}
