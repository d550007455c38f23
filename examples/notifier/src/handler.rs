use micro_sdk::store::{self, Range, Record};
use micro_sdk::{Context, Error};

use crate::{Nothing, NotifierHandler, Order, Summary};

/// Begins the keys of orders that no digest named yet.
const PENDING: &str = "pending/";

pub struct Notifier;

impl NotifierHandler for Notifier {
    // The same as a [[subscribe]] in micro.toml.
    #[micro_sdk::subscribe(topic = "orders.created", queue = "notifier", retries = 5)]
    async fn order_created(&self, _ctx: &Context, order: Order) -> Result<Nothing, Error> {
        if order.id.is_empty() {
            return Err(Error::bad_request("notifier", "an order has an id"));
        }
        // A message may come twice: under one key it is one order.
        store::set(&format!("{PENDING}{}", order.id), order.item).await?;
        Ok(Nothing {})
    }

    // The same as a [[schedule]] in micro.toml.
    #[micro_sdk::schedule(name = "digest", cron = "0 7 * * *", zone = "Europe/Berlin")]
    async fn digest(&self, _ctx: &Context, _request: Nothing) -> Result<Summary, Error> {
        let records = pending().await?;
        micro_sdk::info!("{} new orders", records.len());
        for record in &records {
            store::delete(&record.key).await?;
        }
        Ok(summary(records))
    }

    async fn pending(&self, _ctx: &Context, _request: Nothing) -> Result<Summary, Error> {
        Ok(summary(pending().await?))
    }
}

async fn pending() -> Result<Vec<Record>, Error> {
    let range = Range {
        prefix: Some(PENDING.into()),
        ..Range::default()
    };
    store::read(range).await
}

fn summary(records: Vec<Record>) -> Summary {
    let item = |record: Record| String::from_utf8_lossy(&record.value).into_owned();
    Summary {
        items: records.into_iter().map(item).collect(),
    }
}

#[cfg(test)]
mod tests {
    use micro_sdk::test::World;

    use super::*;

    fn call<Req: micro_sdk::prost::Message>(
        world: &World,
        endpoint: &str,
        request: &Req,
    ) -> Result<Summary, Error> {
        world.call(&crate::service(), &Context::default(), endpoint, request)
    }

    fn deliver(world: &World, id: &str, item: &str) -> Result<Nothing, Error> {
        let order = Order {
            id: id.into(),
            email: "jane@example.com".into(),
            item: item.into(),
        };
        let (service, context) = (crate::service(), Context::default());
        world.call(&service, &context, "Notifier.OrderCreated", &order)
    }

    #[test]
    fn a_digest_names_each_order_once() {
        let world = World::new();
        for (id, item) in [("1", "tea"), ("2", "cake"), ("1", "tea")] {
            deliver(&world, id, item).unwrap();
        }
        let orders = ["tea".to_owned(), "cake".to_owned()];
        assert_eq!(
            call(&world, "Notifier.Pending", &Nothing {}).unwrap().items,
            orders
        );
        assert_eq!(
            call(&world, "Notifier.Digest", &Nothing {}).unwrap().items,
            orders
        );
        assert_eq!(world.logs(), ["2 new orders"]);
        assert!(
            call(&world, "Notifier.Digest", &Nothing {})
                .unwrap()
                .items
                .is_empty()
        );
    }

    #[test]
    fn a_restart_loses_no_order() {
        let folder = std::env::temp_dir().join(format!("notifier-{}", std::process::id()));
        // As MICRO_STORE=file:… does for all tests.
        let world = World::with_store(&format!("file:{}", folder.display()));
        deliver(&world, "1", "tea").unwrap();
        world.restart();
        let pending = call(&world, "Notifier.Pending", &Nothing {});
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(pending.unwrap().items, ["tea"]);
    }

    #[test]
    fn an_order_without_an_id_is_refused() {
        let world = World::new();
        assert_eq!(deliver(&world, "", "tea").unwrap_err().code, 400);
    }
}
