//! What to say when the server does not know who asks, or does not let them: its words, which namespaces were meant,
//! and the command that mends it.

use anyhow::{Error, anyhow};

use crate::config::{self, Config};
use crate::connect::TOKEN_VARIABLE;
use crate::environment::{PLATFORM, Selection, variable};
use crate::login::{self, Login};

/// Micro's two lines for a command to the platform without a login.
pub(crate) const SIGNED_OUT_OF_PLATFORM: &str =
    "[Platform] You must be logged in to perform this request\n[Platform] API Error: 401";

/// Adds what mends it to an error of the server that is about identity; leaves every other error as it is.
pub(crate) fn explain(error: Error, selection: &Selection) -> Error {
    let refusal = error.downcast_ref::<micro_client::Error>().and_then(micro_client::Error::api);
    let Some(refusal) = refusal else { return error };
    // The platform's flag is always needed, so there is always advice.
    let Some(advice) = advice(refusal, selection) else { return error };
    let platform = refusal.code == 401 && selection.name(&current()) == PLATFORM;
    let head = if platform { format!("{SIGNED_OUT_OF_PLATFORM}\n") } else { String::new() };
    anyhow!("{head}{error:#}\n{advice}")
}

/// One line about which namespaces were meant and the command that mends it.
pub(crate) fn advice(refusal: &micro_api::Error, selection: &Selection) -> Option<String> {
    let foreign = refusal.detail.contains("not issued by");
    if refusal.code != 401 && !(refusal.code == 403 && foreign) {
        return None;
    }
    let config = current();
    let situation = Situation::of(&config, selection, refusal);
    if situation.is_told_by(&refusal.detail) {
        return None;
    }
    Some(if refusal.code == 401 { situation.unknown() } else { situation.foreign() })
}

fn current() -> Config {
    config::home().and_then(|home| config::load(&home)).unwrap_or_default()
}

/// What is known of the credential that was sent.
struct Situation {
    /// ` --env NAME`, where it is needed.
    flag: String,
    env: String,
    sent: Sent,
    /// The namespace of the credential.
    own: Option<String>,
    /// The namespace that the command meant.
    used: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Variable,
    Login,
}

impl Situation {
    fn of(config: &Config, selection: &Selection, refusal: &micro_api::Error) -> Self {
        let env = selection.name(config);
        let stored = config.login(&env).filter(Login::is_credential);
        let (sent, own) = match (variable(TOKEN_VARIABLE), &stored) {
            (Some(token), _) => (Sent::Variable, login::issuer(&token)),
            (None, Some(login)) => (Sent::Login, namespace(login)),
            (None, None) => (Sent::Nothing, None),
        };
        let asked = selection.namespace().ok().flatten().map(|name| name.as_str().to_owned());
        let used = asked.or_else(|| named(&refusal.detail)).or_else(|| own.clone());
        Self { flag: selection.flag(config), env, sent, own, used }
    }

    /// Whether the server's words say it all: which namespaces were meant, and a command that needs no flag.
    fn is_told_by(&self, detail: &str) -> bool {
        let own = self.own.as_deref().unwrap_or_default();
        self.flag.is_empty()
            && detail.contains("`micro ")
            && detail.contains(own)
            && self.sent != Sent::Variable
    }

    /// 401: nobody, or a credential that does not hold.
    fn unknown(&self) -> String {
        let flag = &self.flag;
        let meant = match (&self.own, &self.used) {
            (Some(own), Some(used)) if own == used => format!(" for the namespace `{own}`"),
            (Some(own), Some(used)) => {
                format!(" for the namespace `{own}`, and this command meant `{used}`")
            }
            _ => String::new(),
        };
        match self.sent {
            Sent::Nothing => format!(
                "an account is required: log in with `micro login{flag}`, or make one with `micro signup{flag}`"
            ),
            Sent::Variable => format!(
                "an account is required: the token in {TOKEN_VARIABLE} does not hold{meant}; set another, or unset it \
                 and log in with `micro login{flag}`"
            ),
            Sent::Login => format!(
                "an account is required: the stored login of the environment `{}` does not hold{meant}; log in again \
                 with `micro login{flag}`",
                self.env
            ),
        }
    }

    /// 403: an account of another namespace.
    fn foreign(&self) -> String {
        let flag = &self.flag;
        let own = self.own.as_deref();
        let used = self.used.as_deref().unwrap_or("default");
        let token = match self.sent {
            Sent::Variable => format!("the token in {TOKEN_VARIABLE}"),
            _ => "your login".to_owned(),
        };
        match own {
            Some(own) if own != used => format!(
                "{token} is for the namespace `{own}`, and this command meant `{used}`: use `--namespace {own}`, \
                 choose the other with `micro user namespace set {used}{flag}`, or log in there with \
                 `micro login --namespace {used}{flag}`"
            ),
            _ => format!(
                "{token} is not for the namespace `{used}` that this command meant: log in there with \
                 `micro login --namespace {used}{flag}`"
            ),
        }
    }
}

fn namespace(login: &Login) -> Option<String> {
    Some(login.namespace.clone())
        .filter(|name| !name.is_empty())
        .or_else(|| login::issuer(&login.token))
        .or_else(|| login::issuer(&login.access_token))
}

/// The namespace in `Account was not issued by <ns>`.
fn named(detail: &str) -> Option<String> {
    let (_, rest) = detail.split_once("not issued by ")?;
    let word = rest.split_whitespace().next()?.trim_end_matches(['.', ',', ';', ':', '`']);
    word.trim_start_matches('`').parse::<micro_api::Namespace>().ok().map(|name| name.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn situation(sent: Sent, own: &str, used: &str) -> Situation {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Situation {
            flag: " --platform".into(),
            env: "platform".into(),
            sent,
            own: some(own),
            used: some(used),
        }
    }

    #[test]
    fn both_namespaces_and_the_way_out_are_named() {
        let text = situation(Sent::Login, "mine", "theirs").foreign();
        for part in ["`mine`", "`theirs`", "micro user namespace set theirs --platform", "--namespace mine"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let text = situation(Sent::Login, "mine", "theirs").unknown();
        for part in ["account is required", "`mine`", "`theirs`", "`micro login --platform`"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let text = situation(Sent::Nothing, "", "").unknown();
        assert!(text.contains("account is required") && text.contains("micro signup --platform"), "{text}");
        assert!(situation(Sent::Variable, "mine", "mine").unknown().contains("MICRO_TOKEN"));
    }

    #[test]
    fn nothing_is_told_twice() {
        let told = |sent, own: &str, flag: &str, detail: &str| {
            Situation { flag: flag.into(), ..situation(sent, own, own) }.is_told_by(detail)
        };
        let server = "account is required: run `micro login`";
        assert!(told(Sent::Nothing, "", "", server));
        assert!(!told(Sent::Nothing, "", " --platform", server), "the command needs the flag");
        assert!(!told(Sent::Nothing, "", "", "Unauthorized call made to a:b"));
        assert!(!told(Sent::Login, "mine", "", server), "the namespace is not named");
        let both =
            "Account was not issued by theirs: the token is of the namespace mine. Run `micro login` again";
        assert!(told(Sent::Login, "mine", "", both));
        assert!(!told(Sent::Variable, "mine", "", both), "another login changes nothing");
    }

    #[test]
    fn the_refusal_names_the_namespace() {
        assert_eq!(named("Account was not issued by quick-fox").as_deref(), Some("quick-fox"));
        assert_eq!(named("Account not issued by `quick-fox`.").as_deref(), Some("quick-fox"));
        assert_eq!(named("Forbidden call made to x"), None);
    }
}
