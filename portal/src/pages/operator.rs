//! `/operator`: who costs most, who is blocked, what plans there are.

use micro_api::operator::{Change, Invite};
use micro_api::team::Invitation;
use micro_client::Page;
use serde_json::json;

use super::signup::email_problem;
use super::{Answer, audit, see};
use crate::config::ROWS;
use crate::error::{Fault, mendable};
use crate::form::{Filled, Form};
use crate::session::Person;

/// Others get the answer of a page that does not exist.
fn check(person: &Person) -> Result<(), Fault> {
    if person.me.operator { Ok(()) } else { Err(Fault::not_found()) }
}

fn asked(person: &Person) -> Page {
    Page {
        query: person.query("q").trim().to_owned(),
        after: person.query("after").to_owned(),
        limit: u32::try_from(ROWS).unwrap_or(100),
    }
}

pub(crate) async fn namespaces(person: Person) -> Answer {
    check(&person)?;
    namespaces_page(&person, &Filled::default()).await
}

async fn namespaces_page(person: &Person, filled: &Filled) -> Answer {
    let page = asked(person);
    let (rows, plans) =
        tokio::try_join!(person.client.operator_namespaces(&page), person.client.operator_plans())?;
    let next = rows.last().filter(|_| rows.len() == ROWS).map(|row| &row.namespace);
    let plans: Vec<_> = plans.iter().map(|plan| &plan.name).collect();
    let content = json!({
        "rows": rows, "plans": plans, "q": page.query, "after": page.after, "next": next, "form": filled,
        "tab": "namespaces",
    });
    person.page("operator", "operator_namespaces.html", content)
}

pub(crate) async fn change_namespace(person: Person, form: Form) -> Answer {
    check(&person)?;
    let namespace = person.param("changed");
    let change = Change {
        blocked: blocked(&form),
        plan: Some(form.text("plan").to_owned()).filter(|plan| !plan.is_empty()),
        reason: form.text("reason").to_owned(),
    };
    match person.client.operator_change_namespace(namespace, &change).await {
        Ok(_) => Ok(see("/operator?done=changed")),
        Err(error) => namespaces_page(&person, &Filled::default().fail("rows", mendable(error)?)).await,
    }
}

fn blocked(form: &Form) -> Option<bool> {
    match form.text("blocked") {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

pub(crate) async fn people(person: Person) -> Answer {
    check(&person)?;
    people_page(&person, &Filled::default(), None).await
}

async fn people_page(person: &Person, filled: &Filled, made: Option<&Invitation>) -> Answer {
    let page = asked(person);
    let rows = person.client.operator_people(&page).await?;
    let next = rows.last().filter(|_| rows.len() == ROWS).map(|row| &row.id);
    let content = json!({
        "rows": rows, "q": page.query, "after": page.after, "next": next, "form": filled, "made": made,
        "tab": "people",
    });
    person.page("operator", "operator_people.html", content)
}

pub(crate) async fn change_person(person: Person, form: Form) -> Answer {
    check(&person)?;
    let change = Change { blocked: blocked(&form), plan: None, reason: form.text("reason").to_owned() };
    match person.client.operator_change_person(person.param("id"), &change).await {
        Ok(_) => Ok(see("/operator/people?done=changed")),
        Err(error) => people_page(&person, &Filled::default().fail("rows", mendable(error)?), None).await,
    }
}

pub(crate) async fn invite(person: Person, form: Form) -> Answer {
    check(&person)?;
    let filled = form.keep(&["email"]);
    let invite = Invite { email: form.text("email").to_owned() };
    if let Some(problem) = email_problem(&invite.email) {
        return people_page(&person, &filled.problem("email", problem), None).await;
    }
    match person.client.operator_invite(&invite).await {
        Ok(made) if made.code.is_some() => people_page(&person, &Filled::default(), Some(&made)).await,
        Ok(_) => Ok(see("/operator/people?done=invited")),
        Err(error) => people_page(&person, &filled.problem("email", mendable(error)?), None).await,
    }
}

pub(crate) async fn plans(person: Person) -> Answer {
    check(&person)?;
    let plans = person.client.operator_plans().await?;
    person.page("operator", "operator_plans.html", json!({ "plans": plans, "tab": "plans" }))
}

pub(crate) async fn audit(person: Person) -> Answer {
    check(&person)?;
    let after = person.query("after").to_owned();
    let records = person.client.operator_audit(&audit::first_page(&after)).await?;
    audit::page(
        &person,
        "operator",
        &records,
        &after,
        json!({ "export": null, "operator": true, "tab": "audit" }),
    )
}
