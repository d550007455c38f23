//! `/v1/projects`: projects and their environments, which are namespaces.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod environments;
pub(crate) mod list;

use micro_api::Error as Api;
use micro_auth::key::namespace_name;
use micro_db::{Actor, Founding};

use crate::Control;
use crate::error::Error;
use crate::people::ID;

const NAME_CHARS_MAX: usize = 40;
const TEXT_CHARS_MAX: usize = 500;

/// Letters, digits, inner `-` and spaces.
fn check_name(what: &str, name: &str, chars_min: usize) -> Result<(), Error> {
    let length = name.chars().count();
    let inner = |letter: char| letter == '-' || letter == ' ';
    let fine = (chars_min..=NAME_CHARS_MAX).contains(&length)
        && name.chars().all(|letter| letter.is_alphanumeric() || inner(letter))
        && !name.starts_with(inner)
        && !name.ends_with(inner);
    if fine {
        return Ok(());
    }
    let detail = format!(
        "the name of {what} has {chars_min} to {NAME_CHARS_MAX} letters, digits, `-` or spaces, the last two not at an end"
    );
    Err(Api::bad_request(ID, detail).into())
}

/// A text for people: not long, and on one line.
fn check_text(what: &str, text: &str) -> Result<(), Error> {
    if text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let detail = format!("the {what} has at most {TEXT_CHARS_MAX} characters, on one line");
    Err(Api::bad_request(ID, detail).into())
}

fn founding<'a>(control: &'a Control, owner: &'a str, actor: &'a Actor) -> Founding<'a> {
    Founding {
        owner,
        plan: control.config.plans.default_name(),
        owned_max: control.config.people.namespaces_max,
        names: &namespace_name,
        actor,
    }
}
