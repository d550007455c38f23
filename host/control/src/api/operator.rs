//! `/v1/operator`: what only the operator of the platform sees and does.

pub(crate) mod audit;
pub(crate) mod invite;
pub(crate) mod namespaces;
pub(crate) mod people;
pub(crate) mod plans;

use micro_api::Error as Api;

use crate::error::Error;

/// Who failed, in errors of these endpoints.
const ID: &str = "operator";
const REASON_CHARS_MAX: usize = 500;

fn check_reason(reason: &str) -> Result<(), Error> {
    if reason.chars().count() <= REASON_CHARS_MAX && !reason.chars().any(char::is_control) {
        return Ok(());
    }
    let detail = format!("the reason has at most {REASON_CHARS_MAX} characters, on one line");
    Err(Api::bad_request(ID, detail).into())
}
