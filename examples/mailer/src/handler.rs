use micro_sdk::store::{self, Range};
use micro_sdk::{Context, Error, prost::Message};

use crate::{Mail, MailerHandler, Mails, Nothing, Order};

/// Begins the keys of mails.
const SENT: &str = "sent/";
/// While this key is in the store, nothing is sent.
const PAUSED: &str = "paused";

pub struct Mailer;

impl MailerHandler for Mailer {
    async fn send(&self, ctx: &Context, order: Order) -> Result<Nothing, Error> {
        // 4xx: no later try would help, so the message is given up at once.
        if !order.email.contains('@') {
            let text = format!("`{}` is no address", order.email);
            return Err(Error::bad_request("mailer", text));
        }
        // 5xx: the message comes again.
        if store::get(PAUSED).await?.is_some() {
            return Err(Error::new("mailer", 503, "paused"));
        }
        // A message may come twice: under one key it is one mail.
        let key = format!("{SENT}{}", header(ctx, "Micro-Message-Id"));
        let mail = Mail {
            to: order.email,
            text: format!("Thank you for ordering {}", order.item),
            delivery: header(ctx, "Micro-Delivery").parse().unwrap_or(1),
        };
        store::set(&key, mail.encode_to_vec()).await?;
        Ok(Nothing {})
    }

    async fn sent(&self, _ctx: &Context, _request: Nothing) -> Result<Mails, Error> {
        let range = Range {
            prefix: Some(SENT.into()),
            ..Range::default()
        };
        let mut mails = Vec::new();
        for record in store::read(range).await? {
            let mail = Mail::decode(record.value.as_slice());
            mails.push(
                mail.map_err(|error| Error::internal_server_error("mailer", error.to_string()))?,
            );
        }
        Ok(Mails { mails })
    }
}

fn header<'a>(ctx: &'a Context, key: &str) -> &'a str {
    ctx.metadata(key).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use micro_sdk::test::World;

    use super::*;

    fn deliver(world: &World, id: &str, email: &str) -> Result<Nothing, Error> {
        let context = Context::default()
            .with_metadata("Micro-Message-Id", id)
            .with_metadata("Micro-Delivery", "2");
        let order = Order {
            id: "1".into(),
            email: email.into(),
            item: "tea".into(),
        };
        world.call(&crate::service(), &context, "Mailer.Send", &order)
    }

    fn sent(world: &World) -> Vec<Mail> {
        let context = Context::default();
        let mails: Mails = world
            .call(&crate::service(), &context, "Mailer.Sent", &Nothing {})
            .unwrap();
        mails.mails
    }

    #[test]
    fn a_message_that_comes_twice_is_one_mail() {
        let world = World::new();
        deliver(&world, "a", "jane@example.com").unwrap();
        deliver(&world, "a", "jane@example.com").unwrap();
        let mail = Mail {
            to: "jane@example.com".into(),
            text: "Thank you for ordering tea".into(),
            delivery: 2,
        };
        assert_eq!(sent(&world), [mail]);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_and_what_may_be_later_fails() {
        let world = World::new();
        assert_eq!(deliver(&world, "a", "nobody").unwrap_err().code, 400);
        world.block_on(store::set(PAUSED, "yes")).unwrap();
        assert_eq!(
            deliver(&world, "a", "jane@example.com").unwrap_err().code,
            503
        );
        assert!(sent(&world).is_empty());
    }
}
