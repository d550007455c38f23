//! The service `go.micro.service.mailer`: it subscribed to orders, and keeps a mail for each.

mod handler;

use micro_sdk::Service;

micro_sdk::include_proto!("mailer");
micro_sdk::export!(service());

/// All that this crate exports.
pub fn service() -> Service {
    Service::builder()
        .name("go.micro.service.mailer")
        .handler(MailerServer(handler::Mailer))
        .build()
}
