//! Real git servers: smart HTTP by git's own backend, and OpenSSH.

mod http;
mod ssh;

pub use http::HttpServer;
pub use ssh::SshServer;
