use micro_sdk::{Context, Error, broker};

use crate::{CreateRequest, Order, OrdersHandler};

/// Where orders are published.
const CREATED: &str = "orders.created";

pub struct Orders;

impl OrdersHandler for Orders {
    async fn create(&self, ctx: &Context, request: CreateRequest) -> Result<Order, Error> {
        if request.item.is_empty() {
            return Err(Error::bad_request("orders", "item is required"));
        }
        let order = Order {
            id: ctx.request_id().to_owned(),
            email: request.email,
            item: request.item,
        };
        broker::publish(CREATED, &order).await?;
        Ok(order)
    }
}

#[cfg(test)]
mod tests {
    use micro_sdk::test::World;

    use super::*;

    fn create(world: &World, item: &str) -> Result<Order, Error> {
        let request = CreateRequest {
            email: "jane@example.com".into(),
            item: item.into(),
        };
        world.call(
            &crate::service(),
            &Context::default(),
            "Orders.Create",
            &request,
        )
    }

    #[test]
    fn an_order_is_published() {
        let world = World::new();
        let order = create(&world, "tea").unwrap();
        let published = world.published();
        assert_eq!(published.len(), 1);
        assert_eq!(published[0].topic, "orders.created");
        assert_eq!(published[0].message::<Order>().unwrap(), order);
    }

    #[test]
    fn what_is_no_order_is_not_published() {
        let world = World::new();
        assert_eq!(create(&world, "").unwrap_err().code, 400);
        assert!(world.published().is_empty());
    }
}
