//! `/n/<namespace>/access`: the rules of who may call what, and the accounts that programs sign in with.

use axum::http::StatusCode;
use micro_api::auth::{Access, Account, NewAccount, Resource, Role, Rule};
use serde_json::json;

use super::{Answer, see};
use crate::error::{Fault, mendable};
use crate::form::{Filled, Form};
use crate::session::Person;

pub(crate) async fn show(person: Person) -> Answer {
    page(&person, &Filled::default(), None).await
}

async fn page(person: &Person, filled: &Filled, made: Option<&Account>) -> Answer {
    if !person.may(Role::Owner) {
        return Err(Fault::told(403, "Rules and accounts are for owners of the namespace. Ask one of them."));
    }
    let mut rules = person.client.rules().await?;
    // As they are asked: equal ones in the order they were given.
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
    let accounts = person.client.accounts().await?;
    let content = json!({ "rules": rules, "accounts": accounts, "form": filled, "made": made });
    person.page_with(StatusCode::OK, "team", "access.html", content)
}

pub(crate) async fn create_rule(person: Person, form: Form) -> Answer {
    let mut filled = form.keep(&["id", "who", "scope", "resource", "access", "priority"]);
    let priority = form.text("priority");
    let priority = if priority.is_empty() { Ok(0) } else { priority.parse::<i32>() };
    let resource = resource(form.text("resource"));
    let scope = match form.text("who") {
        "everybody" => Some(""),
        "account" => Some("*"),
        "anyone" => Some("+"),
        _ => Some(form.text("scope")).filter(|scope| !scope.is_empty()),
    };
    if form.text("id").is_empty() {
        filled = filled.problem("id", "Give the rule a name, such as `public-greeter`.");
    }
    if scope.is_none() {
        filled = filled.problem("scope", "Name the scope that an account must hold.");
    }
    if resource.is_none() {
        filled = filled.problem("resource", "Write it as `type:name:endpoint`, such as `service:greeter:*`.");
    }
    if priority.is_err() {
        filled = filled.problem("priority", "Give a whole number, such as 0 or 10.");
    }
    let (Some(scope), Some(resource), Ok(priority), true) = (scope, resource, priority, filled.is_good())
    else {
        return page(&person, &filled, None).await;
    };
    let access = if form.text("access") == "denied" { Access::Denied } else { Access::Granted };
    let rule = Rule { id: form.text("id").to_owned(), scope: scope.to_owned(), resource, access, priority };
    match person.client.create_rule(&rule).await {
        Ok(()) => Ok(see(&person.at("access?done=rule"))),
        Err(error) => {
            let words = [("resource", "resource"), ("scope", "scope"), ("id", "id")];
            page(&person, &filled.blame("rule", &words, mendable(error)?), None).await
        }
    }
}

/// What a rule speaks of, as the command line writes it.
fn resource(text: &str) -> Option<Resource> {
    let mut parts = text.splitn(3, ':').map(str::to_owned);
    let (kind, name, endpoint) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = [&kind, &name, &endpoint].into_iter().all(|part| !part.is_empty());
    whole.then_some(Resource { kind, name, endpoint })
}

pub(crate) async fn delete_rule(person: Person, _form: Form) -> Answer {
    match person.client.delete_rule(person.param("id")).await {
        Ok(()) => Ok(see(&person.at("access?done=rule-gone"))),
        Err(error) => page(&person, &Filled::default().fail("rules", mendable(error)?), None).await,
    }
}

pub(crate) async fn create_account(person: Person, form: Form) -> Answer {
    let filled = form.keep(&["account", "scopes"]);
    if form.text("account").is_empty() {
        let problem = "Give the account an id, such as `billing-job`.";
        return page(&person, &filled.problem("account", problem), None).await;
    }
    let scopes = form.text("scopes").split([',', ' ']).filter(|scope| !scope.is_empty());
    let account = NewAccount {
        id: form.text("account").to_owned(),
        scopes: scopes.map(str::to_owned).collect(),
        ..NewAccount::default()
    };
    match person.client.create_account(&account).await {
        // The secret is in this answer alone.
        Ok(made) => page(&person, &Filled::default(), Some(&made)).await,
        Err(error) => {
            let words = [("scope", "scopes"), ("id", "account")];
            page(&person, &filled.blame("account", &words, mendable(error)?), None).await
        }
    }
}

pub(crate) async fn delete_account(person: Person, form: Form) -> Answer {
    let id = person.param("id");
    if form.text("confirm") != id {
        let filled =
            Filled::default().problem(&format!("confirm-{id}"), format!("Type `{id}` to delete it."));
        return page(&person, &filled, None).await;
    }
    match person.client.delete_account(id).await {
        Ok(()) => Ok(see(&person.at("access?done=account-gone"))),
        Err(error) => page(&person, &Filled::default().fail("accounts", mendable(error)?), None).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_three_parts() {
        let found = resource("service:greeter:Greeter.Hello").unwrap();
        assert_eq!(
            (found.kind.as_str(), found.name.as_str(), found.endpoint.as_str()),
            ("service", "greeter", "Greeter.Hello")
        );
        assert_eq!(resource("service:web:/a:b").unwrap().endpoint, "/a:b", "paths may hold colons");
        for not_one in ["", "service", "service:greeter", "service::*", ":greeter:*", "service:greeter:"] {
            assert!(resource(not_one).is_none(), "{not_one}");
        }
    }
}
