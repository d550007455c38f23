//! What the platform does.

mod backup;
mod bad_input;
mod blobs;
mod broker;
mod config;
mod crash;
mod events;
mod external;
mod git_servers;
mod hand_over;
mod limiter;
mod oidc;
mod outage;
mod parity;
mod portal;
mod registry;
mod schedules;
mod sources;
mod streams;
mod transcripts;
mod transfer;
mod two_servers;
mod two_servers_broker;
mod update;
mod wasi_blobstore;
mod wasi_http;
