//! Tests that run the real binaries. One binary, folders by purpose.

mod functional;
mod security;
