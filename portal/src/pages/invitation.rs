//! `/invitation/<code>`: what a mailed invitation links to.

use micro_api::person::Membership;
use micro_api::team::AcceptInvitation;
use serde_json::json;

use super::{Answer, see};
use crate::error::{Fault, mendable};
use crate::form::{Filled, Form};
use crate::session::{Person, Visit};

pub(crate) async fn show(person: Result<Person, Fault>, visit: Visit) -> Answer {
    match person {
        Ok(person) => page(&person, &Filled::default()),
        Err(Fault::SignedOut) => {
            let info = visit.client.signup_info().await?;
            let filled = Filled::default().value("invitation", visit.param("code")).value("join", "on");
            let content = json!({ "info": info, "form": filled, "first_step": false, "invited": true });
            visit.page("signup.html", content)
        }
        Err(fault) => Err(fault),
    }
}

pub(crate) async fn accept(person: Person, _form: Form) -> Answer {
    let accept = AcceptInvitation { code: person.param("code").to_owned() };
    match person.client.accept_invitation(&accept).await {
        Ok(Membership { namespace, .. }) => Ok(see(&format!("/n/{namespace}?done=joined"))),
        Err(error) => page(&person, &Filled::default().fail("invitation", mendable(error)?)),
    }
}

fn page(person: &Person, filled: &Filled) -> Answer {
    person.page("", "invitation.html", json!({ "form": filled, "code": person.param("code") }))
}
