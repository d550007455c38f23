//! Routes that a service declares in `[[route]]` (Micro's endpoint metadata): method, host, and a path that is a POSIX
//! regular expression when wrapped in `^` and `$`, else a `google.api.http` template.

use regex::Regex;

/// Fields that a path template captured, by field path.
pub(crate) type Params = Vec<(String, String)>;

/// Bytes of a compiled expression; bounds what a manifest can make the gateway hold.
const REGEX_BYTES_MAX: usize = 64 * 1024;

/// One compiled `[[route]]`.
#[derive(Debug)]
pub(crate) struct MetaRoute {
    pub(crate) endpoint: String,
    /// `rpc` (absent too), `api` or `http`.
    pub(crate) handler: Option<String>,
    /// The field that the body is; none: the body is the message.
    pub(crate) body: Option<String>,
    methods: Vec<String>,
    hosts: Vec<String>,
    paths: Vec<(Regex, Vec<String>)>,
}

impl MetaRoute {
    pub(crate) fn compile(route: &micro_api::manifest::Route) -> Result<Self, String> {
        let paths = route.path.iter().map(|path| compile_path(path)).collect::<Result<_, _>>()?;
        Ok(Self {
            endpoint: route.endpoint.clone(),
            handler: route.handler.clone(),
            body: route.body.clone().filter(|body| !body.is_empty() && body != "*"),
            methods: route.method.iter().map(|method| method.to_ascii_uppercase()).collect(),
            hosts: route.host.iter().map(|host| host.to_ascii_lowercase()).collect(),
            paths,
        })
    }

    /// What the path captured, if the route takes the request.
    pub(crate) fn matches(&self, method: &str, host: &str, path: &str) -> Option<Params> {
        if !self.methods.is_empty() && !self.methods.iter().any(|known| known == method) {
            return None;
        }
        if !self.hosts.is_empty() && !self.hosts.iter().any(|known| known == "*" || known == host) {
            return None;
        }
        self.paths.iter().find_map(|(regex, names)| {
            let captures = regex.captures(path)?;
            let values = captures.iter().skip(1);
            let named = names.iter().zip(values).filter_map(|(name, value)| {
                let decoded = percent_encoding::percent_decode_str(value?.as_str()).decode_utf8_lossy();
                Some((name.clone(), decoded.into_owned()))
            });
            Some(named.collect())
        })
    }
}

fn compile_path(path: &str) -> Result<(Regex, Vec<String>), String> {
    let (pattern, names) = if path.starts_with('^') && path.ends_with('$') {
        (path.to_owned(), Vec::new())
    } else {
        template(path)?
    };
    let regex = regex::RegexBuilder::new(&pattern)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| format!("route path `{path}`: {error}"))?;
    Ok((regex, names))
}

/// `/v1/{name=shelves/*}/books/{id}` as a regular expression and the names of its captures.
fn template(path: &str) -> Result<(String, Vec<String>), String> {
    let bad = |why: &str| format!("route path `{path}`: {why}");
    let mut rest =
        path.strip_prefix('/').ok_or_else(|| bad("it must start with `/`, or be wrapped in `^` and `$`"))?;
    let (mut pattern, mut names) = (String::from("^/"), Vec::new());
    while let Some(open) = rest.find('{') {
        let (literal, tail) = rest.split_at(open);
        pattern.push_str(&segments(literal));
        let (variable, after) = tail
            .strip_prefix('{')
            .and_then(|tail| tail.split_once('}'))
            .ok_or_else(|| bad("`{` is not closed"))?;
        let (name, segment) = variable.split_once('=').unwrap_or((variable, "*"));
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.') {
            return Err(bad("a variable needs a field name"));
        }
        pattern.push_str(&format!("({})", segments(segment)));
        names.push(name.to_owned());
        rest = after;
    }
    pattern.push_str(&segments(rest));
    pattern.push('$');
    Ok((pattern, names))
}

fn segments(literal: &str) -> String {
    let escaped = regex::escape(literal);
    escaped.replace(r"\*\*", ".*").replace(r"\*", "[^/]+")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Result<MetaRoute, String> {
        let route = micro_api::manifest::Route {
            endpoint: "Foo.Bar".to_owned(),
            method: vec!["get".to_owned()],
            path: vec![path.to_owned()],
            ..Default::default()
        };
        MetaRoute::compile(&route)
    }

    #[test]
    fn templates_capture_fields() {
        let books = route("/v1/{parent=shelves/*}/books/{book.id}").unwrap();
        assert_eq!(
            books.matches("GET", "localhost", "/v1/shelves/3/books/a%20b"),
            Some(vec![("parent".into(), "shelves/3".into()), ("book.id".into(), "a b".into())])
        );
        assert_eq!(books.matches("GET", "localhost", "/v1/shelves/3/4/books/x"), None);
        assert_eq!(books.matches("POST", "localhost", "/v1/shelves/3/books/x"), None);
        assert!(route("/files/{path=**}").unwrap().matches("GET", "h", "/files/a/b/c").is_some());
    }

    #[test]
    fn expressions_and_errors() {
        assert!(route("^/users/[0-9]+$").unwrap().matches("GET", "h", "/users/42").is_some());
        assert!(route("users").unwrap_err().contains("must start with `/`"));
        assert!(route("/a/{b").unwrap_err().contains("not closed"));
        assert!(route("^(((($").is_err());
        assert!(route("^(a{1000}){1000}$").is_err(), "an expression that grows is refused");
    }
}
