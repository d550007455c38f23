//! From a chosen environment to a client: the socket or an address, the login, the namespace.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use micro_client::{Address, Client};

use crate::config;
use crate::environment::{PLATFORM, Place, Selection, variable};
use crate::{login, refusal, socket};

/// A credential for one process, in place of the stored one.
pub(crate) const TOKEN_VARIABLE: &str = "MICRO_TOKEN";
/// `1`: send a credential over plain HTTP to another machine.
const INSECURE_VARIABLE: &str = "MICRO_INSECURE";

/// A client without a credential, for those who want to get one.
pub(crate) struct Visit {
    pub(crate) client: Client,
    /// Name of the environment.
    pub(crate) env: String,
    pub(crate) home: PathBuf,
}

/// A client that may be told secrets but sends none by itself.
pub(crate) fn visit(selection: &Selection) -> Result<Visit> {
    let home = config::home()?;
    let config = config::load(&home)?;
    let env = selection.known(&config)?;
    let place = selection.place(&config)?;
    refuse_plain(&place)?;
    Ok(Visit { client: dial(&place, &home)?, env, home })
}

/// A client with the credential of the environment.
pub(crate) async fn signed_in(selection: &Selection) -> Result<Client> {
    let home = config::home()?;
    let config = config::load(&home)?;
    let env = selection.known(&config)?;
    refuse_signed_out(selection)?;
    let own = variable(TOKEN_VARIABLE);
    let login = config.login(&env);
    let has_credential = own.is_some() || login.as_ref().is_some_and(login::Login::is_credential);
    let place = selection.place(&config)?;
    if has_credential {
        refuse_plain(&place)?;
    }
    let mut client = dial(&place, &home)?;
    let namespace = selection.namespace()?;
    let credential = match own {
        Some(token) => Some(token),
        None => {
            let wanted = namespace.as_ref().map(|name| name.as_str());
            login::credential(&home, &env, wanted, &client).await?
        }
    };
    // Without a credential the socket is one, for every namespace of this machine.
    let chosen = login.filter(|_| credential.is_none()).and_then(|login| login.namespace.parse().ok());
    if let Some(credential) = credential {
        client = with(&client, &credential)?;
    }
    if let Some(namespace) = namespace.or(chosen) {
        client = client.in_namespace(&namespace);
    }
    Ok(client)
}

/// Micro's refusal of a command to the platform without a login: before anything is read or sent.
pub(crate) fn refuse_signed_out(selection: &Selection) -> Result<()> {
    let config = config::load(&config::home()?)?;
    match selection.name(&config) == PLATFORM && is_signed_out(selection)? {
        true => bail!(refusal::SIGNED_OUT_OF_PLATFORM),
        false => Ok(()),
    }
}

/// Whether a command would come without any credential: no login, and no socket that stands for one.
pub(crate) fn is_signed_out(selection: &Selection) -> Result<bool> {
    let config = config::load(&config::home()?)?;
    let env = selection.known(&config)?;
    let stored = config.login(&env).is_some_and(|login| login.is_credential());
    if stored || variable(TOKEN_VARIABLE).is_some() {
        return Ok(false);
    }
    Ok(env == PLATFORM || selection.place(&config)? != Place::Socket)
}

/// The stored credential, renewed if it ends soon. None without a login.
pub(crate) async fn credential(selection: &Selection) -> Result<Option<String>> {
    let visit = visit(selection)?;
    let namespace = selection.namespace()?;
    let wanted = namespace.as_ref().map(|name| name.as_str());
    login::credential(&visit.home, &visit.env, wanted, &visit.client).await
}

/// `client` with a credential.
pub(crate) fn with(client: &Client, credential: &str) -> Result<Client> {
    let odd = "the credential is no token: it has characters that none has; log in again with `micro login`";
    client.with_credential(credential).context(odd)
}

/// The way to an address that a command was given. Only `MICRO_TOKEN` goes there: the stored logins belong to
/// environments.
pub(crate) fn to(address: &str, selection: &Selection) -> Result<Client> {
    let place = Place::Address(address.parse()?);
    let mut client = dial(&place, Path::new(""))?;
    if let Some(token) = variable(TOKEN_VARIABLE) {
        refuse_plain(&place)?;
        client = with(&client, &token)?;
    }
    match selection.namespace()? {
        Some(namespace) => Ok(client.in_namespace(&namespace)),
        None => Ok(client),
    }
}

fn dial(place: &Place, home: &Path) -> Result<Client> {
    match place {
        Place::Socket => socket::client(home),
        Place::Address(address) => Ok(Client::new(address.clone())?),
    }
}

/// Refuses to send a secret where others can read it on the way.
fn refuse_plain(place: &Place) -> Result<()> {
    match place {
        Place::Address(address)
            if is_plain(address) && variable(INSECURE_VARIABLE).as_deref() != Some("1") =>
        {
            bail!(
                "{address} speaks plain HTTP, so that whoever is on the way could read your credential: use an https \
                 address, or set {INSECURE_VARIABLE}=1 where the network is yours"
            )
        }
        _ => Ok(()),
    }
}

fn is_plain(address: &Address) -> bool {
    !address.is_encrypted() && !address.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_travels_encrypted_or_not_at_all() {
        let refused = |address: &str| refuse_plain(&Place::Address(address.parse().unwrap())).is_err();
        for address in ["192.0.2.1:8081", "http://example.com", "example.com:8081", "http://10.0.0.1"] {
            assert!(refused(address), "{address}");
        }
        for address in ["127.0.0.1:8081", "localhost:1", "[::1]:8081", "example.com", "https://10.0.0.1:8081"]
        {
            assert!(!refused(address), "{address}");
        }
        assert!(refuse_plain(&Place::Socket).is_ok());
    }
}
