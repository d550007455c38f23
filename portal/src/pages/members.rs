//! `/n/<namespace>/members`: who may do what, and who is invited.

use axum::http::StatusCode;
use micro_api::auth::Role;
use micro_api::team::{ChangeRole, Invitation, NewInvitation};
use serde_json::json;

use super::signup::email_problem;
use super::{Answer, see};
use crate::error::mendable;
use crate::form::{Filled, Form};
use crate::session::Person;

pub(crate) async fn show(person: Person) -> Answer {
    page(&person, &Filled::default(), None).await
}

async fn page(person: &Person, filled: &Filled, made: Option<&Invitation>) -> Answer {
    let members = person.client.members().await?;
    let invitations = if person.may(Role::Owner) { person.client.invitations().await? } else { Vec::new() };
    let content = json!({ "members": members, "invitations": invitations, "form": filled, "made": made });
    person.page_with(StatusCode::OK, "team", "members.html", content)
}

fn role(form: &Form) -> Role {
    form.text("role").parse().unwrap_or(Role::Viewer)
}

pub(crate) async fn change_role(person: Person, form: Form) -> Answer {
    match person.client.change_role(person.param("id"), &ChangeRole { role: role(&form) }).await {
        Ok(()) => Ok(see(&person.at("members?done=role"))),
        Err(error) => page(&person, &Filled::default().fail("members", mendable(error)?), None).await,
    }
}

pub(crate) async fn remove(person: Person, form: Form) -> Answer {
    let (id, name) = (person.param("id"), form.text("name"));
    if name.is_empty() || form.text("confirm") != name {
        let filled =
            Filled::default().problem(&format!("confirm-{id}"), format!("Type `{name}` to remove them."));
        return page(&person, &filled, None).await;
    }
    match person.client.remove_member(id).await {
        // Whoever left sees a namespace of theirs again.
        Ok(()) if id == person.me.id => Ok(see("/")),
        Ok(()) => Ok(see(&person.at("members?done=removed"))),
        Err(error) => page(&person, &Filled::default().fail("members", mendable(error)?), None).await,
    }
}

pub(crate) async fn invite(person: Person, form: Form) -> Answer {
    let filled = form.keep(&["email", "role"]);
    let invitation = NewInvitation { email: form.text("email").to_owned(), role: role(&form) };
    if let Some(problem) = email_problem(&invitation.email) {
        return page(&person, &filled.problem("email", problem), None).await;
    }
    match person.client.invite(&invitation).await {
        // Where no mail can be sent the code is handed over, and shown this once.
        Ok(made) if made.code.is_some() => page(&person, &Filled::default(), Some(&made)).await,
        Ok(_) => Ok(see(&person.at("members?done=invited"))),
        Err(error) => {
            let filled =
                filled.blame("invite", &[("e-mail", "email"), ("address", "email")], mendable(error)?);
            page(&person, &filled, None).await
        }
    }
}

pub(crate) async fn withdraw(person: Person, _form: Form) -> Answer {
    match person.client.withdraw_invitation(person.param("id")).await {
        Ok(()) => Ok(see(&person.at("members?done=withdrawn"))),
        Err(error) => page(&person, &Filled::default().fail("invitations", mendable(error)?), None).await,
    }
}
