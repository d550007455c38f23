//! The web service `__fqdn__`: a page, and what the page asks for.

mod handler;

use micro_sdk::web::Router;

micro_sdk::web!(router());

/// All that this crate answers: the files in html/, and the routes here.
pub fn router() -> Router {
    Router::new()
        .base("/__alias__")
        .files(micro_sdk::embedded!("html"))
        .get("/hello", handler::hello)
}
