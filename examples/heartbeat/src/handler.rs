use micro_sdk::{Context, Error, prost::Message, store};

use crate::{Beats, HeartbeatHandler, Nothing};

/// Where the count is.
const BEATS: &str = "beats";
/// While this key is in the store, ticks fail.
const PAUSED: &str = "paused";

pub struct Heartbeat;

impl HeartbeatHandler for Heartbeat {
    async fn tick(&self, ctx: &Context, _request: Nothing) -> Result<Nothing, Error> {
        if store::get(PAUSED).await?.is_some() {
            return Err(Error::new("heartbeat", 503, "paused"));
        }
        let mut beats = read().await?;
        beats.count += 1;
        beats.last = header(ctx, "Micro-Tick").parse().unwrap_or_default();
        beats.schedule = header(ctx, "Micro-Schedule").to_owned();
        store::set(BEATS, beats.encode_to_vec()).await?;
        micro_sdk::info!("beat {}", beats.count);
        Ok(Nothing {})
    }

    async fn count(&self, _ctx: &Context, _request: Nothing) -> Result<Beats, Error> {
        read().await
    }
}

async fn read() -> Result<Beats, Error> {
    let Some(record) = store::get(BEATS).await? else {
        return Ok(Beats::default());
    };
    Beats::decode(record.value.as_slice())
        .map_err(|error| Error::internal_server_error("heartbeat", error.to_string()))
}

fn header<'a>(ctx: &'a Context, key: &str) -> &'a str {
    ctx.metadata(key).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use micro_sdk::test::World;

    use super::*;

    fn tick(world: &World, tick: &str) -> Result<Nothing, Error> {
        let context = Context::default()
            .with_metadata("Micro-Schedule", "minutely")
            .with_metadata("Micro-Tick", tick);
        world.call(&crate::service(), &context, "Heartbeat.Tick", &Nothing {})
    }

    fn count(world: &World) -> Beats {
        let context = Context::default();
        world
            .call(&crate::service(), &context, "Heartbeat.Count", &Nothing {})
            .unwrap()
    }

    #[test]
    fn each_tick_is_a_beat() {
        let world = World::new();
        assert_eq!(count(&world), Beats::default());
        tick(&world, "60000").unwrap();
        tick(&world, "120000").unwrap();
        let beats = Beats {
            count: 2,
            last: 120_000,
            schedule: "minutely".into(),
        };
        assert_eq!(count(&world), beats);
    }

    #[test]
    fn a_tick_fails_while_it_is_paused() {
        let world = World::new();
        world.block_on(store::set(PAUSED, "yes")).unwrap();
        assert_eq!(tick(&world, "60000").unwrap_err().code, 503);
        assert_eq!(count(&world).count, 0);
    }
}
