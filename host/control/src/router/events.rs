//! The routes about events.

use axum::routing::{get, post};
use micro_api::events::{Ack, Consume, Consumed, Event, Group, Publish, Published};
use micro_api::routes;

use crate::api::events;
use crate::openapi::Endpoint;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let at = |tail: &str| format!("{}/{tail}", routes::EVENTS);
    vec![
        Endpoint::post(&at("publish"), "Publish an event", post(events::publish))
            .reads::<Publish>()
            .answers::<Published>(200),
        Endpoint::get(&at("read"), "Events of a topic", get(events::read))
            .takes::<events::Page>()
            .answers::<Vec<Event>>(200),
        Endpoint::get(&at("stream"), "Events of a topic, and those to come", get(events::stream))
            .takes::<events::Span>()
            .streams::<Event>(),
        Endpoint::post(&at("consume"), "Take events for a group", post(events::consume))
            .reads::<Consume>()
            .answers::<Consumed>(200),
        Endpoint::post(&at("ack"), "Settle an event that was taken", post(events::ack))
            .reads::<Ack>()
            .answers_nothing(),
        Endpoint::get(&at("groups"), "Groups of a topic", get(events::groups))
            .takes::<events::Which>()
            .answers::<Vec<Group>>(200),
    ]
}
