//! What the platform does.

mod git_servers;
