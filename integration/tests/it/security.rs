//! What a hostile service or client must not be able to do.

mod neighbours;
mod origins;
mod tenants;
