//! Services that run elsewhere.

use micro_api::registry::{Node, Service};

use super::*;
use crate::external::NODES_MAX;

fn service(name: &str, nodes: &[(&str, &str)]) -> Service {
    let node = |(id, address): &(&str, &str)| Node {
        id: (*id).to_owned(),
        address: (*address).to_owned(),
        metadata: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
    };
    Service {
        name: name.to_owned(),
        version: "latest".to_owned(),
        nodes: nodes.iter().map(node).collect(),
        ..Service::default()
    }
}

#[tokio::test]
async fn nodes_are_added_replaced_and_removed() {
    for fixture in each().await {
        let (db, own) = (&fixture.db, namespace());
        let revision = db.registry_revision().await.unwrap();
        let first = service("legacy", &[("a", "one.example.com:80"), ("b", "two.example.com:80")]);
        db.register_external(&own, &first, None).await.unwrap();
        assert_eq!(db.externals().await.unwrap()[0].service, first);
        assert_eq!(db.registry_revision().await.unwrap(), revision + 1);
        // The same again is no news.
        db.register_external(&own, &first, None).await.unwrap();
        assert_eq!(db.registry_revision().await.unwrap(), revision + 1);
        let mut moved = service("legacy", &[("b", "three.example.com:80")]);
        moved.metadata.insert("owner".to_owned(), "ops".to_owned());
        db.register_external(&own, &moved, None).await.unwrap();
        let found = db.externals().await.unwrap();
        assert_eq!((found.len(), found[0].service.nodes.len()), (1, 2));
        assert_eq!(found[0].service.nodes[1].address, "three.example.com:80");
        assert_eq!(found[0].service.metadata["owner"], "ops");
        assert_eq!(db.registry_revision().await.unwrap(), revision + 2);
        let other: Namespace = "other".parse().unwrap();
        assert_eq!(db.deregister_external(&other, "legacy", "latest", &[]).await.unwrap(), 0);
        let one = ["a".to_owned()];
        assert_eq!(db.deregister_external(&own, "legacy", "latest", &one).await.unwrap(), 1);
        assert_eq!(db.externals().await.unwrap()[0].service.nodes.len(), 1);
        assert_eq!(db.deregister_external(&own, "legacy", "latest", &[]).await.unwrap(), 1);
        assert!(db.externals().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_node_that_is_not_registered_again_ends() {
    for fixture in each().await {
        let (db, own) = (&fixture.db, namespace());
        db.register_external(&own, &service("old", &[("a", "a.example.com:80")]), Some(0)).await.unwrap();
        db.register_external(&own, &service("young", &[("a", "a.example.com:80")]), Some(60_000))
            .await
            .unwrap();
        let mixed = service("mixed", &[("a", "a.example.com:80")]);
        db.register_external(&own, &mixed, None).await.unwrap();
        db.register_external(&own, &service("mixed", &[("b", "b.example.com:80")]), Some(30_000))
            .await
            .unwrap();
        let found = db.externals().await.unwrap();
        let names: Vec<_> = found.iter().map(|external| external.service.name.as_str()).collect();
        assert_eq!(names, ["mixed", "young"]);
        assert_eq!(found[0].service.nodes.len(), 2);
        assert!(found[0].left_ms.is_some_and(|left| left > 0 && left <= 30_000));
        db.sweep_externals(0).await.unwrap();
        assert_eq!(db.externals().await.unwrap().len(), 2);
        // One that comes again after its end is news.
        let revision = db.registry_revision().await.unwrap();
        db.register_external(&own, &service("old", &[("a", "a.example.com:80")]), Some(60_000))
            .await
            .unwrap();
        assert_eq!(db.registry_revision().await.unwrap(), revision + 1);
    }
}

#[tokio::test]
async fn a_namespace_has_so_many_nodes() {
    for fixture in each().await {
        let (db, own) = (&fixture.db, namespace());
        let names: Vec<String> = (0..=NODES_MAX).map(|n| format!("n{n}")).collect();
        let nodes: Vec<_> = names.iter().map(|name| (name.as_str(), "a.example.com:80")).collect();
        let full = db.register_external(&own, &service("many", &nodes), None).await.unwrap_err();
        assert!(full.to_string().contains("nodes of services elsewhere"), "{full}");
        assert!(db.externals().await.unwrap().is_empty(), "nothing of it was written");
        let (_, fitting) = nodes.split_last().unwrap();
        db.register_external(&own, &service("many", fitting), None).await.unwrap();
        let other: Namespace = "other".parse().unwrap();
        db.register_external(&other, &service("one", &nodes[..1]), None).await.unwrap();
        assert!(db.register_external(&own, &service("one", &nodes[..1]), None).await.is_err());
    }
}
