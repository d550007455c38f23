//! The builder as the server runs it: the real program, a database, sources on this machine.

mod fetch;
mod harness;
mod hostile;
mod recover;
mod rust;
mod ssh;
mod upload;
