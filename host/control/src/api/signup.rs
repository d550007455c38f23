//! `/v1/signup`.

pub(crate) mod check;
pub(crate) mod code;
pub(crate) mod create;
pub(crate) mod info;

use micro_api::Error as Api;
use micro_api::person::SignupMode;
use micro_auth::{Opaque, OpaqueKind, Secret, key};
use micro_db::Refusal;

use crate::error::Error;
use crate::people::ID;

/// SHA-256 of an invitation's code; what cannot be one is answered as one that is not known.
pub(crate) fn invitation_digest(code: &str) -> Result<String, Error> {
    let code = code.trim();
    match Opaque::parse(code) {
        Some(OpaqueKind::Invitation) => Ok(key::digest(code)),
        _ => Err(Error::db(ID)(Refusal::NoInvitation.into())),
    }
}

/// A new code for a mail.
pub(crate) fn mailed_code() -> Secret {
    Secret::new(key::code())
}

/// Why nobody can sign up with a code.
fn no_codes(mode: SignupMode) -> Error {
    let detail = match mode {
        SignupMode::Code => return Api::internal(ID, "internal error").into(),
        SignupMode::Invitation => {
            "sign-up is by invitation: ask somebody who has an account, or the operator"
        }
        SignupMode::Open => "no code is needed: sign up with the address and a password",
        SignupMode::Closed => "sign-up is closed: ask the operator of this platform",
    };
    Api::forbidden(ID, detail).into()
}
