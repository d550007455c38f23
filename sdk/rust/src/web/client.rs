//! Calls of services by URLs that name them.

use crate::client::Client;
use crate::http::{Request, Response, decode, decode_field, pairs};
use crate::{Error, Quoted};

const ID: &str = "go.micro.client";
/// Headers that belong to the message that came in, not to the call.
const NOT_METADATA: [&str; 5] = ["content-type", "content-length", "host", "connection", "transfer-encoding"];

/// Calls an endpoint of a service of the namespace: the URL's host is its name. The call goes through the platform, not
/// over the network, so `http` under `[grants]` has no say; `call = ["greeter"]` has.
///
/// `http://greeter/say/hello` is `Say.Hello`, `http://greeter/hello` is `Greeter.Hello` and `http://greeter/` is
/// `Greeter.Call`, as the gateway reads paths. The body is a JSON object; a form, or where there is no body the query,
/// becomes one whose values are texts. Headers become metadata. What the service answers is a response too: 200 with
/// JSON, or its error with the error's code.
///
/// ```
/// use micro_sdk::http::Request;
/// use micro_sdk::{test::World, web};
///
/// let world = World::new();
/// world.fake_json("greeter", |endpoint, request| {
///     assert_eq!((endpoint, request), ("Say.Hello", r#"{"name":"John"}"#));
///     Ok(r#"{"msg":"Hello John"}"#.to_owned())
/// });
/// let response = world.block_on(web::send(Request::get("http://greeter/say/hello?name=John")))?;
/// assert_eq!((response.status, response.body.as_slice()), (200, br#"{"msg":"Hello John"}"#.as_slice()));
/// # Ok::<_, micro_sdk::Error>(())
/// ```
///
/// # Errors
/// 400 for a URL that names no service and endpoint, and for a body that is no text.
pub async fn send(request: Request) -> Result<Response, Error> {
    let (service, endpoint) = target(&request)?;
    let mut client = Client::new(service);
    for (name, value) in &request.headers {
        if !NOT_METADATA.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            client = client.metadata(name, value);
        }
    }
    Ok(match client.call_json(&endpoint, object(&request)?).await {
        Ok(reply) => Response::json(reply),
        Err(error) => error.into(),
    })
}

/// The service's name and the endpoint of a URL.
fn target(request: &Request) -> Result<(String, String), Error> {
    let wrong = || {
        let url = &request.url;
        Error::bad_request(ID, format!("`{url}` names no endpoint: write http://SERVICE/METHOD"))
    };
    let rest = request.path().strip_prefix("http://").ok_or_else(wrong)?;
    let (service, path) = rest.split_once('/').unwrap_or((rest, ""));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if service.is_empty() || !service.chars().all(allowed) {
        return Err(wrong());
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let alias = service.rsplit('.').next().unwrap_or(service);
    let (name, method) = match parts.as_slice() {
        [] => (alias, "call"),
        [method] => (alias, *method),
        [name, method] => (*name, *method),
        _ => return Err(wrong()),
    };
    Ok((service.to_owned(), format!("{}.{}", camel(&decode(name)), camel(&decode(method)))))
}

/// The JSON object of a request.
fn object(request: &Request) -> Result<String, Error> {
    let fields = match request.form_text() {
        Some(form) => form,
        None if request.body.is_empty() => request.url.split_once('?').map_or("", |(_, query)| query),
        None => return request.text().map(str::to_owned),
    };
    // Of two with one name the first counts, as in `Request::query`.
    let (mut known, mut members) = (std::collections::HashSet::new(), Vec::new());
    for (name, value) in pairs(fields) {
        let name = decode_field(name);
        if !known.contains(&name) {
            members.push(format!("{}:{}", Quoted(&name), Quoted(&decode_field(value))));
            known.insert(name);
        }
    }
    Ok(format!("{{{}}}", members.join(",")))
}

/// `say-hello` is `SayHello`, as the gateway reads it.
fn camel(part: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next();
        first.map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
    };
    part.split('-').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::World;

    #[test]
    fn urls_name_services_and_endpoints() {
        let named = |url: &str| target(&Request::get(url)).map_err(|error| error.code);
        for (url, service, endpoint) in [
            ("http://greeter", "greeter", "Greeter.Call"),
            ("http://greeter/?a=b", "greeter", "Greeter.Call"),
            ("http://go.micro.service.greeter/hello", "go.micro.service.greeter", "Greeter.Hello"),
            ("http://foo-bar/say/say-hello", "foo-bar", "Say.SayHello"),
            ("http://foo-bar/callMe", "foo-bar", "FooBar.CallMe"),
        ] {
            assert_eq!(named(url), Ok((service.to_owned(), endpoint.to_owned())), "{url}");
        }
        for url in [
            "greeter/x",
            "https://greeter/x",
            "http:///x",
            "http://a:80/x",
            "http://me@a/x",
            "http://a/b/c/d",
        ] {
            assert_eq!(named(url), Err(400), "{url}");
        }
    }

    #[test]
    fn queries_forms_and_bodies_are_the_message() {
        let world = World::new();
        world.fake_json("echo", |endpoint, text| Ok(format!("{endpoint} {text}")));
        let said = |request: Request| {
            let response = world.block_on(send(request)).unwrap();
            (response.status, String::from_utf8(response.body).unwrap())
        };
        let url = "http://echo/";
        let of = |text: &str| (200, format!("Echo.Call {text}"));
        assert_eq!(said(Request::get(url)), of("{}"));
        assert_eq!(said(Request::get("http://echo/?a=1%22+2&b&a=3")), of(r#"{"a":"1\" 2","b":""}"#));
        let form = Request::post(url, "application/x-www-form-urlencoded", "a=%C3%B6");
        assert_eq!(said(form), of(r#"{"a":"ö"}"#));
        assert_eq!(said(Request::post(url, "application/json", r#"{"n": 1}"#)), of(r#"{"n": 1}"#));
        let error = world.block_on(send(Request::post(url, "application/json", [0xff])));
        assert_eq!(error.unwrap_err().code, 400);
        // Its errors, and the platform's, are responses.
        world.fake_json("no", |_, _| Err(Error::conflict("no", "busy")));
        assert_eq!(said(Request::get("http://no/x")).0, 409);
        assert_eq!(said(Request::get("http://nobody/x")).0, 404);
    }

    #[test]
    fn headers_become_metadata_where_they_are_the_calls() {
        let world = World::new();
        let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let keep = std::rc::Rc::clone(&seen);
        world.insert(
            "echo",
            crate::client::Codec::Json,
            |_| Some(crate::streaming::Streams::default()),
            move |request| {
                keep.borrow_mut().extend(request.options.metadata);
                Box::pin(async { Ok(b"{}".to_vec()) })
            },
        );
        let request = Request::post("http://echo/", "application/json", "{}").with_header("Shop", "berlin");
        assert_eq!(world.block_on(send(request)).unwrap().status, 200);
        assert_eq!(*seen.borrow(), [("Shop".to_owned(), "berlin".to_owned())]);
    }
}
