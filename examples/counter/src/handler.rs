use std::time::Duration;

use micro_sdk::prost::Message;
use micro_sdk::store::{self, Transaction};
use micro_sdk::{Context, Error, events};

use crate::{Change, Count, CounterHandler, Name, Nothing, Published};

const TOPIC: &str = "counter.changed";
/// How long an event is remembered that was folded: longer than it may come again.
const SEEN_FOR: Duration = Duration::from_secs(86_400);

pub struct Counter;

impl CounterHandler for Counter {
    async fn add(&self, _ctx: &Context, change: Change) -> Result<Published, Error> {
        check(&change)?;
        let id = events::publish(TOPIC, &change).await?;
        Ok(Published { id })
    }

    async fn fold(&self, ctx: &Context, change: Change) -> Result<Nothing, Error> {
        // 4xx: no later try would help, so the event goes to the dead letters at once.
        check(&change)?;
        let event = ctx.metadata("Micro-Event-Id");
        let event = event.ok_or_else(|| Error::bad_request("counter", "this is no event"))?;
        let (key, seen) = (key(&change.name), format!("seen/{event}"));
        let old = store::get(&key).await?.map(|record| record.value);
        let count = decode(old.as_deref())?;
        let value = count.value.checked_add(change.by);
        let value = value.ok_or_else(|| Error::bad_request("counter", "the count is too large"))?;
        let new = Count {
            value,
            events: count.events + 1,
        };
        // An event may come twice: it is counted if it was not seen, and seen if it was counted.
        let fold = Transaction::new().absent(&seen);
        let fold = match old {
            Some(old) => fold.holds(&key, old),
            None => fold.absent(&key),
        };
        let fold = fold.set(&key, new.encode_to_vec());
        let folded = fold.set_for(&seen, "", SEEN_FOR).commit().await?;
        if folded || store::get(&seen).await?.is_some() {
            return Ok(Nothing {});
        }
        // 5xx: the event comes again.
        Err(Error::new("counter", 503, "the count changed meanwhile"))
    }

    async fn get(&self, _ctx: &Context, name: Name) -> Result<Count, Error> {
        let record = store::get(&key(&name.name)).await?;
        decode(record.map(|record| record.value).as_deref())
    }
}

fn key(name: &str) -> String {
    format!("count/{name}")
}

fn check(change: &Change) -> Result<(), Error> {
    if change.name.is_empty() || change.name.len() > 128 {
        return Err(Error::bad_request("counter", "name has 1 to 128 bytes"));
    }
    Ok(())
}

fn decode(value: Option<&[u8]>) -> Result<Count, Error> {
    let count = Count::decode(value.unwrap_or_default());
    count.map_err(|error| Error::internal_server_error("counter", error.to_string()))
}

#[cfg(test)]
mod tests {
    use micro_sdk::test::World;

    use super::*;

    fn change(name: &str, by: i64) -> Change {
        Change {
            name: name.into(),
            by,
        }
    }

    fn add(world: &World, name: &str, by: i64) -> Result<Published, Error> {
        let context = Context::default();
        world.call(
            &crate::service(),
            &context,
            "Counter.Add",
            &change(name, by),
        )
    }

    /// Delivers all events, as the platform does for a new group.
    fn replay(world: &World) {
        for event in world.events(TOPIC) {
            let context = Context::default().with_metadata("Micro-Event-Id", &event.id);
            let message: Change = event.message().unwrap();
            let _: Nothing = world
                .call(&crate::service(), &context, "Counter.Fold", &message)
                .unwrap();
        }
    }

    fn count(world: &World, name: &str) -> (i64, u64) {
        let name = Name { name: name.into() };
        let context = Context::default();
        let count: Count = world
            .call(&crate::service(), &context, "Counter.Get", &name)
            .unwrap();
        (count.value, count.events)
    }

    #[test]
    fn the_count_is_what_its_events_add_up_to() {
        let world = World::new();
        for (name, by) in [("a", 2), ("b", 5), ("a", -3)] {
            add(&world, name, by).unwrap();
        }
        assert_eq!(count(&world, "a"), (0, 0), "publishing counts nothing");
        replay(&world);
        assert_eq!((count(&world, "a"), count(&world, "b")), ((-1, 2), (5, 1)));
        // The same events again change nothing.
        replay(&world);
        assert_eq!((count(&world, "a"), count(&world, "b")), ((-1, 2), (5, 1)));
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let world = World::new();
        assert_eq!(add(&world, "", 1).unwrap_err().code, 400);
        let fold = |context: &Context, by| -> Result<Nothing, Error> {
            world.call(&crate::service(), context, "Counter.Fold", &change("a", by))
        };
        assert_eq!(fold(&Context::default(), 1).unwrap_err().code, 400);
        let event = |id: &str| Context::default().with_metadata("Micro-Event-Id", id);
        fold(&event("1"), i64::MAX).unwrap();
        assert_eq!(fold(&event("2"), 1).unwrap_err().code, 400);
        assert_eq!(count(&world, "a"), (i64::MAX, 1));
    }
}
