//! The routes about blobs.

use axum::routing::{delete, get, post, put};
use micro_api::{blob, routes};

use crate::api::blobs;
use crate::openapi::Endpoint;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let object = format!("{}/object", routes::BLOBS);
    vec![
        Endpoint::get(routes::BLOBS, "Blobs of a service", get(blobs::list::handler))
            .takes::<blob::Query>()
            .answers::<Vec<blob::Info>>(200),
        Endpoint::get(&object, "The bytes of a blob", get(blobs::get::handler))
            .takes::<blob::At>()
            .answers_bytes(),
        Endpoint::put(&object, "Put a blob", put(blobs::put::handler))
            .takes::<blob::Put>()
            .reads_bytes()
            .answers::<blob::Info>(200),
        Endpoint::post(
            &format!("{}/url", routes::BLOBS),
            "Where a blob is answered without a credential",
            post(blobs::url::handler),
        )
        .reads::<blob::NewUrl>()
        .answers::<blob::BlobUrl>(200),
        Endpoint::delete(&object, "Delete a blob", delete(blobs::delete::handler))
            .takes::<blob::At>()
            .answers_nothing(),
    ]
}
