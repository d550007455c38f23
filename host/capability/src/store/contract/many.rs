//! Tables that have grown. `MICRO_SOAK_RECORDS` says how many records there are.

use super::super::transaction::Change;
use super::*;
use crate::tests::records;

/// Records of one transaction.
const TOGETHER: usize = 100;
/// Prime, so that records are not written in the order of their keys.
const STRIDE: usize = 7_919;

fn name(number: usize) -> String {
    format!("{number:08}")
}

fn change(number: usize) -> Change {
    Change::Set(Write { key: name(number).into(), value: number.to_string().into(), ttl_ms: None })
}

#[test]
fn a_table_of_many_records_is_read_whole_and_in_order() {
    on_each(|backend| async move {
        let (table, count) = (table("default", "many"), records());
        assert_ne!(count % STRIDE, 0, "choose another number of records");
        let order: Vec<_> = (0..count).map(|number| number * STRIDE % count).collect();
        for some in order.chunks(TOGETHER) {
            let changes = some.iter().map(|number| change(*number)).collect();
            assert!(backend.commit(&table, Vec::new(), changes).await.unwrap());
        }
        let (mut range, mut found) = (Range { limit: BATCH_RECORDS_MAX, ..Range::default() }, 0);
        loop {
            let page = backend.scan(&table, range.clone(), Want::Records).await.unwrap();
            for record in &page.records {
                assert_eq!(
                    (&record.key[..], &record.value[..]),
                    (name(found).as_bytes(), found.to_string().as_bytes())
                );
                found += 1;
            }
            let Some(last) = page.records.last() else { break };
            range.after = Some(last.key.clone());
        }
        assert_eq!(found, count);
        for number in order.into_iter().take(100) {
            let record = backend.get(&table, name(number).as_bytes()).await.unwrap().unwrap();
            assert_eq!(record.value, number.to_string());
        }
    });
}
