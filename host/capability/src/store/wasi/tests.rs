//! The calls as a component makes them, without one.

use std::time::Duration;

use micro_api::manifest::Grants;
use wasmtime::component::Resource;

use super::*;
use crate::Ctx;
use crate::tests::{World, context};

fn ctx() -> (World, Ctx) {
    let world = World::new();
    let guest = world.guest(Grants { store: vec!["own".to_owned()], ..Grants::default() });
    let mut ctx = Ctx::new(guest);
    ctx.begin(context(Duration::from_secs(5)));
    (world, ctx)
}

fn bucket() -> Resource<Bucket> {
    Resource::new_own(0)
}

#[tokio::test]
async fn only_the_own_bucket_opens() {
    let (_world, mut ctx) = ctx();
    for (name, opens) in [("", true), ("default", true), ("other", false), ("../acme", false)] {
        assert_eq!(
            draft::store::Host::open(&mut ctx, name.to_owned()).await.unwrap().is_ok(),
            opens,
            "{name}"
        );
        assert_eq!(
            draft2::store::Host::open(&mut ctx, name.to_owned()).await.unwrap().is_ok(),
            opens,
            "{name}"
        );
    }
}

#[tokio::test]
async fn both_drafts_see_the_same_records_and_list_all_of_them() {
    use draft::store::HostBucket as One;
    use draft2::store::HostBucket as Two;
    let (_world, mut ctx) = ctx();
    for number in 0..1_500 {
        One::set(&mut ctx, bucket(), format!("k{number:04}"), b"v".to_vec()).await.unwrap().unwrap();
    }
    let read = Two::get(&mut ctx, bucket(), "k0000".to_owned()).await.unwrap().unwrap();
    assert_eq!(read, Some(b"v".to_vec()));
    let (mut first, mut cursor) = (Vec::new(), None);
    loop {
        let page = One::list_keys(&mut ctx, bucket(), cursor).await.unwrap().unwrap();
        cursor = page.cursor;
        first.extend(page.keys);
        if cursor.is_none() {
            break;
        }
    }
    let (mut second, mut cursor) = (Vec::new(), None);
    loop {
        let page = Two::list_keys(&mut ctx, bucket(), cursor).await.unwrap().unwrap();
        cursor = page.cursor;
        second.extend(page.keys);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((first.len(), &first), (1_500, &second));
    One::delete(&mut ctx, bucket(), "k0000".to_owned()).await.unwrap().unwrap();
    assert!(!Two::exists(&mut ctx, bucket(), "k0000".to_owned()).await.unwrap().unwrap());
}

#[tokio::test]
async fn numbers_are_counted_and_values_compared() {
    let (_world, mut ctx) = ctx();
    let key = || "n".to_owned();
    assert_eq!(draft::atomics::Host::increment(&mut ctx, bucket(), key(), 5).await.unwrap().unwrap(), 5);
    assert_eq!(draft2::atomics::Host::increment(&mut ctx, bucket(), key(), -7).await.unwrap().unwrap(), -2);
    assert!(
        draft::atomics::Host::increment(&mut ctx, bucket(), key(), 1).await.unwrap().is_err(),
        "negative"
    );
    assert!(draft::atomics::Host::increment(&mut ctx, bucket(), key(), u64::MAX).await.unwrap().is_err());

    let seen = draft2::atomics::HostCas::new(&mut ctx, bucket(), key()).await.unwrap().unwrap();
    draft2::store::HostBucket::set(&mut ctx, bucket(), key(), b"new".to_vec()).await.unwrap().unwrap();
    let failed = draft2::atomics::Host::swap(&mut ctx, seen, b"mine".to_vec()).await.unwrap();
    let Err(draft2::atomics::CasError::CasFailed(now)) = failed else { panic!("{failed:?}") };
    let current = Resource::new_borrow(now.rep());
    let current = draft2::atomics::HostCas::current(&mut ctx, current).await.unwrap().unwrap();
    assert_eq!(current, Some(b"new".to_vec()));
    assert!(draft2::atomics::Host::swap(&mut ctx, now, b"mine".to_vec()).await.unwrap().is_ok());
    let read = draft2::store::HostBucket::get(&mut ctx, bucket(), key()).await.unwrap().unwrap();
    assert_eq!(read, Some(b"mine".to_vec()));
}

#[tokio::test]
async fn handles_and_batches_have_a_bound() {
    let (_world, mut ctx) = ctx();
    for _ in 0..CAS_MAX {
        draft2::atomics::HostCas::new(&mut ctx, bucket(), "k".to_owned()).await.unwrap().unwrap();
    }
    let full = draft2::atomics::HostCas::new(&mut ctx, bucket(), "k".to_owned()).await.unwrap().unwrap_err();
    assert!(format!("{full:?}").contains("limit: compare-and-swap handles"), "{full:?}");
    draft2::atomics::HostCas::drop(&mut ctx, Resource::new_own(3)).await.unwrap();
    draft2::atomics::HostCas::new(&mut ctx, bucket(), "k".to_owned()).await.unwrap().unwrap();

    let keys: Vec<String> = (0..=BATCH_KEYS_MAX).map(|n| format!("k{n}")).collect();
    assert!(draft::batch::Host::get_many(&mut ctx, bucket(), keys.clone()).await.unwrap().is_err());
    let pairs: Vec<_> = keys.iter().map(|key| (key.clone(), vec![1])).collect();
    assert!(draft2::batch::Host::set_many(&mut ctx, bucket(), pairs.clone()).await.unwrap().is_err());
    let (_, fitting) = pairs.split_last().unwrap();
    let twice = [fitting, &[("k1".to_owned(), vec![2])]].concat();
    draft2::batch::Host::set_many(&mut ctx, bucket(), twice).await.unwrap().unwrap();
    let read = draft::batch::Host::get_many(&mut ctx, bucket(), vec!["k1".to_owned(), "no".to_owned()]).await;
    assert_eq!(
        read.unwrap().unwrap(),
        [Some(("k1".to_owned(), vec![2])), None],
        "the last of equal keys counts"
    );
    draft2::batch::Host::delete_many(&mut ctx, bucket(), vec!["k1".to_owned()]).await.unwrap().unwrap();
    assert!(!draft::store::HostBucket::exists(&mut ctx, bucket(), "k1".to_owned()).await.unwrap().unwrap());
}
