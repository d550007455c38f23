//! `/reset`: a new password by a mailed code.

use micro_api::person::{CodeRequest, ResetPassword};
use serde_json::json;

use super::signup::{BLAME, email_problem, password_problem};
use super::{Answer, see};
use crate::error::mendable;
use crate::form::{Filled, Form};
use crate::session::Visit;

pub(crate) async fn show(visit: Visit) -> Answer {
    let filled = Filled::default().value("email", visit.query("email"));
    let has_code = visit.query("step") == "code";
    page(&visit, &filled, has_code).await
}

pub(crate) async fn send_code(visit: Visit, form: Form) -> Answer {
    let filled = form.keep(&["email"]);
    let request = CodeRequest { email: form.text("email").to_owned() };
    if let Some(problem) = email_problem(&request.email) {
        return page(&visit, &filled.problem("email", problem), false).await;
    }
    match visit.client.reset_code(&request).await {
        Ok(()) => page(&visit, &filled, true).await,
        Err(error) => page(&visit, &filled.fail("reset", mendable(error)?), false).await,
    }
}

pub(crate) async fn send(visit: Visit, form: Form) -> Answer {
    let mut filled = form.keep(&["email", "code"]);
    let reset = ResetPassword {
        email: form.text("email").to_owned(),
        code: form.text("code").to_owned(),
        password: form.raw("password").to_owned(),
    };
    if let Some(problem) = email_problem(&reset.email) {
        filled = filled.problem("email", problem);
    }
    if reset.code.is_empty() {
        filled = filled.problem("code", "Give the code from the mail.");
    }
    if let Some(problem) = password_problem(&reset.password) {
        filled = filled.problem("password", problem);
    }
    if !filled.is_good() {
        return page(&visit, &filled, true).await;
    }
    match visit.client.reset(&reset).await {
        Ok(()) => Ok(see("/login?done=reset")),
        Err(error) => page(&visit, &filled.blame("reset", &BLAME, mendable(error)?), true).await,
    }
}

async fn page(visit: &Visit, filled: &Filled, has_code: bool) -> Answer {
    let info = visit.client.signup_info().await?;
    visit.page("reset.html", json!({ "info": info, "form": filled, "has_code": has_code }))
}
