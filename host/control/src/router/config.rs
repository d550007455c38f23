//! The routes about configuration.

use axum::routing::{get, post};
use micro_api::config::{AtPath, Change, CloneTo, Difference, Entry, Restore, Secret, SetValue};
use micro_api::routes;

use crate::api::config;
use crate::openapi::Endpoint;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let at = |tail: &str| format!("{}/{tail}", routes::CONFIG);
    vec![
        Endpoint::get(routes::CONFIG, "A value of the configuration", get(config::get::handler))
            .takes::<config::get::At>()
            .answers::<Entry>(200),
        Endpoint::get(&at("list"), "All values of the configuration", get(config::list::handler))
            .answers::<Vec<Entry>>(200),
        Endpoint::post(&at("set"), "Set a value or a secret", post(config::set::handler))
            .reads::<SetValue>()
            .answers::<Change>(200),
        Endpoint::post(&at("delete"), "Delete a value, and secrets below it", post(config::delete::handler))
            .reads::<AtPath>()
            .answers_nothing(),
        Endpoint::post(&at("secret"), "Show a secret", post(config::secret::handler))
            .reads::<AtPath>()
            .answers::<Secret>(200),
        Endpoint::get(&at("history"), "Versions of the configuration", get(config::history::handler))
            .takes::<config::history::Page>()
            .answers::<Vec<Change>>(200),
        Endpoint::get(&at("diff"), "What differs between two versions", get(config::diff::handler))
            .takes::<config::diff::Span>()
            .answers::<Vec<Difference>>(200),
        Endpoint::post(&at("restore"), "Go back to a version", post(config::restore::handler))
            .reads::<Restore>()
            .answers::<Change>(200),
        Endpoint::post(&at("clone"), "Copy to another namespace", post(config::clone::handler))
            .reads::<CloneTo>()
            .answers::<Change>(200),
    ]
}
