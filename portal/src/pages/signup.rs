//! `/signup`: an address, the mailed code, a password.

use micro_api::person::{CodeCheck, CodeRequest, Signup, SignupInfo, SignupMode};
use serde_json::json;

use super::{Answer, login};
use crate::error::mendable;
use crate::form::{Filled, Form};
use crate::session::Visit;

const PASSWORD_MIN: usize = 8;
const PASSWORD_MAX: usize = 1_024;
/// Words of the control API's messages, and the fields that they speak of.
pub(crate) const BLAME: [(&str, &str); 6] = [
    ("invitation", "invitation"),
    ("code", "code"),
    ("password", "password"),
    ("name", "name"),
    ("e-mail", "email"),
    ("address", "email"),
];

pub(crate) async fn show(visit: Visit) -> Answer {
    let info = visit.client.signup_info().await?;
    let filled =
        Filled::default().value("email", visit.query("email")).value("invitation", visit.query("invitation"));
    let has_code = visit.query("step") == "code";
    page(&visit, &info, &filled, has_code)
}

pub(crate) async fn send_code(visit: Visit, form: Form) -> Answer {
    let info = visit.client.signup_info().await?;
    let filled = form.keep(&["email"]);
    let request = CodeRequest { email: form.text("email").to_owned() };
    if let Some(problem) = email_problem(&request.email) {
        return page(&visit, &info, &filled.problem("email", problem), false);
    }
    match visit.client.signup_code(&request).await {
        Ok(()) => page(&visit, &info, &filled, true),
        Err(error) => {
            let filled =
                filled.blame("signup", &[("e-mail", "email"), ("address", "email")], mendable(error)?);
            page(&visit, &info, &filled, false)
        }
    }
}

pub(crate) async fn send(visit: Visit, form: Form) -> Answer {
    let info = visit.client.signup_info().await?;
    let mut filled = form.keep(&["email", "code", "invitation", "name", "join", "choice", "invited_to"]);
    let signup = read(&form);
    if let Some(problem) = email_problem(&signup.email) {
        filled = filled.problem("email", problem);
    }
    let by_code = info.mode == SignupMode::Code && signup.invitation.is_empty();
    if by_code && signup.code.is_empty() {
        filled = filled.problem("code", "Give the code from the mail.");
    }
    if info.mode == SignupMode::Invitation && signup.invitation.is_empty() {
        filled = filled.problem("invitation", "Give the code of your invitation.");
    }
    if let Some(problem) = password_problem(&signup.password) {
        filled = filled.problem("password", problem);
    }
    if !filled.is_good() {
        return page(&visit, &info, &filled, true);
    }
    if by_code && !form.has("choice") {
        let (email, code) = (signup.email.clone(), signup.code.clone());
        let check = CodeCheck { email, code, invitation: String::new() };
        match visit.client.signup_check(&check).await {
            Ok(checked) if checked.invited_to.is_empty() => {}
            // Somebody waits for them: they say first where they want to go.
            Ok(checked) => return page(&visit, &info, &filled.value("invited_to", checked.invited_to), true),
            Err(error) => {
                return page(&visit, &info, &filled.blame("signup", &BLAME, mendable(error)?), true);
            }
        }
    }
    match visit.client.signup(&signup).await {
        Ok(opened) => {
            let home = format!("/n/{}?done=welcome", opened.namespace);
            login::enter(&visit, &opened, Some(&home)).await
        }
        Err(error) => page(&visit, &info, &filled.blame("signup", &BLAME, mendable(error)?), true),
    }
}

fn read(form: &Form) -> Signup {
    Signup {
        email: form.text("email").to_owned(),
        code: form.text("code").to_owned(),
        invitation: form.text("invitation").to_owned(),
        password: form.raw("password").to_owned(),
        name: form.text("name").to_owned(),
        join: form.has("join") || form.text("choice") == "join",
    }
}

/// `has_code`: the mail is sent, or is not needed.
fn page(visit: &Visit, info: &SignupInfo, filled: &Filled, has_code: bool) -> Answer {
    let invited = filled.values.get("invitation").is_some_and(|code| !code.is_empty());
    let first_step = info.mode == SignupMode::Code && !has_code && !invited;
    let content = json!({ "info": info, "form": filled, "first_step": first_step, "invited": invited });
    visit.page("signup.html", content)
}

pub(crate) fn email_problem(email: &str) -> Option<&'static str> {
    let good = email.len() <= 254
        && email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.len() > 2)
        && !email.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    (!good).then_some("Give an e-mail address, such as jane@example.com.")
}

pub(crate) fn password_problem(password: &str) -> Option<String> {
    match password.len() {
        PASSWORD_MIN..=PASSWORD_MAX => None,
        0..PASSWORD_MIN => Some(format!("A password has at least {PASSWORD_MIN} characters.")),
        _ => Some(format!("A password has at most {PASSWORD_MAX} bytes.")),
    }
}
