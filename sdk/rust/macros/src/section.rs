//! Attributes that end where a section of `micro.toml` does: as its text, in a section of the component.

use proc_macro2::{Literal, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Error, FnArg, ImplItemFn, Lit, MetaNameValue, Token, Type, parse_quote};

/// The kind of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Truth,
}

/// A section, and the keys that its attribute takes beside `endpoint`.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) required: &'static str,
    pub(crate) keys: &'static [(&'static str, Kind)],
}

pub(crate) const SUBSCRIBE: Section = Section {
    name: "subscribe",
    required: "topic",
    keys: &[
        ("topic", Kind::Text),
        ("queue", Kind::Text),
        ("concurrency", Kind::Number),
        ("retries", Kind::Number),
        ("ack_wait", Kind::Text),
        ("delay", Kind::Text),
        ("dead_letter", Kind::Truth),
    ],
};

pub(crate) const CONSUME: Section = Section {
    name: "consume",
    required: "topic",
    keys: &[
        ("topic", Kind::Text),
        ("group", Kind::Text),
        ("offset", Kind::Text),
        ("ack_wait", Kind::Text),
        ("retries", Kind::Number),
    ],
};

pub(crate) const SCHEDULE: Section = Section {
    name: "schedule",
    required: "cron",
    keys: &[
        ("name", Kind::Text),
        ("cron", Kind::Text),
        ("zone", Kind::Text),
        ("jitter", Kind::Text),
        ("overlap", Kind::Text),
        ("missed", Kind::Text),
        ("retry", Kind::Truth),
    ],
};

impl Section {
    /// The method as it is, with the section's text in it.
    pub(crate) fn expand(&self, arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
        let mut method: ImplItemFn = syn::parse2(item)?;
        self.refuse_streams(&method)?;
        let text = self.text(arguments, &method)?;
        let (length, bytes) = (text.len(), Literal::byte_string(text.as_bytes()));
        // In the body, since an attribute of a method can put nothing beside it.
        method.block.stmts.insert(
            0,
            parse_quote! {
                #[cfg(target_arch = "wasm32")]
                const _: () = {
                    #[unsafe(link_section = "micro:manifest")]
                    #[used]
                    static TEXT: [u8; #length] = *#bytes;
                };
            },
        );
        Ok(quote!(#method))
    }

    /// A message, an event or a time is one request. Types are told by their names: an attribute sees no more.
    fn refuse_streams(&self, method: &ImplItemFn) -> Result<(), Error> {
        for input in &method.sig.inputs {
            if let FnArg::Typed(argument) = input
                && let Type::Path(path) = argument.ty.as_ref()
                && let Some(last) = path.path.segments.last()
                && (last.ident == "Requests" || last.ident == "Replies")
            {
                let detail = format!(
                    "#[{}] calls a method with one request and one reply: this one streams",
                    self.name
                );
                return Err(Error::new_spanned(argument, detail));
            }
        }
        Ok(())
    }

    /// As `micro.toml` would have it. Without an endpoint it names the method alone, `.created`: the platform knows which
    /// endpoint that is.
    pub(crate) fn text(&self, arguments: TokenStream, method: &ImplItemFn) -> Result<String, Error> {
        let name = self.name;
        let given = Punctuated::<MetaNameValue, Token![,]>::parse_terminated.parse2(arguments)?;
        let mut text = format!("[[{name}]]\n");
        let mut known = Vec::new();
        for one in &given {
            let key = one.path.get_ident().map(ToString::to_string).unwrap_or_default();
            let kinds = self.keys.iter().copied().chain([("endpoint", Kind::Text)]);
            let Some((_, kind)) = kinds.into_iter().find(|(known, _)| *known == key) else {
                let keys: Vec<_> = self.keys.iter().map(|(key, _)| *key).chain(["endpoint"]).collect();
                let detail = format!("#[{name}] takes {}", keys.join(", "));
                return Err(Error::new_spanned(&one.path, detail));
            };
            if known.contains(&key) {
                return Err(Error::new_spanned(&one.path, format!("`{key}` is there twice")));
            }
            text.push_str(&format!("{key} = {}\n", value(&one.value, kind)?));
            known.push(key);
        }
        if !known.iter().any(|key| key == self.required) {
            let example = if self.required == "cron" { "@hourly" } else { "orders.created" };
            let detail =
                format!("#[{name}] needs its `{}`: write `{} = \"{example}\"`", self.required, self.required);
            return Err(Error::new_spanned(&method.sig.ident, detail));
        }
        if !known.iter().any(|key| key == "endpoint") {
            text.push_str(&format!("endpoint = {}\n", quoted(&format!(".{}", method.sig.ident.unraw()))));
        }
        Ok(text)
    }
}

/// A literal as TOML.
fn value(expression: &syn::Expr, kind: Kind) -> Result<String, Error> {
    let literal = match expression {
        syn::Expr::Lit(literal) => Some(&literal.lit),
        _ => None,
    };
    match (kind, literal) {
        (Kind::Text, Some(Lit::Str(text))) => Ok(quoted(&text.value())),
        (Kind::Number, Some(Lit::Int(number))) => Ok(number.base10_digits().to_owned()),
        (Kind::Truth, Some(Lit::Bool(truth))) => Ok(truth.value.to_string()),
        (Kind::Text, _) => Err(Error::new_spanned(expression, "this is a text in quotes")),
        (Kind::Number, _) => Err(Error::new_spanned(expression, "this is a whole number")),
        (Kind::Truth, _) => Err(Error::new_spanned(expression, "this is `true` or `false`")),
    }
}

/// A text of TOML on one line.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(section: &Section, arguments: TokenStream) -> Result<String, String> {
        let method: ImplItemFn = parse_quote!(
            async fn created(&self, ctx: &Context, order: Order) -> Result<Nothing, Error> {}
        );
        section.text(arguments, &method).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_becomes_a_section() {
        let said = text(
            &SUBSCRIBE,
            quote!(
                topic = "orders.created",
                queue = "",
                concurrency = 4,
                dead_letter = false,
                delay = "2\n\"s"
            ),
        );
        let wanted = "[[subscribe]]\ntopic = \"orders.created\"\nqueue = \"\"\nconcurrency = 4\ndead_letter = false\n\
                      delay = \"2\\u000a\\\"s\"\nendpoint = \".created\"\n";
        assert_eq!(said.as_deref(), Ok(wanted));
        let said = text(&SCHEDULE, quote!(cron = "@daily", endpoint = "A.B"));
        assert_eq!(said.as_deref(), Ok("[[schedule]]\ncron = \"@daily\"\nendpoint = \"A.B\"\n"));
        let said = text(&CONSUME, quote!(topic = "audit", offset = "end",));
        assert_eq!(
            said.as_deref(),
            Ok("[[consume]]\ntopic = \"audit\"\noffset = \"end\"\nendpoint = \".created\"\n")
        );
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        for (section, arguments, wanted) in [
            (&SUBSCRIBE, quote!(), "#[subscribe] needs its `topic`: write `topic = \"orders.created\"`"),
            (&SCHEDULE, quote!(zone = "UTC"), "#[schedule] needs its `cron`: write `cron = \"@hourly\"`"),
            (&CONSUME, quote!(topic = "a", queue = "b"), "#[consume] takes topic, group,"),
            (&SUBSCRIBE, quote!(topic = "a", topic = "b"), "`topic` is there twice"),
            (&SUBSCRIBE, quote!(topic = TOPIC), "this is a text in quotes"),
            (&SUBSCRIBE, quote!(topic = "a", retries = "3"), "this is a whole number"),
            (&SUBSCRIBE, quote!(topic = "a", dead_letter = 1), "this is `true` or `false`"),
            (&SUBSCRIBE, quote!("a"), "expected"),
        ] {
            let said = text(section, arguments).unwrap_err();
            assert!(said.starts_with(wanted), "{said}");
        }
    }

    #[test]
    fn a_method_that_streams_is_refused() {
        for item in [
            quote!(
                async fn a(&self, ctx: &Context, requests: Requests<A>) -> Result<B, Error> {}
            ),
            quote!(
                async fn a(
                    &self,
                    ctx: &Context,
                    request: A,
                    replies: streaming::Replies<B>,
                ) -> Result<(), Error> {
                }
            ),
        ] {
            for section in [&SUBSCRIBE, &CONSUME, &SCHEDULE] {
                let error = section.expand(quote!(topic = "a"), item.clone()).unwrap_err().to_string();
                assert!(error.ends_with("this one streams"), "{error}");
            }
        }
    }

    #[test]
    fn the_method_stays_and_carries_the_text() {
        let item = quote!(
            async fn r#type(&self) -> u32 {
                7
            }
        );
        let made = SUBSCRIBE.expand(quote!(topic = "a"), item).unwrap().to_string();
        assert!(made.contains("\\nendpoint = \\\".type\\\"\\n") && made.contains("micro:manifest"), "{made}");
        assert!(made.starts_with("async fn r#type") && made.ends_with("7 }"), "{made}");
    }
}
