//! Builds services: claims jobs from the control plane's database, turns each source into a signed revision, runs
//! nothing of a source outside a sandbox.

mod config;
mod door;
mod inside;
mod sandbox;
mod source;

fn main() {}
