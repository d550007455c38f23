//! A harness that runs the real binaries: server, builder and command line, git servers, and load.
//!
//! Each test has a platform of its own: a data folder in the temporary folder, ports that the system chose, and a home
//! of its own for the command line. Programs and guests come from cargo's target folder, where `cargo xtask test` put
//! them.

pub mod bucket;
pub mod command;
pub mod database;
pub mod effort;
pub mod eventually;
pub mod git_server;
pub mod guest;
pub mod http;
pub mod line;
pub mod load;
pub mod oidc;
pub mod platform;
pub mod repo;
pub mod scripts;
pub mod tenant;

pub use bucket::Bucket;
pub use command::{Micro, Output};
pub use database::Database;
pub use eventually::eventually;
pub use line::Line;
pub use platform::{Options, Platform};
pub use repo::Repo;
