//! What the store keeps when its server is killed: on every server that can be.

use std::sync::Arc;

use micro_api::name::Namespace;

use super::{Backend, Error, TableKey, Write};
use crate::killed::{KILLS, Mortal, killed_under};

/// What a writer was told.
#[derive(Default)]
struct Told {
    kept: Vec<String>,
    added: i64,
    unsure: i64,
}

fn write(key: &str) -> Write {
    Write { key: key.to_owned().into(), value: key.to_owned().into(), ttl_ms: None }
}

async fn write_on(store: Arc<dyn Backend>, own: TableKey, round: usize, writer: usize) -> Told {
    let mut told = Told::default();
    for number in 0.. {
        let key = format!("{round}/{writer}/{number}");
        let Ok(()) = store.set(&own, write(&key)).await else { break };
        told.kept.push(key);
        match store.increment(&own, b"n", 1, None).await {
            Ok(_) => told.added += 1,
            Err(Error::Unknown(_)) => {
                told.unsure += 1;
                break;
            }
            Err(_) => break,
        }
    }
    told
}

/// What was acknowledged is there, and what was counted is counted once.
pub(crate) async fn nothing_acknowledged_is_lost(process: &mut impl Mortal, store: Arc<dyn Backend>) {
    let own = TableKey::named(&"default".parse::<Namespace>().unwrap(), "faults").unwrap();
    let (mut acknowledged, mut unsure) = (0, 0);
    for round in 0..KILLS {
        let writers = (0..8).map(|writer| {
            let (store, own) = (Arc::clone(&store), own.clone());
            tokio::spawn(write_on(store, own, round, writer))
        });
        let last = format!("{round}/7/20");
        let loaded = async || store.get(&own, last.as_bytes()).await.unwrap().is_some();
        let away = async || {
            let gone = store.get(&own, b"n").await.unwrap_err();
            assert!(matches!(gone, Error::Away(_)), "{gone:?}");
        };
        let answers = async || store.get(&own, b"n").await.is_ok();
        let told = killed_under(process, writers.collect(), loaded, away, answers).await;
        for told in told {
            acknowledged += told.added;
            unsure += told.unsure;
            for key in told.kept {
                let found = store.get(&own, key.as_bytes()).await.unwrap();
                assert_eq!(found.map(|record| record.value), Some(key.into()));
            }
        }
        let sum = store.increment(&own, b"n", 0, None).await.unwrap();
        assert!((acknowledged..=acknowledged + unsure).contains(&sum), "{acknowledged} + {unsure}: {sum}");
    }
}
