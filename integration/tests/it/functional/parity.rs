//! What people do about accounts, teams and use, they do by command or on a page: two lists, held together.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use micro_integration::Micro;
use micro_integration::repo::checkout;
use tempfile::tempdir;

/// A command, and the route of the portal that does the same.
const PAIRS: &[(&str, &str)] = &[
    ("signup", "POST /signup"),
    ("signup", "POST /signup/code"),
    ("signup --recover", "POST /reset"),
    ("signup --recover", "POST /reset/code"),
    ("login", "POST /login"),
    ("login --device", "POST /device"),
    ("logout", "POST /logout"),
    ("run", "POST /n/{namespace}/new"),
    ("update", "POST /n/{namespace}/deployments/{id}/again"),
    ("kill", "POST /n/{namespace}/services/{name}/kill"),
    ("call", "POST /n/{namespace}/services/{name}/call"),
    ("status", "GET /n/{namespace}/services"),
    ("logs", "GET /n/{namespace}/services/{name}/logs"),
    ("stats", "GET /n/{namespace}/services/{name}/stats"),
    ("health", "GET /n/{namespace}/services/{name}/instances"),
    ("user", "GET /settings/profile"),
    ("user set name", "POST /settings/name"),
    ("user set password", "POST /settings/password"),
    ("user set email", "POST /settings/email"),
    ("user set email", "POST /settings/email/confirm"),
    ("user sessions", "GET /settings/sessions"),
    ("user sessions end", "POST /settings/sessions/{id}/end"),
    ("user totp on", "POST /settings/totp"),
    ("user totp on", "POST /settings/totp/confirm"),
    ("user totp off", "POST /settings/totp/remove"),
    ("user delete", "POST /settings/delete"),
    ("token create", "POST /settings/keys"),
    ("token create", "POST /settings/token"),
    ("token list", "GET /settings/keys"),
    ("token revoke", "POST /settings/keys/{id}/revoke"),
    ("members list", "GET /n/{namespace}/members"),
    ("members role", "POST /n/{namespace}/members/{id}/role"),
    ("members remove", "POST /n/{namespace}/members/{id}/remove"),
    ("invite user", "POST /n/{namespace}/invitations"),
    ("invitations list", "GET /n/{namespace}/members"),
    ("invitations withdraw", "POST /n/{namespace}/invitations/{id}/withdraw"),
    ("invitations accept", "POST /invitation/{code}"),
    ("project list", "GET /projects"),
    ("project create", "POST /projects"),
    ("project delete", "POST /projects/{id}/delete"),
    ("namespace list", "GET /projects"),
    ("namespace create", "POST /projects/{id}/environments"),
    ("namespace delete", "POST /environments/{environment}/delete"),
    ("usage", "GET /n/{namespace}/usage"),
    ("limits", "GET /n/{namespace}/usage"),
    ("billing", "GET /n/{namespace}/usage"),
    ("audit", "GET /n/{namespace}/audit"),
    ("auth list rules", "GET /n/{namespace}/access"),
    ("auth create rule", "POST /n/{namespace}/rules"),
    ("auth delete rule", "POST /n/{namespace}/rules/{id}/delete"),
    ("auth list accounts", "GET /n/{namespace}/access"),
    ("auth create account", "POST /n/{namespace}/accounts"),
    ("auth delete account", "POST /n/{namespace}/accounts/{id}/delete"),
    ("operator people", "GET /operator/people"),
    ("operator namespaces", "GET /operator"),
    ("operator block person", "POST /operator/people/{id}"),
    ("operator block namespace", "POST /operator/namespaces/{changed}"),
    ("operator unblock person", "POST /operator/people/{id}"),
    ("operator unblock namespace", "POST /operator/namespaces/{changed}"),
    ("operator plan", "POST /operator/namespaces/{changed}"),
    ("operator plans", "GET /operator/plans"),
    ("operator invite", "POST /operator/invitations"),
    ("operator audit", "GET /operator/audit"),
];

/// Commands of these groups that no page has: settings of one machine, and what programs ask for.
const NO_PAGE: &[&str] =
    &["user config get", "user config set", "user token", "user namespace list", "user namespace set"];

/// Pages that no command has: a provider's sign-in happens in a browser, and a terminal uses `login --device`.
const NO_COMMAND: &[&str] = &[
    "POST /login/oidc",
    "POST /login/oidc/factor",
    "POST /settings/identities",
    "POST /settings/identities/{id}/unlink",
];

/// The groups of commands that are about accounts, teams and use.
const GROUPS: &[&str] =
    &["user", "token", "project", "namespace", "members", "invite", "invitations", "auth", "operator"];

/// Commands below `words` that have none below themselves.
async fn leaves(micro: &Micro, words: Vec<String>, found: &mut BTreeSet<String>) -> Result<()> {
    let mut asked: Vec<&str> = words.iter().map(String::as_str).collect();
    asked.push("--help");
    let help = micro.ok(&asked).await?;
    let below: Vec<String> = match help.split_once("COMMANDS:\n") {
        None => Vec::new(),
        Some((_, rest)) => rest
            .lines()
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next().map(str::to_owned))
            .filter(|name| name != "help")
            .collect(),
    };
    if below.is_empty() {
        found.insert(words.join(" "));
    }
    for name in below {
        let mut words = words.clone();
        words.push(name);
        Box::pin(leaves(micro, words, found)).await?;
    }
    Ok(())
}

/// `POST /login`, … of the portal's table of routes.
fn routes() -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(checkout("portal/src/router.rs")).context("read the routes")?;
    let mut found = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
        let (path, handler) = line.split_once("\", ").context("a route is one line")?;
        let method = handler.split('(').next().unwrap_or_default().to_uppercase();
        found.insert(format!("{method} {path}"));
    }
    Ok(found)
}

#[tokio::test]
async fn every_action_has_a_command_and_a_page() -> Result<()> {
    let scratch = tempdir()?;
    let micro = Micro::new(scratch.path());
    let routes = routes()?;
    ensure!(routes.len() > 50, "{routes:?}");
    for (command, route) in PAIRS {
        ensure!(routes.contains(*route), "`micro {command}`: there is no {route}");
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = micro.ok(&words).await?;
        let name: Vec<&str> = command.split(' ').filter(|word| !word.starts_with('-')).collect();
        ensure!(help.contains(&format!("micro {}", name.join(" "))), "`micro {command}`: {help}");
    }
    let paired: BTreeSet<&str> =
        PAIRS.iter().map(|(_, route)| *route).chain(NO_COMMAND.iter().copied()).collect();
    let alone: Vec<_> =
        routes.iter().filter(|route| route.starts_with("POST") && !paired.contains(route.as_str())).collect();
    ensure!(alone.is_empty(), "pages do what no command does: {alone:?}");

    let mut commands = BTreeSet::new();
    for group in GROUPS {
        leaves(&micro, vec![(*group).to_owned()], &mut commands).await?;
    }
    ensure!(commands.len() > 30, "{commands:?}");
    let known: BTreeSet<&str> =
        PAIRS.iter().map(|(command, _)| *command).chain(NO_PAGE.iter().copied()).collect();
    let alone: Vec<_> = commands.iter().filter(|command| !known.contains(command.as_str())).collect();
    ensure!(alone.is_empty(), "commands do what no page does: {alone:?}");
    let gone: Vec<_> = NO_COMMAND.iter().filter(|route| !routes.contains(**route)).collect();
    ensure!(gone.is_empty(), "there are no pages {gone:?}");
    let gone: Vec<_> = NO_PAGE.iter().filter(|command| !commands.contains(**command)).collect();
    ensure!(gone.is_empty(), "there are no commands {gone:?}");
    Ok(())
}
