use prost_types::{FileDescriptorProto, MessageOptions, MethodDescriptorProto, ServiceDescriptorProto};

use super::*;

fn field(name: &str, number: i32, r#type: Type, type_name: &str, repeated: bool) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        r#type: Some(r#type.into()),
        type_name: (!type_name.is_empty()).then(|| type_name.to_owned()),
        label: Some(if repeated { Label::Repeated } else { Label::Optional }.into()),
        ..FieldDescriptorProto::default()
    }
}

fn message_type(name: &str, field: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto { name: Some(name.to_owned()), field, ..DescriptorProto::default() }
}

fn set() -> Vec<u8> {
    let mut request = message_type(
        "Request",
        vec![
            field("first_name", 1, Type::String, "", false),
            field("self", 2, Type::Message, ".hello.Request", true),
            field("labels", 3, Type::Message, ".hello.Request.LabelsEntry", true),
        ],
    );
    let mut entry = message_type(
        "LabelsEntry",
        vec![field("key", 1, Type::String, "", false), field("value", 2, Type::Int64, "", false)],
    );
    entry.options = Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() });
    request.nested_type.push(entry);
    let method = |name: &str, stream: bool| MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(".hello.Request".to_owned()),
        output_type: Some(".hello.Response".to_owned()),
        server_streaming: Some(stream),
        ..MethodDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("hello.proto".to_owned()),
        package: Some("hello".to_owned()),
        message_type: vec![request, message_type("Response", vec![field("msg", 1, Type::String, "", false)])],
        service: vec![ServiceDescriptorProto {
            name: Some("Helloworld".to_owned()),
            method: vec![method("Call", false), method("Stream", true)],
            ..ServiceDescriptorProto::default()
        }],
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file.clone(), file] }.encode_to_vec()
}

#[test]
fn endpoints_have_micros_shape() {
    let endpoints = from_descriptors(&set()).unwrap();
    let names: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
    assert_eq!(names, ["Helloworld.Call", "Helloworld.Stream"]);
    let [call, stream] = endpoints.as_slice() else { panic!("two endpoints") };
    assert_eq!(call.request.name, "Request");
    let shown: Vec<(&str, &str)> =
        call.request.values.iter().map(|value| (value.name.as_str(), value.r#type.as_str())).collect();
    assert_eq!(shown, [("first_name", "string"), ("self", "[]Request"), ("labels", "map[string]int64")]);
    let said: Vec<_> = stream.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(said, [("replies", "stream"), ("stream", "true")]);
    assert!(call.metadata.is_empty());
    // Nesting ends after three levels.
    let mut depth = 0;
    let mut value = &call.request;
    while let Some(inner) = value.values.iter().find(|value| value.name == "self") {
        depth += 1;
        value = inner;
    }
    assert_eq!(depth, 3);
}

#[test]
fn routes_become_metadata() {
    let route = Route {
        endpoint: "Helloworld.Call".to_owned(),
        method: vec!["GET".to_owned(), "POST".to_owned()],
        path: vec!["/hello".to_owned()],
        ..Route::default()
    };
    let other = Route { endpoint: "Other.Call".to_owned(), ..Route::default() };
    let endpoints = with_routes(from_descriptors(&set()).unwrap(), &[route, other]);
    let call = endpoints.first().unwrap();
    assert_eq!(call.metadata.get("method").map(String::as_str), Some("GET,POST"));
    assert_eq!(call.metadata.get("path").map(String::as_str), Some("/hello"));
    assert_eq!(endpoints.last().unwrap().name, "Other.Call");
    assert!(from_descriptors(b"\xff\xff").is_err());
}

fn subscribe(topic: &str, endpoint: &str) -> Subscribe {
    Subscribe { topic: topic.to_owned(), endpoint: endpoint.to_owned(), ..Subscribe::default() }
}

#[test]
fn subscriptions_become_metadata() {
    let all = [
        subscribe("a", "Helloworld.Call"),
        subscribe("b", "Helloworld.Call"),
        subscribe("a", "Helloworld.Call"),
    ];
    let consume = |topic: &str, endpoint: &str| Consume {
        topic: topic.to_owned(),
        endpoint: endpoint.to_owned(),
        ..Consume::default()
    };
    let events = [consume("audit", "Helloworld.Call"), consume("b", "Other.Call")];
    let endpoints = with_subscriptions(from_descriptors(&set()).unwrap(), &all, &events);
    let [call, stream, other] = endpoints.as_slice() else { panic!("three endpoints") };
    assert_eq!(call.metadata.get("subscriber").map(String::as_str), Some("true"));
    assert_eq!(call.metadata.get("topic").map(String::as_str), Some("a,b,audit"));
    assert_eq!((other.name.as_str(), other.metadata["topic"].as_str()), ("Other.Call", "b"));
    assert!(!stream.metadata.contains_key("subscriber"));
}

#[test]
fn a_subscription_names_an_endpoint_that_is_there() {
    let endpoints = from_descriptors(&set()).unwrap();
    check_subscriptions(&endpoints, &[subscribe("a", "Helloworld.Call")], &[]).unwrap();
    let refused = check_subscriptions(&endpoints, &[subscribe("a", "Helloworld.Cal")], &[]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "[[subscribe]] of the topic `a` names the endpoint `Helloworld.Cal`, which the component does not have: it has \
         Helloworld.Call, Helloworld.Stream"
    );
    // A component that describes nothing may have it.
    let any = Consume { topic: "b".to_owned(), endpoint: "Any.Thing".to_owned(), ..Consume::default() };
    let refused = check_subscriptions(&endpoints, &[], std::slice::from_ref(&any)).unwrap_err().to_string();
    assert!(
        refused.starts_with("[[consume]] of the topic `b` names the endpoint `Any.Thing`, which"),
        "{refused}"
    );
    check_subscriptions(&[], &[subscribe("a", "Any.Thing")], &[any]).unwrap();
}

#[test]
fn a_schedule_names_an_endpoint_that_is_there() {
    let endpoints = from_descriptors(&set()).unwrap();
    let named = |endpoint: &str| {
        let (name, endpoint) = (Some("nightly".to_owned()), endpoint.to_owned());
        [Schedule { name, endpoint, ..Schedule::default() }]
    };
    check_schedules(&endpoints, &named("Helloworld.Call")).unwrap();
    let refused = check_schedules(&endpoints, &named("Helloworld.Cal")).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "[[schedule]] `nightly` names the endpoint `Helloworld.Cal`, which the component does not have: it has \
         Helloworld.Call, Helloworld.Stream"
    );
    check_schedules(&[], &named("Any.Thing")).unwrap();
}
