//! Rules: who may call what.

use anyhow::{Result, bail};
use micro_api::auth::{Access, Resource, Rule};

use super::columns;
use crate::environment::Selection;
use crate::format::{Format, cell};
use crate::output;

/// Create a rule: it may narrow who calls a service, never widen
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The rule's id
    id: Vec<String>,
    /// Who: a scope, * for any account of the namespace, + for any account; nothing for everybody
    #[arg(long, default_value = "", hide_default_value = true)]
    scope: String,
    /// What, as type:name:endpoint; * stands for any
    #[arg(long, default_value = "*:*:*")]
    resource: String,
    /// granted or denied
    #[arg(long, default_value = "granted")]
    access: String,
    /// Rules of a higher priority are asked first
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
}

pub(super) async fn create(args: Create, selection: &Selection) -> Result<()> {
    let rule = rule(args)?;
    selection.client().await?.create_rule(&rule).await?;
    Ok(output::line("Rule created")?)
}

fn rule(args: Create) -> Result<Rule> {
    let id = match args.id.as_slice() {
        [] => bail!("Expected one argument: ID"),
        [id] => id.clone(),
        _ => bail!("Too many arguments, expected one argument: ID"),
    };
    let access = match args.access.as_str() {
        "granted" => Access::Granted,
        "denied" => Access::Denied,
        other => bail!("Invalid access: {other}, must be granted or denied"),
    };
    let parts: Vec<_> = args.resource.split(':').collect();
    let [kind, name, endpoint] = parts.as_slice() else {
        bail!("Invalid resource, must be in the format type:name:endpoint")
    };
    let resource =
        Resource { kind: (*kind).to_owned(), name: (*name).to_owned(), endpoint: (*endpoint).to_owned() };
    Ok(Rule { id, scope: args.scope, resource, access, priority: args.priority })
}

pub(super) async fn list(format: &Format, selection: &Selection) -> Result<()> {
    let rules = selection.client().await?.rules().await?;
    if format.is_json() {
        return output::json(&rules);
    }
    output::print(&render(&rules))?;
    Ok(())
}

fn render(rules: &[Rule]) -> String {
    let mut text = columns(&["ID", "Scope", "Access", "Resource", "Priority"]);
    for rule in rules {
        let scope = if rule.scope.is_empty() { "<public>".to_owned() } else { cell(&rule.scope) };
        let access = match rule.access {
            Access::Granted => "GRANTED",
            Access::Denied => "DENIED",
            Access::Unknown => "UNKNOWN",
        };
        let Resource { kind, name, endpoint } = &rule.resource;
        let resource = cell(&format!("{kind}:{name}:{endpoint}"));
        text.push_str(&columns(&[&cell(&rule.id), &scope, access, &resource, &rule.priority.to_string()]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(id: &[&str], resource: &str, access: &str) -> Create {
        Create {
            id: id.iter().map(|id| (*id).to_owned()).collect(),
            scope: String::new(),
            resource: resource.to_owned(),
            access: access.to_owned(),
            priority: -1,
        }
    }

    #[test]
    fn mistakes_are_told_in_micros_words() {
        let told = |id: &[&str], resource: &str, access: &str| {
            rule(args(id, resource, access)).unwrap_err().to_string()
        };
        assert_eq!(told(&[], "*:*:*", "granted"), "Expected one argument: ID");
        assert_eq!(told(&["a", "b"], "*:*:*", "granted"), "Too many arguments, expected one argument: ID");
        assert_eq!(told(&["a"], "*:*:*", "x"), "Invalid access: x, must be granted or denied");
        for resource in ["*:*", "a:b:c:d", ""] {
            assert_eq!(
                told(&["a"], resource, "denied"),
                "Invalid resource, must be in the format type:name:endpoint"
            );
        }
    }

    #[test]
    fn rules_in_micros_columns() {
        let rule = rule(args(&["authpublic"], "service:auth:Auth.Token", "granted")).unwrap();
        assert_eq!(
            render(&[rule]),
            "ID\t\tScope\t\tAccess\t\tResource\t\tPriority\n\
             authpublic\t\t<public>\t\tGRANTED\t\tservice:auth:Auth.Token\t\t-1\n"
        );
    }
}
