//! The web portal: accounts, services and settings as pages, rendered here from what the control API answers.
//!
//! It is a client like the command line: everything it knows and does goes through [`micro_client`], with the session
//! that the visitor's cookie holds. [`router`] is all there is to serve; it wants
//! `into_make_service_with_connect_info::<SocketAddr>()`.
//!
//! What a browser may be made to do is decided in three places: `guard` (host names, origins, headers of every
//! answer), `form` (no field is read before the form's token was checked) and `session` (whose cookie it is).

mod assets;
mod config;
mod cookie;
mod csrf;
mod error;
mod form;
mod format;
mod guard;
mod pages;
mod portal;
mod redirect;
mod router;
mod schema;
mod session;
mod source;
mod streams;
mod templates;

pub use config::Config;
pub use error::SetupError;
pub use router::router;
