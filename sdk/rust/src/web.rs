//! Services that answer HTTP themselves: a router and static files, exported as `wasi:http`.
//!
//! ```
//! use micro_sdk::http::{Request, Response};
//! use micro_sdk::web::Router;
//!
//! fn router() -> Router {
//!     Router::new().get("/hello/{name}", async |request: Request| {
//!         Response::text(format!("Hello {}", request.param("name").unwrap_or_default()))
//!     })
//! }
//! micro_sdk::web!(router());
//! ```

use std::rc::Rc;

use crate::LocalFuture;
use crate::http::{Request, Response, decode};

mod client;
mod file;
#[cfg(test)]
mod tests;

pub use client::send;
pub use file::File;

/// Files that the build script embedded.
pub type Files = &'static [File];

/// Makes the crate a web service: exports `wasi:http` with the [`Router`] that the expression makes once an instance.
///
/// A folder `html` that the build script embedded is served even where the router names no files: its pages answer what
/// no route does, so `html/index.html` is the page of `/` unless there is a route for it. The service's log says
/// `Enabling static file serving from html` at its start.
#[macro_export]
macro_rules! web {
    ($router:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            static HTML: $crate::web::Files = $crate::__html!();

            ::std::thread_local! {
                static ROUTER: $crate::web::Router = $router.or_files(HTML);
            }

            struct Exported;

            impl $crate::bindings::web::exports::wasi::http::handler::Guest for Exported {
                async fn handle(
                    request: $crate::bindings::web::wasi::http::types::Request,
                ) -> ::core::result::Result<
                    $crate::bindings::web::wasi::http::types::Response,
                    $crate::bindings::web::wasi::http::types::ErrorCode,
                > {
                    let router = ROUTER.with(::core::clone::Clone::clone);
                    $crate::serve(&router, request).await
                }
            }

    $crate::bindings::web::__export_web!(Exported with_types_in $crate::bindings::web);
        };
    };
}

/// The files that `micro_sdk_build::embed` embedded from the folder of this name, as [`Router::files`](crate::web::Router::files)
/// takes them.
#[macro_export]
macro_rules! embedded {
    ($folder:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $folder, ".rs"))
    };
}

type Handler = Rc<dyn Fn(Request) -> LocalFuture<'static, Response>>;

/// Finds the answer to a request: a route, else a static file, else the fallback, else 404. Cheap to clone.
#[derive(Clone, Default)]
pub struct Router {
    base: String,
    routes: Vec<Route>,
    files: Files,
    fallback: Option<Handler>,
}

#[derive(Clone)]
struct Route {
    method: &'static str,
    pattern: &'static str,
    handler: Handler,
}

impl Router {
    /// Without routes: everything is 404.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes this prefix, such as `/page`, off each path that has it. The gateway passes `/page/…` of its path form on
    /// in full, and `/…` of the service's own host name as it is; with the service's name as base both work.
    #[must_use]
    pub fn base(mut self, base: impl Into<String>) -> Self {
        self.base = base.into();
        self
    }

    /// Answers `GET` and `HEAD` of a path. A part in braces, `{name}`, matches one part of the path, and a last one with a
    /// star, `{*name}`, all that is left of it; see [`Request::param`].
    #[must_use]
    pub fn get(self, pattern: &'static str, handler: impl AsyncFn(Request) -> Response + 'static) -> Self {
        self.route("GET", pattern, handler)
    }

    /// Answers `POST` of a path.
    #[must_use]
    pub fn post(self, pattern: &'static str, handler: impl AsyncFn(Request) -> Response + 'static) -> Self {
        self.route("POST", pattern, handler)
    }

    /// Answers another method of a path. Of two routes that match, the first one answers.
    #[must_use]
    pub fn route(
        mut self,
        method: &'static str,
        pattern: &'static str,
        handler: impl AsyncFn(Request) -> Response + 'static,
    ) -> Self {
        self.routes.push(Route { method, pattern, handler: boxed(handler) });
        self
    }

    /// Answers `GET` and `HEAD` of what no route matches with these files; a folder's page is its `index.html`. Each has
    /// an `ETag`, and a client that has the file already gets 304.
    #[must_use]
    pub fn files(mut self, files: Files) -> Self {
        self.files = files;
        self
    }

    /// The files that count where none were named.
    #[doc(hidden)]
    #[must_use]
    pub fn or_files(self, files: Files) -> Self {
        if self.files.is_empty() { self.files(files) } else { self }
    }

    /// Answers what neither a route nor a file does, whatever its method, in place of 404.
    #[must_use]
    pub fn fallback(mut self, handler: impl AsyncFn(Request) -> Response + 'static) -> Self {
        self.fallback = Some(boxed(handler));
        self
    }

    /// Answers one request.
    pub async fn handle(&self, mut request: Request) -> Response {
        let path = match request.path().strip_prefix(self.base.as_str()) {
            Some(inner) if self.base.is_empty() || inner.starts_with('/') => inner.to_owned(),
            // A page's relative links need the slash.
            Some("") => return Response::redirect(&format!("{}/", self.base)),
            _ => request.path().to_owned(),
        };
        let head = request.method == "HEAD";
        let method = if head { "GET" } else { request.method.as_str() };
        let mut response = match self.find(method, &path) {
            Found::Route(handler, params) => {
                request.params = params;
                handler(request).await
            }
            Found::File(file) => file.answer(request.header("if-none-match")),
            Found::OtherMethods(methods) => {
                Response::text("method not allowed\n").with_status(405).with_header("allow", methods)
            }
            Found::Nothing => match &self.fallback {
                Some(handler) => handler(request).await,
                None => Response::text("not found\n").with_status(404),
            },
        };
        if head && response.status != 304 {
            response.headers.push(("content-length".to_owned(), response.body.len().to_string()));
            response.body.clear();
        }
        response
    }

    fn find(&self, method: &str, path: &str) -> Found<'_> {
        let mut others = Vec::new();
        for route in &self.routes {
            let Some(params) = matches(route.pattern, path) else { continue };
            if route.method == method {
                return Found::Route(&route.handler, params);
            }
            others.push(route.method);
        }
        if let Some(file) = file::find(self.files, path) {
            if method == "GET" {
                return Found::File(file);
            }
            others.push("GET");
        }
        if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others.join(", ")) }
    }
}

enum Found<'a> {
    Route(&'a Handler, Vec<(String, String)>),
    File(&'static File),
    OtherMethods(String),
    Nothing,
}

fn boxed(handler: impl AsyncFn(Request) -> Response + 'static) -> Handler {
    let handler = Rc::new(handler);
    Rc::new(move |request| {
        let handler = Rc::clone(&handler);
        Box::pin(async move { handler(request).await })
    })
}

/// The decoded parts in braces when the path matches the pattern.
fn matches(pattern: &str, path: &str) -> Option<Vec<(String, String)>> {
    let mut params = Vec::new();
    let mut parts = path.split('/');
    for expected in pattern.split('/') {
        if let Some(name) = expected.strip_prefix("{*").and_then(|name| name.strip_suffix('}')) {
            let rest = parts.map(|part| decode(part).into_owned()).collect::<Vec<_>>().join("/");
            params.push((name.to_owned(), rest));
            return params.last().is_some_and(|(_, rest)| !rest.is_empty()).then_some(params);
        }
        let part = parts.next()?;
        match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(_) if part.is_empty() => return None,
            Some(name) => params.push((name.to_owned(), decode(part).into_owned())),
            None if decode(part) == expected => {}
            None => return None,
        }
    }
    parts.next().is_none().then_some(params)
}
