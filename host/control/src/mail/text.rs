//! What the mails say.

use lettre::Address;
use micro_api::auth::Role;

use super::{Message, one_line};

/// Texts of a platform whose pages lie at `portal`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Texts<'a> {
    /// Address of the portal, without `/` at the end.
    pub(crate) portal: &'a str,
}

impl Texts<'_> {
    pub(crate) fn sign_up_code(&self, to: Address, code: &str) -> Message {
        let text = format!(
            "Your code to sign up at {}:\n\n    {code}\n\nIt is good for 60 minutes and works once.\n\n{}",
            self.portal, NOT_YOU
        );
        Message { to, subject: format!("Your code is {code}"), text }
    }

    /// Instead of a code, for an address that has an account.
    pub(crate) fn has_account(&self, to: Address) -> Message {
        let text = format!(
            "Somebody, probably you, wanted to sign up at {0} with this address. It has an account already.\n\n\
             Sign in: {0}/login\nForgot the password? {0}/reset\n\n{1}",
            self.portal, NOT_YOU
        );
        Message { to, subject: "You have an account already".to_owned(), text }
    }

    pub(crate) fn reset_code(&self, to: Address, code: &str) -> Message {
        let text = format!(
            "Your code to set a new password at {}:\n\n    {code}\n\nIt is good for 60 minutes and works once. \
             With it you are signed out everywhere; API keys stay, so revoke those that somebody else may know.\n\n{}",
            self.portal, NOT_YOU
        );
        Message { to, subject: format!("Your code for a new password is {code}"), text }
    }

    pub(crate) fn password_changed(&self, to: Address, by_code: bool) -> Message {
        let how = if by_code { "by a mailed code" } else { "in your settings" };
        let text = format!(
            "The password of your account at {0} was changed {how}. All other sessions have ended. API keys stay: \
             look at them in {0}/settings/keys, and revoke those that somebody else may know.\n\n\
             Was it not you? Set a new password now: {0}/reset",
            self.portal
        );
        Message { to, subject: "Your password was changed".to_owned(), text }
    }

    pub(crate) fn old_email_code(&self, to: Address, code: &str, new: &Address) -> Message {
        let text = format!(
            "You want to move your account at {0} from this address to {new}. The code of this address:\n\n    \
             {code}\n\nIt is good for 60 minutes. The other code went to the new address.\n\n\
             Was it not you? Change your password now: {0}/settings/profile",
            self.portal
        );
        Message { to, subject: format!("Your code to change the address is {code}"), text }
    }

    pub(crate) fn new_email_code(&self, to: Address, code: &str) -> Message {
        let text = format!(
            "Your code to move your account at {} to this address:\n\n    {code}\n\nIt is good for 60 minutes. The \
             other code went to the old address.\n\n{}",
            self.portal, NOT_YOU
        );
        Message { to, subject: format!("Your code for the new address is {code}"), text }
    }

    /// To the old address, when it is the account's no more.
    pub(crate) fn email_changed(&self, to: Address, new: &Address) -> Message {
        let text = format!(
            "Your account at {} has moved from this address to {new}. If it was not you, ask the operator of the \
             platform for help now.",
            self.portal
        );
        Message { to, subject: "Your address was changed".to_owned(), text }
    }

    /// `into`: the namespace and the role in it; `None`: to the platform.
    pub(crate) fn invitation(
        &self,
        to: Address,
        by: &str,
        into: Option<(&str, Role)>,
        code: &str,
    ) -> Message {
        let what = match into {
            Some((namespace, role)) => format!("the namespace {namespace} as {role}"),
            None => "the platform".to_owned(),
        };
        let text = format!(
            "{} invites you to {what} at {1}.\n\nTo accept, with an account or without one yet: \
             {1}/invitation/{code}\n\nThe code, if you are asked for it:\n\n    {code}\n\nIt is good for 7 days and works once, for this \
             address. If you do not know who this is, do nothing.",
            one_line(by),
            self.portal
        );
        let into = into.map_or_else(|| "the platform".to_owned(), |(namespace, _)| namespace.to_owned());
        Message { to, subject: format!("You are invited to {into}"), text }
    }

    pub(crate) fn new_login(&self, to: Address, agent: &str, address: &str) -> Message {
        let agent = if agent.is_empty() { "an unknown program".to_owned() } else { one_line(agent) };
        let text = format!(
            "Somebody signed in to your account at {0}:\n\n    program: {agent}\n    address: {address}\n\n\
             Was it not you? Change your password now, which signs out all others: {0}/settings/profile",
            self.portal
        );
        Message { to, subject: "A new sign-in".to_owned(), text }
    }

    /// `provider`: what people call it.
    pub(crate) fn identity_linked(&self, to: Address, provider: &str, address: &str) -> Message {
        let provider = one_line(provider);
        let text = format!(
            "From now on an account at {provider} signs you in at {0}. It was linked from the address {address}.\n\n\
             Was it not you? Unlink it now, and change your password: {0}/settings/sessions",
            self.portal
        );
        Message { to, subject: format!("{provider} signs you in now"), text }
    }

    pub(crate) fn new_key(&self, to: Address, description: &str, namespace: &str, address: &str) -> Message {
        let description =
            if description.is_empty() { "without a description".to_owned() } else { one_line(description) };
        let text = format!(
            "An API key was made for the namespace {namespace} at {0}:\n\n    key: {description}\n    made from: \
             {address}\n\nWas it not you? Revoke it now, and change your password: {0}/settings/keys",
            self.portal
        );
        Message { to, subject: format!("A new API key for {namespace}"), text }
    }

    /// `level`: 80 or 100 per cent.
    pub(crate) fn quota_alert(
        &self,
        to: Address,
        namespace: &str,
        limit: &str,
        level: i64,
        at_end: &str,
    ) -> Message {
        let text = format!(
            "The namespace {namespace} at {0} has used {level} % of its limit `{limit}`.\n\n{at_end}\n\n\
             Usage and limits: {0}/n/{namespace}/usage",
            self.portal
        );
        Message { to, subject: format!("{namespace}: {level} % of {limit} is used"), text }
    }

    pub(crate) fn deleted(&self, to: Address, days: i64) -> Message {
        let text = format!(
            "Your account at {} is deleted. You are signed out everywhere, and what ran in the namespaces that only \
             you used is stopped.\n\nFor {days} days the operator of the platform can bring the account back. Then \
             your name and this address are erased.",
            self.portal
        );
        Message { to, subject: "Your account is deleted".to_owned(), text }
    }
}

const NOT_YOU: &str = "If it was not you, do nothing: without the code nothing happens.";
