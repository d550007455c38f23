//! The templates, compiled in, and what they may call. Everything they print is escaped.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value};
use serde::Serialize;

use crate::assets::Assets;
use crate::error::SetupError;
use crate::format;

macro_rules! templates {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../templates/", $name)))),*] };
}

const TEMPLATES: &[(&str, &str)] = templates![
    "base.html",
    "ui.html",
    "icons.html",
    "error.html",
    "login.html",
    "login_leave.html",
    "login_factor.html",
    "signup.html",
    "reset.html",
    "invitation.html",
    "device.html",
    "home.html",
    "services.html",
    "new.html",
    "service.html",
    "endpoints.html",
    "logs.html",
    "stats.html",
    "stats_body.html",
    "instances.html",
    "deployments.html",
    "reply.html",
    "deployment.html",
    "deployment_body.html",
    "usage.html",
    "team_tabs.html",
    "members.html",
    "access.html",
    "audit.html",
    "projects.html",
    "settings_token.html",
    "settings_keys.html",
    "settings_sessions.html",
    "settings_profile.html",
    "operator_people.html",
    "operator_namespaces.html",
    "operator_plans.html",
    "operator_tabs.html",
    "settings_tabs.html",
];

#[derive(Debug)]
pub(crate) struct Templates {
    environment: Environment<'static>,
}

impl Templates {
    pub(crate) fn new(assets: &Assets) -> Result<Self, SetupError> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()
                .map_err(|source| SetupError::Template { name: "the syntax", source })?,
        );
        add_filters(&mut environment);
        for (name, _) in crate::assets::NAMES {
            let path = assets.path(name).unwrap_or_default().to_owned();
            // Ours, and without any character that means something in HTML.
            let path = Value::from_safe_string(path);
            environment.add_global(format!("asset_{}", name.replace('.', "_")), path);
        }
        for (name, source) in TEMPLATES {
            environment.add_template(name, source).map_err(|source| SetupError::Template { name, source })?;
        }
        Ok(Self { environment })
    }

    pub(crate) fn render(&self, name: &str, context: &impl Serialize) -> Result<String, Error> {
        self.environment.get_template(name)?.render(Value::from(Serde(context)))
    }
}

fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter("ago", |ms: i64| format::relative(ms, format::now_ms()));
    environment.add_filter("stamp", format::stamp);
    environment.add_filter("exact", format::exact);
    environment.add_filter("clock", format::clock);
    environment.add_filter("bytes", format::bytes);
    environment.add_filter("count", format::count);
    environment.add_filter("duration", format::duration);
    environment.add_filter("micros", format::micros);
    environment.add_filter("quantity", format::quantity);
    environment.add_filter("money", format::money);
    environment.add_filter("limit_title", format::limit_title);
    environment.add_filter("middle", format::middle);
    environment.add_filter("shell", format::shell);
    environment.add_filter("prose", |text: &str| Value::from_safe_string(prose(text)));
    environment.add_filter("query", |text: &str| {
        form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
    });
    environment.add_filter("segment", |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    });
}

/// A message as a sentence, escaped, with `code` where it has backticks.
fn prose(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 16);
    let text = format::sentence(text);
    let parts: Vec<&str> = text.split('`').collect();
    for (at, part) in parts.iter().enumerate() {
        // A backtick without its partner stays what it is.
        match (at % 2 == 1, at + 1 < parts.len()) {
            (true, true) => {
                html.push_str("<code>");
                escape(part, &mut html);
                html.push_str("</code>");
            }
            (true, false) => {
                html.push('`');
                escape(part, &mut html);
            }
            (false, _) => escape(part, &mut html),
        }
    }
    html
}

fn escape(text: &str, html: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#x27;"),
            other => html.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_templates_compile() {
        Templates::new(&Assets::new()).unwrap();
    }

    #[test]
    fn a_message_is_escaped_before_it_is_marked_up() {
        assert_eq!(prose("use `micro run`"), "Use <code>micro run</code>.");
        assert_eq!(prose("`<script>`\"'&"), "<code>&lt;script&gt;</code>&quot;&#x27;&amp;.");
        assert_eq!(prose("a ` b"), "A ` b.");
    }
}
