//! What the platform does.

mod bad_input;
mod crash;
mod git_servers;
mod portal;
mod sources;
mod transcripts;
mod update;
mod wasi_http;
