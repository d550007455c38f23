//! The Rust of one proto service: handler trait, server, client.

use std::collections::HashSet;
use std::fmt::Write as _;

use prost_build::{Method, Service, ServiceGenerator};

/// Writes servers only for the services of `exported` (full proto names).
pub(crate) struct Generator {
    pub(crate) exported: HashSet<String>,
}

impl ServiceGenerator for Generator {
    fn generate(&mut self, service: Service, out: &mut String) {
        if self.exported.contains(&format!("{}.{}", service.package, service.proto_name)) {
            handler(&service, out);
            server(&service, out);
        }
        client(&service, out);
    }
}

const RESULT: &str = "::core::result::Result";
const ERROR: &str = "::micro_sdk::Error";
const STREAMING: &str = "::micro_sdk::streaming";
const OK: &str = "::core::result::Result::Ok";

fn handler(service: &Service, out: &mut String) {
    let name = &service.name;
    comments(&service.comments, 0, &format!("The endpoints of `{}`.", service.proto_name), out);
    line(out, &format!("pub trait {name}Handler {{"));
    for method in &service.methods {
        comments(
            &method.comments,
            1,
            &format!("Answers `{}.{}`.", service.proto_name, method.proto_name),
            out,
        );
        let (input, output) = (&method.input_type, &method.output_type);
        let request = match method.client_streaming {
            true => format!("requests: {STREAMING}::Requests<{input}>"),
            false => format!("request: {input}"),
        };
        let (replies, reply) = match method.server_streaming {
            true => (format!(", replies: {STREAMING}::Replies<{output}>"), "()"),
            false => (String::new(), output.as_str()),
        };
        line(
            out,
            &format!(
                "    fn {}(&self, ctx: &::micro_sdk::Context, {request}{replies}) -> impl ::core::future::Future<Output = {RESULT}<{reply}, {ERROR}>>;",
                method.name
            ),
        );
    }
    line(out, "}\n");
}

fn server(service: &Service, out: &mut String) {
    let name = &service.name;
    let endpoints: Vec<_> = service.methods.iter().map(|method| endpoint(service, method)).collect();
    let mut arms = String::new();
    for method in &service.methods {
        line(
            &mut arms,
            &format!("                {} => {},", endpoint(service, method), answer(service, method)),
        );
    }
    let source = format!(
        "/// Answers the endpoints of `{proto}` with a handler.
#[allow(dead_code)]
pub struct {name}Server<H>(pub H);

impl<H: {name}Handler> ::micro_sdk::Endpoints for {name}Server<H> {{
    fn names(&self) -> &'static [&'static str] {{
        &[{names}]
    }}

    fn call<'a>(
        &'a self,
        context: &'a ::micro_sdk::Context,
        endpoint: &'a str,
        {body}: ::std::vec::Vec<u8>,
    ) -> ::micro_sdk::LocalFuture<'a, {RESULT}<::std::vec::Vec<u8>, {ERROR}>> {{
        ::std::boxed::Box::pin(async move {{
            match endpoint {{
{arms}                _ => ::core::result::Result::Err(::micro_sdk::no_such_endpoint(endpoint)),
            }}
        }})
    }}
{streams}}}
",
        proto = service.proto_name,
        names = endpoints.join(", "),
        // Nobody reads it where every endpoint takes a stream.
        body = if service.methods.iter().all(|method| method.client_streaming) { "_body" } else { "body" },
        streams = streams(service),
    );
    line(out, &source);
}

/// The call of a handler's method, from bytes to bytes. By its path: `into` and others of its name would be found first.
fn answer(service: &Service, method: &Method) -> String {
    let request = match method.client_streaming {
        true => format!("{STREAMING}::Requests::inbound(endpoint)"),
        false => "::micro_sdk::decode(endpoint, &body)?".to_owned(),
    };
    let call = format!("{}Handler::{}(&self.0, context, {request}", service.name, method.name);
    if method.server_streaming {
        format!("{call}, {STREAMING}::Replies::inbound()).await.map(|()| ::std::vec::Vec::new())")
    } else {
        format!("{OK}(::micro_sdk::encode(&{call}).await?))")
    }
}

/// The method that says which endpoints stream; nothing where none does.
fn streams(service: &Service) -> String {
    let mut arms = String::new();
    for method in &service.methods {
        let (requests, replies) = (method.client_streaming, method.server_streaming);
        if requests || replies {
            line(
                &mut arms,
                &format!(
                    "            {} => {STREAMING}::Streams {{ requests: {requests}, replies: {replies} }},",
                    endpoint(service, method)
                ),
            );
        }
    }
    if arms.is_empty() {
        return arms;
    }
    format!(
        "
    fn streams(&self, endpoint: &str) -> {STREAMING}::Streams {{
        match endpoint {{
{arms}            _ => ::core::default::Default::default(),
        }}
    }}
"
    )
}

fn client(service: &Service, out: &mut String) {
    let name = &service.name;
    let source = format!(
        "/// A client of a service that answers the endpoints of `{proto}`.
#[allow(dead_code)]
#[derive(Clone)]
pub struct {name}Client {{
    client: ::micro_sdk::Client,
}}

#[allow(dead_code)]
impl {name}Client {{
    /// A client of the service with this name.
    pub fn new(service: impl ::core::convert::Into<::std::string::String>) -> Self {{
        Self {{ client: ::micro_sdk::Client::new(service) }}
    }}

    /// A client with options or wrappers of its own.
    pub fn with(client: ::micro_sdk::Client) -> Self {{
        Self {{ client }}
    }}
",
        proto = service.proto_name,
    );
    line(out, &source);
    for method in &service.methods {
        comments(&method.comments, 1, &format!("Calls `{}.{}`.", service.proto_name, method.proto_name), out);
        // `new` and `with` are taken by the constructors.
        let function = match method.name.as_str() {
            taken @ ("new" | "with") => format!("{taken}_"),
            free => free.to_owned(),
        };
        let (input, output) = (&method.input_type, &method.output_type);
        let (request, reply) = match (method.client_streaming, method.server_streaming) {
            (false, false) => (Some("call"), output.clone()),
            (false, true) => (Some("receiving"), format!("{STREAMING}::Receiving<{output}>")),
            (true, false) => (None, format!("{STREAMING}::Sending<{input}, {output}>")),
            (true, true) => (None, format!("{STREAMING}::Conversation<{input}, {output}>")),
        };
        let endpoint = endpoint(service, method);
        let (argument, call) = match request {
            Some(call) => (format!(", request: {input}"), format!("{call}({endpoint}, &request)")),
            None if method.server_streaming => (String::new(), format!("converse({endpoint})")),
            None => (String::new(), format!("sending({endpoint})")),
        };
        line(
            out,
            &format!(
                "    pub async fn {function}(&self{argument}) -> {RESULT}<{reply}, {ERROR}> {{
        self.client.{call}.await
    }}\n"
            ),
        );
    }
    line(out, "}\n");
}

/// The endpoint's name as a string literal.
fn endpoint(service: &Service, method: &Method) -> String {
    format!("\"{}.{}\"", service.proto_name, method.proto_name)
}

fn comments(comments: &prost_build::Comments, indent: u8, otherwise: &str, out: &mut String) {
    if comments.leading.is_empty() && comments.trailing.is_empty() {
        let _ = writeln!(out, "{}/// {otherwise}", "    ".repeat(indent.into()));
    } else {
        comments.append_with_indent(indent, out);
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}
