//! Sign-up and mails, from flags.

use anyhow::{Context, Result, bail};
use micro_api::person::SignupMode;
use micro_auth::Secret;
use micro_control::{MailConfig, Oidc, OidcConfig, PeopleConfig, SmtpConfig, SmtpLogin, SmtpTls};

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
    Ok(PeopleConfig { signup, mail: outbox, oidc: oidc(options)?, ..PeopleConfig::default() })
}

/// Single sign-on, where the operator named a provider.
fn oidc(options: &Options) -> Result<Option<Oidc>> {
    let (issuer, client_id) = match (&options.oidc_issuer, &options.oidc_client_id) {
        (Some(issuer), Some(client_id)) => (issuer, client_id),
        (None, None) if options.oidc_name.is_none() && options.oidc_client_secret.is_none() => {
            return Ok(None);
        }
        _ => bail!("single sign-on needs both --oidc_issuer and --oidc_client_id"),
    };
    let host = || url::Url::parse(issuer).ok()?.host_str().map(str::to_owned);
    let name = options.oidc_name.clone().or_else(host).unwrap_or_default();
    let mut config = OidcConfig::new(issuer, client_id, name);
    config.client_secret = options.oidc_client_secret.clone().map(Secret::new);
    config.open().with_context(|| format!("--oidc_issuer {issuer}")).map(Some)
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::{Cli, Role};

    fn provider(flags: &[&str]) -> Result<Option<Oidc>> {
        let args = ["micro-server", "all"].iter().chain(flags);
        match Cli::parse_from(args).role {
            Role::All(options) => oidc(&options),
            Role::Admin(_) => bail!("another role"),
        }
    }

    #[tokio::test]
    async fn a_provider_has_an_issuer_and_a_client() {
        assert!(provider(&[]).unwrap().is_none());
        let issuer = "--oidc_issuer=https://id.example.com/realms/x";
        let client = "--oidc_client_id=micro";
        assert_eq!(provider(&[issuer, client]).unwrap().unwrap().name(), "id.example.com");
        assert_eq!(provider(&[issuer, client, "--oidc-name=Example"]).unwrap().unwrap().name(), "Example");
        for flags in [&[issuer][..], &[client], &["--oidc_name=Example"], &["--oidc_client_secret=x"]] {
            let error = provider(flags).unwrap_err().to_string();
            assert!(error.contains("both --oidc_issuer and --oidc_client_id"), "{error}");
        }
        let error = provider(&["--oidc_issuer=http://id.example.com", client]).unwrap_err();
        assert!(format!("{error:#}").contains("must begin with https://"), "{error:#}");
    }
}
