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

mod file;
#[cfg(test)]
mod tests;

/// Files that the build script embedded: path below their folder, contents.
pub type Files = &'static [(&'static str, &'static [u8])];

/// Makes the crate a web service: exports `wasi:http` with the [`Router`] that the expression makes once an instance.
#[macro_export]
macro_rules! web {
    ($router:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static ROUTER: $crate::web::Router = $router;
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

/// The files that `micro_sdk_build::embed` embedded from the folder of this name.
#[macro_export]
macro_rules! embedded {
    ($folder:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $folder, ".rs"))
    };
}

type Handler = Rc<dyn Fn(Request) -> LocalFuture<'static, Response>>;

/// Finds the answer to a request: a route, else a static file, else 404. Cheap to clone.
#[derive(Clone, Default)]
pub struct Router {
    base: String,
    routes: Vec<Route>,
    files: Files,
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

    /// Answers `GET` and `HEAD` of a path. A part in braces matches anything but a slash; see [`Request::param`].
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
        let handler = Rc::new(handler);
        let handler: Handler = Rc::new(move |request| {
            let handler = Rc::clone(&handler);
            Box::pin(async move { handler(request).await })
        });
        self.routes.push(Route { method, pattern, handler });
        self
    }

    /// Answers `GET` and `HEAD` of what no route matches with these files; a folder's page is its `index.html`.
    #[must_use]
    pub fn files(mut self, files: Files) -> Self {
        self.files = files;
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
            Found::File(name, contents) => file::response(name, contents),
            Found::OtherMethods(methods) => {
                Response::text("method not allowed\n").with_status(405).with_header("allow", methods)
            }
            Found::Nothing => Response::text("not found\n").with_status(404),
        };
        if head {
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
        if let Some((name, contents)) = file::find(self.files, path) {
            if method == "GET" {
                return Found::File(name, contents);
            }
            others.push("GET");
        }
        if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others.join(", ")) }
    }
}

enum Found<'a> {
    Route(&'a Handler, Vec<(String, String)>),
    File(&'static str, &'static [u8]),
    OtherMethods(String),
    Nothing,
}

/// The decoded parts in braces when the path matches the pattern.
fn matches(pattern: &str, path: &str) -> Option<Vec<(String, String)>> {
    let mut params = Vec::new();
    let mut parts = path.split('/');
    for expected in pattern.split('/') {
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
