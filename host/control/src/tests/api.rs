use super::*;
use crate::router::endpoints;
use micro_api::routes::REGISTRY_WATCH;

#[tokio::test]
async fn every_endpoint_of_the_table_is_routed() {
    let fixture = Fixture::without_tasks().await;
    for endpoint in endpoints() {
        let path =
            endpoint.path.replace("{name}", "nothing").replace("{id}", "nothing").replace("{table}", "t");
        // One that never ends is asked for what is no service.
        let path = if path == REGISTRY_WATCH { format!("{path}?service=%2F") } else { path };
        let (status, answer) = fixture.send(endpoint.method.as_str(), &path, Some(json!({}))).await;
        assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{} {path}", endpoint.method);
        assert!(!answer.to_string().contains("no route"), "{} {path}: {answer}", endpoint.method);
        if !status.is_success() {
            error(&(status, answer));
        }
    }
}

#[tokio::test]
async fn errors_are_micros_object_everywhere() {
    let fixture = Fixture::without_tasks().await;
    assert_eq!(error(&fixture.get("/v1/nothing").await), (404, "no route /v1/nothing".to_owned()));
    assert_eq!(
        error(&fixture.send("PATCH", "/v1/services", Some(json!({}))).await),
        (405, "/v1/services does not take PATCH".to_owned())
    );
    let (code, detail) = error(&fixture.send("POST", "/v1/services", Some(json!({"source": 1}))).await);
    assert!(code == 400 && detail.starts_with("the body is not valid: "), "{detail}");
    let (code, detail) = error(&fixture.get("/v1/services/x/logs?lines=many").await);
    assert!(code == 400 && detail.starts_with("the query is not valid: "), "{detail}");
    let (code, detail) = error(&fixture.send("DELETE", "/v1/services/..%2Fetc", None).await);
    assert!(code == 400 && detail.contains("is not a service name"), "{detail}");
    let large = json!({"key": "k", "value": "x".repeat(100_000)});
    assert_eq!(
        error(&fixture.send("POST", "/v1/store/t/write", Some(large)).await),
        (413, "the body is larger than 65536 bytes".to_owned())
    );
    assert_eq!(
        error(&fixture.get("/v1/deployments/nothing").await),
        (404, "deployment not found".to_owned())
    );
}

#[tokio::test]
async fn the_guard_covers_what_lies_beside() {
    let fixture = Fixture::without_tasks().await;
    let rpc = |host: &str, content_type: &str| {
        Request::post("/rpc").header(header::HOST, host).header(header::CONTENT_TYPE, content_type)
    };
    let send =
        async |request: axum::http::request::Builder| fixture.raw(request.body(Body::empty()).unwrap()).await;
    assert_eq!(send(rpc("localhost:8081", "application/json")).await, (StatusCode::OK, "rpc".to_owned()));
    assert_eq!(send(rpc("evil.example", "application/json")).await.0, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(send(rpc("localhost", "text/plain")).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let foreign = rpc("localhost", "application/json").header(header::ORIGIN, "http://evil.example");
    let (status, text) = send(foreign).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(
        micro_api::Error::parse(&text).detail,
        "pages of http://evil.example may not use this address"
    );
    let unrouted = Request::get("/nothing").header(header::HOST, "evil.example");
    assert_eq!(send(unrouted).await.0, StatusCode::MISDIRECTED_REQUEST, "also where no route is");
}

#[tokio::test]
async fn documents() {
    let fixture = Fixture::without_tasks().await;
    assert_eq!(fixture.get("/v1/version").await.1, json!({"version": "0.1.0"}));
    let (status, file) = fixture.get("/v1/openapi.json").await;
    assert_eq!((status, file["openapi"].as_str()), (StatusCode::OK, Some("3.1.0")));
    for path in ["/v1/services", "/v1/signup", "/v1/operator/people"] {
        assert!(file["paths"].get(path).is_some(), "{path} is not described");
    }
}

#[tokio::test]
async fn the_registry_suggests_what_is_near() {
    let fixture = Fixture::without_tasks().await;
    assert_eq!(fixture.get("/v1/registry/services").await.1, json!(["api", "greeter", "store"]));
    let (status, records) = fixture.get("/v1/registry/services/go.micro.srv.greeter").await;
    assert_eq!((status, records[0]["name"].as_str()), (StatusCode::OK, Some("greeter")));
    for path in ["/v1/registry/services/greter", "/v1/services/greter/health", "/v1/services/greter/stats"] {
        assert_eq!(
            error(&fixture.get(path).await),
            (404, "service not found, did you mean `greeter`?".to_owned()),
            "{path}"
        );
    }
    assert_eq!(
        error(&fixture.get("/v1/registry/services/orders").await),
        (404, "service not found".to_owned())
    );
    assert_eq!(fixture.get("/v1/services/greeter/health").await.1[0]["status"], "ok");
    assert_eq!(fixture.get("/v1/services/greeter/stats").await.1[0]["requests"], 3);
}

#[tokio::test]
async fn the_store() {
    let fixture = Fixture::without_tasks().await;
    let store = async |action: &str, body: Value| {
        fixture.send("POST", &format!("/v1/store/example-service/{action}"), Some(body)).await
    };
    let write = store("write", json!({"key": "mykey", "value": "SGkgdGhlcmU=", "ttl_ms": 60_000})).await;
    assert_eq!(write.0, StatusCode::NO_CONTENT);
    let (_, read) = store("read", json!({"key": "mykey"})).await;
    assert_eq!(read, json!([{"key": "mykey", "value": "SGkgdGhlcmU=", "expiry_ms": 60_000}]));
    assert_eq!(error(&store("read", json!({"key": "my"})).await), (404, "not found".to_owned()));
    assert_eq!(store("read", json!({"key": "my", "prefix": true})).await.1.as_array().unwrap().len(), 1);
    assert_eq!(store("list", json!({})).await.1, json!(["mykey"]));
    assert_eq!(fixture.get("/v1/store/tables").await.1, json!(["example-service"]));
    assert_eq!(fixture.get("/v1/store/databases").await.1, json!(["default"]));
    assert_eq!(store("delete", json!({"key": "mykey"})).await.0, StatusCode::NO_CONTENT);
    assert_eq!(store("list", json!({})).await.1, json!([]));
    for (action, body) in
        [("write", json!({"key": "", "value": ""})), ("read", json!({})), ("delete", json!({"key": ""}))]
    {
        assert_eq!(error(&store(action, body).await), (400, "key is required".to_owned()));
    }
    let table = fixture.send("POST", "/v1/store/a%2Fb/list", Some(json!({}))).await;
    assert_eq!(error(&table).0, 400);
}

#[tokio::test]
async fn an_import_of_many_requests_is_one_line_of_the_audit_log() {
    let fixture = Fixture::without_tasks().await;
    let send = async |action: &str, body: Value| {
        fixture.send("POST", &format!("/v1/store/orders/{action}"), Some(body)).await
    };
    let batch = |id: &str, key: &str| json!({"id": id, "records": [{"key": key, "value": "SGk="}]});
    for (id, key) in [("one", "a"), ("one", "b"), ("two", "c")] {
        let (status, told) = send("import", batch(id, key)).await;
        assert_eq!((status, &told), (StatusCode::OK, &json!({"written": 1, "kept": 0, "expired": 0})));
    }
    let (_, page) = send("export", json!({})).await;
    assert_eq!(page["records"][2], json!({"key": "c", "value": "SGk="}));
    assert_eq!(page["more"], false);
    let (_, log) = fixture.get("/v1/audit").await;
    let imports: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["action"] == "store.import")
        .map(|line| (line["subject"].as_str().unwrap(), line["detail"].as_str().unwrap()))
        .collect();
    let kept = |id: &str| format!("import {id}: what is there is kept");
    assert_eq!(imports, [("orders", kept("two").as_str()), ("orders", kept("one").as_str())]);
    for id in ["", "a b", &"x".repeat(65)] {
        assert_eq!(error(&send("import", batch(id, "d")).await).0, 400);
    }
    assert_eq!(error(&send("import", json!({"id": "x", "records": [], "replcae": true})).await).0, 400);
}

#[tokio::test]
async fn the_broker() {
    let fixture = Fixture::without_tasks().await;
    let publish = async |body: Value| fixture.send("POST", "/v1/broker/publish", Some(body)).await;
    assert_eq!(fixture.get("/v1/broker/groups").await.1, json!([]));
    let message = json!({"topic": "orders.created", "message": {"id": 1}, "metadata": {"Shop": "berlin"}});
    assert_eq!(publish(message).await.0, StatusCode::NO_CONTENT);
    assert_eq!(publish(json!({"topic": "audit", "message": {}})).await.0, StatusCode::NO_CONTENT);
    let (_, groups) = fixture.get("/v1/broker/groups").await;
    assert_eq!((&groups[0]["topic"], &groups[0]["queue"]), (&json!("orders.created"), &json!("mailer")));
    for (query, count) in [("", 2), ("?limit=1", 1), ("?topic=audit", 1), ("?topic=none&limit=5", 0)] {
        let (_, dead) = fixture.get(&format!("/v1/broker/dead{query}")).await;
        assert_eq!(dead.as_array().unwrap().len(), count, "{query}: {dead}");
    }
    let forget =
        async |query: &str| fixture.send("DELETE", &format!("/v1/broker/groups?{query}"), None).await;
    assert_eq!(forget("topic=audit&queue=mailer").await.0, StatusCode::NO_CONTENT);
    assert_eq!(error(&forget("topic=audit&queue=mailer").await).0, 404);
    assert_eq!(error(&forget("topic=audit").await).0, 400);
    let ids = json!({"ids": ["a", "b"]});
    let moved =
        async |what: &str| fixture.send("POST", &format!("/v1/broker/{what}"), Some(ids.clone())).await.1;
    assert_eq!(moved("redrive").await, json!({"messages": 2}));
    assert_eq!(moved("discard").await, json!({"messages": 12}));
    for bad in [
        json!({"topic": "a b", "message": {}}),
        json!({"topic": "", "message": {}}),
        json!({"topic": "orders.*", "message": {}}),
        json!({"topic": "a", "message": []}),
        json!({"topic": "a", "message": "text"}),
        json!({"topic": "a"}),
    ] {
        assert_eq!(error(&publish(bad).await).0, 400);
    }
    // A filter with a slip in it would move everything.
    let slip = fixture.send("POST", "/v1/broker/discard", Some(json!({"topics": "a"}))).await;
    assert_eq!(error(&slip).0, 400);
}

#[tokio::test]
async fn the_events() {
    let fixture = Fixture::without_tasks().await;
    let send =
        async |what: &str, body: Value| fixture.send("POST", &format!("/v1/events/{what}"), Some(body)).await;
    for number in 1..=3 {
        let event = json!({"topic": "audit", "message": {"n": number}, "metadata": {"K": "v"}});
        let (status, published) = send("publish", event).await;
        assert_eq!((status, &published["position"]), (StatusCode::OK, &json!(number)));
    }
    for (query, count) in [("", 3), ("&after=start", 3), ("&after=1", 2), ("&after=end", 0), ("&limit=1", 1)]
    {
        let (_, read) = fixture.get(&format!("/v1/events/read?topic=audit{query}")).await;
        assert_eq!(read.as_array().unwrap().len(), count, "{query}: {read}");
    }
    let (_, taken) = send("consume", json!({"topic": "audit", "group": "g", "max": 2})).await;
    assert_eq!((&taken["group"], taken["events"].as_array().unwrap().len()), (&json!("g"), 2));
    assert_eq!(taken["events"][0]["event"]["metadata"], json!({"K": "v"}));
    let ack = json!({"topic": "audit", "group": "g", "id": "e", "attempt": 1, "success": true});
    assert_eq!(send("ack", ack.clone()).await.0, StatusCode::NO_CONTENT);
    let mut over = ack;
    over["id"] = json!("f");
    assert_eq!(error(&send("ack", over).await).0, 404);
    let (_, groups) = fixture.get("/v1/events/groups?topic=audit").await;
    assert_eq!(groups[0]["group"], "g");

    for query in ["read?topic=audit&after=soon", "read?topic=audit&limit=0", "read?topic=audit&limit=1001"] {
        assert_eq!(error(&fixture.get(&format!("/v1/events/{query}")).await).0, 400, "{query}");
    }
    for query in ["read", "read?topic=", "stream", "groups"] {
        let refused = error(&fixture.get(&format!("/v1/events/{query}")).await);
        assert_eq!((refused.0, refused.1.as_str()), (400, "Missing topic"), "{query}");
    }
    for (what, body) in [
        ("publish", json!({"message": {}})),
        ("consume", json!({"group": "g"})),
        ("ack", json!({"group": "g", "id": "e", "attempt": 1, "success": true})),
    ] {
        assert_eq!(error(&send(what, body).await).1, "Missing topic", "{what}");
    }
    for (what, body) in [
        ("publish", json!({"topic": "a b", "message": {}})),
        ("publish", json!({"topic": "a", "message": []})),
        ("publish", json!({"topic": "a", "message": {}, "payload": ""})),
        ("consume", json!({"topic": "a", "groups": "g"})),
    ] {
        assert_eq!(error(&send(what, body.clone()).await).0, 400, "{what} {body}");
    }
}

#[tokio::test]
async fn a_request_has_limits() {
    let fixture = Fixture::without_tasks().await;
    let refuse = async |change: &dyn Fn(&mut RunRequest)| {
        let mut wish = request("helloworld");
        change(&mut wish);
        error(&fixture.send("POST", "/v1/services", Some(json!(wish))).await)
    };
    for (code, change) in [
        (400, &(|wish: &mut RunRequest| wish.version = "a b".to_owned()) as &dyn Fn(&mut RunRequest)),
        (400, &|wish| wish.version = String::new()),
        (400, &|wish| wish.retries = 101),
        (400, &|wish| wish.source_given = "x".repeat(5_000)),
        (400, &|wish| drop(wish.env.insert("A=B".to_owned(), String::new()))),
        (400, &|wish| wish.args = vec![String::new(); 300]),
        (400, &|wish| {
            wish.source = Source::Upload { upload: "../../etc/passwd".to_owned(), folder: String::new() }
        }),
        (400, &|wish| {
            let upload = uuid::Uuid::new_v4().to_string();
            wish.source = Source::Upload { upload, folder: String::new() };
        }),
    ] {
        let (found, detail) = refuse(change).await;
        assert_eq!(found, code, "{detail}");
    }
    assert_eq!(fixture.get("/v1/services").await.1, json!([]));
}
