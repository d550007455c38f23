use proptest::prelude::*;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use prost_types::{MessageOptions, MethodDescriptorProto, ServiceDescriptorProto};
use serde_json::json;

use super::*;

fn field(
    name: &str,
    number: i32,
    kind: Type,
    type_name: Option<&str>,
    repeated: bool,
) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(if repeated { Label::Repeated } else { Label::Optional }.into()),
        r#type: Some(kind.into()),
        type_name: type_name.map(str::to_owned),
        ..Default::default()
    }
}

fn schema() -> Schema {
    let file = FileDescriptorProto {
        name: Some("test.proto".to_owned()),
        package: Some("test".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![
            DescriptorProto {
                name: Some("Request".to_owned()),
                field: vec![
                    field("name", 1, Type::String, None, false),
                    field("max_count", 2, Type::Int32, None, false),
                    field("big", 3, Type::Int64, None, false),
                    field("on", 4, Type::Bool, None, false),
                    field("tags", 5, Type::String, None, true),
                    field("inner", 6, Type::Message, Some(".test.Request"), false),
                    field("list", 7, Type::Message, Some(".test.Request"), true),
                    field("counts", 8, Type::Message, Some(".test.Request.CountsEntry"), true),
                ],
                nested_type: vec![DescriptorProto {
                    name: Some("CountsEntry".to_owned()),
                    field: vec![
                        field("key", 1, Type::String, None, false),
                        field("value", 2, Type::Int32, None, false),
                    ],
                    options: Some(MessageOptions { map_entry: Some(true), ..Default::default() }),
                    ..Default::default()
                }],
                ..Default::default()
            },
            DescriptorProto { name: Some("Empty".to_owned()), ..Default::default() },
        ],
        service: vec![ServiceDescriptorProto {
            name: Some("Example".to_owned()),
            method: vec![MethodDescriptorProto {
                name: Some("Call".to_owned()),
                input_type: Some(".test.Request".to_owned()),
                output_type: Some(".test.Request".to_owned()),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let set = FileDescriptorSet { file: vec![file] }.encode_to_vec();
    // Two sections in a row that name the same file are one schema.
    Schema::decode(&[set.clone(), set].concat()).unwrap()
}

fn request() -> MessageDescriptor {
    schema().method("Example.Call").unwrap().input()
}

fn bytes(json: Value) -> Result<Bytes, String> {
    let Value::Object(object) = json else { panic!("an object") };
    to_protobuf(&request(), object)
}

fn round_trip(json: Value) -> Value {
    serde_json::from_slice(&to_json(&request(), &bytes(json).unwrap()).unwrap()).unwrap()
}

#[test]
fn proto_names_are_used_and_defaults_omitted() {
    let json = json!({"name": "Jane", "maxCount": 3, "big": 9, "on": false, "inner": {"tags": ["a"]}});
    assert_eq!(
        round_trip(json),
        json!({"name": "Jane", "max_count": 3, "big": "9", "inner": {"tags": ["a"]}})
    );
    assert_eq!(to_json(&request(), b"").unwrap(), "{}");
}

#[test]
fn bad_bodies_are_named() {
    for (json, error) in [
        (json!({"name": 7}), "name: invalid type: integer `7`, expected a string"),
        (json!({"maxCount": "many"}), "maxCount: invalid digit found in string"),
        (
            json!({"inner": {"inner": {"on": "x"}}}),
            "inner.inner.on: invalid type: string \"x\", expected a boolean",
        ),
        (json!({"tags": ["a", 7]}), "tags[1]: invalid type: integer `7`, expected a string"),
        (json!({"list": [{}, {"name": []}]}), "list[1].name: invalid type: sequence, expected a string"),
        (
            json!({"counts": {"a": 1, "b": {}}}),
            "counts.b: invalid type: map, expected a 32-bit signed integer",
        ),
        (json!({"inner": {"nmae": "x"}}), "inner: unrecognized field name 'nmae'"),
        (json!({"nmae": "x"}), "not a valid Request: unrecognized field name 'nmae'"),
    ] {
        assert_eq!(bytes(json).unwrap_err(), error);
    }
    assert!(parse_object(b"\xff{").unwrap_err().contains("not UTF-8"));
    assert!(parse_object(b"[1]").unwrap_err().contains("a JSON object is needed, not an array"));
    assert!(parse_object(b"{").unwrap_err().contains("not JSON"));
    let deep = "{\"inner\":".repeat(100_000);
    assert!(parse_object(deep.as_bytes()).unwrap_err().contains("recursion limit"));
    assert_eq!(parse_object(b" \n").unwrap(), Map::new());
}

#[test]
fn queries_are_coerced_by_the_schema() {
    let pairs = form_fields(
        b"name=J%20D&max_count=3&big=5&on=true&tags=a&tags=b&inner[name]=x&inner.on=true&other=1",
    );
    assert_eq!(
        Value::Object(nest(pairs, Some(&request()))),
        json!({"name": "J D", "max_count": 3, "big": "5", "on": true, "tags": ["a", "b"],
               "inner": {"name": "x", "on": true}})
    );
    let untyped = nest(form_fields(b"a=1&a=2&b[c]=3"), None);
    assert_eq!(Value::Object(untyped), json!({"a": ["1", "2"], "b": {"c": "3"}}));
    assert!(nest(form_fields(format!("a{}=1", "[a]".repeat(40)).as_bytes()), None).is_empty());
}

#[test]
fn the_body_wins_over_the_query() {
    let mut object = nest(form_fields(b"name=q&inner[name]=q&inner[on]=true"), Some(&request()));
    merge(&mut object, parse_object(br#"{"name":"b","inner":{"name":"b"}}"#).unwrap());
    assert_eq!(Value::Object(object), json!({"name": "b", "inner": {"name": "b", "on": true}}));
}

proptest! {
    #[test]
    fn json_survives_protobuf(name in "\\PC{1,20}", count in 1..i32::MAX, tags in prop::collection::vec("\\PC{0,8}", 1..5)) {
        let json = json!({"name": name, "max_count": count, "tags": tags});
        prop_assert_eq!(round_trip(json.clone()), json);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = to_json(&request(), &bytes);
        let _ = parse_object(&bytes);
        let _ = nest(form_fields(&bytes), Some(&request()));
        let _ = Schema::decode(&bytes);
    }
}
