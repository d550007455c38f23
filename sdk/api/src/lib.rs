//! The contract between the platform and its clients: names, JSON records and the error object. No IO.
//!
//! Every record here is what travels on `/v1/` of the control address (port 8081) and what the CLI prints with
//! `--json`. Field names are snake_case; times are Unix milliseconds unless a field says otherwise.

pub mod auth;
pub mod blob;
pub mod broker;
pub mod config;
pub mod cron;
pub mod deployment;
pub mod error;
pub mod events;
pub mod jobs;
pub mod logs;
pub mod manifest;
pub mod name;
pub mod oidc;
pub mod operator;
pub mod person;
pub mod quantity;
pub mod registry;
pub mod routes;
pub mod stats;
pub mod store;
pub mod team;
pub mod usage;

pub use error::Error;
pub use name::{Namespace, ServiceKey, ServiceName, ServiceType};
