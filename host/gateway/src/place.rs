//! Whose content a `Host` addresses.

use http::HeaderMap;
use micro_api::Error;
use micro_api::name::{Namespace, ServiceName};

/// Id of errors that are the gateway's own.
pub(crate) const GATEWAY: &str = "go.micro.api";

/// Where a request goes by its host alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Paths name the service, as in Micro.
    Namespace(Namespace),
    /// `<service>--<namespace>.DOMAIN`: a service's own origin, paths are untouched.
    Origin(Namespace, ServiceName),
}

impl Place {
    pub(crate) fn namespace(&self) -> &Namespace {
        match self {
            Self::Namespace(namespace) | Self::Origin(namespace, _) => namespace,
        }
    }

    /// `localhost`, an IP and `api.DOMAIN` are the operator's namespace, or the one that `Micro-Namespace` hints at;
    /// a host that names a namespace wins, and a hint that disagrees is refused. An unknown host is 421.
    pub(crate) fn of(host: &str, headers: &HeaderMap, domain: &str) -> Result<Self, Error> {
        let hint = headers.get("micro-namespace").map(|value| parse_hint(value.as_bytes())).transpose()?;
        let name = host_name(host);
        if name == domain
            || name == "localhost"
            || is_address(&name)
            || name.strip_suffix(domain) == Some("api.")
        {
            return Ok(Self::Namespace(hint.unwrap_or_default()));
        }
        let unknown = || {
            let detail = format!("this platform does not serve the host `{name}`: use <namespace>.{domain}");
            Error::new(GATEWAY, 421, detail)
        };
        let label = name.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.')).ok_or_else(unknown)?;
        let place = match label.rsplit_once("--") {
            Some((service, namespace)) => Self::Origin(
                namespace.parse().map_err(|_| unknown())?,
                service.replace("--", ".").parse().map_err(|_| unknown())?,
            ),
            None => Self::Namespace(label.parse().map_err(|_| unknown())?),
        };
        match hint {
            Some(hint) if hint != *place.namespace() => Err(Error::bad_request(
                GATEWAY,
                format!("Micro-Namespace says `{hint}`, but the host belongs to `{}`", place.namespace()),
            )),
            _ => Ok(place),
        }
    }
}

fn parse_hint(value: &[u8]) -> Result<Namespace, Error> {
    let text = String::from_utf8_lossy(value);
    text.parse().map_err(|error: micro_api::name::NameError| Error::bad_request(GATEWAY, error.to_string()))
}

/// The host without its port, in lower case.
pub(crate) fn host_name(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn is_address(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    bare.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str, hint: Option<&str>) -> Result<Place, Error> {
        let mut headers = HeaderMap::new();
        if let Some(hint) = hint {
            headers.insert("micro-namespace", hint.parse().unwrap());
        }
        Place::of(host, &headers, "localhost")
    }

    fn namespace(name: &str) -> Place {
        Place::Namespace(name.parse().unwrap())
    }

    #[test]
    fn hosts_name_namespaces_and_services() {
        for host in
            ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "api.localhost", "localhost."]
        {
            assert_eq!(place(host, None), Ok(namespace("default")), "{host}");
            assert_eq!(place(host, Some("acme")), Ok(namespace("acme")), "{host}");
        }
        assert_eq!(place("acme.localhost:8080", None), Ok(namespace("acme")));
        assert_eq!(
            place("web-page--acme.localhost", Some("acme")),
            Ok(Place::Origin("acme".parse().unwrap(), "web-page".parse().unwrap()))
        );
    }

    #[test]
    fn other_hosts_are_misdirected() {
        for host in ["evil.com", "localhost.evil.com", "a.b.localhost", "evillocalhost", "--x.localhost", ""]
        {
            assert_eq!(place(host, None).unwrap_err().code, 421, "{host}");
        }
        assert_eq!(place("acme.localhost", Some("other")).unwrap_err().code, 400);
        assert_eq!(place("localhost", Some("No Such")).unwrap_err().code, 400);
    }
}
