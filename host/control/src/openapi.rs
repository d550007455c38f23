//! The OpenAPI 3.1 description, made from the route table and the record types.
//!
//! `host/control/openapi.json` is checked in and served; a test holds it against the table, and writes it when
//! `MICRO_UPDATE` is set.

use axum::http::Method;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::router::{Handler, endpoints};

/// The file as checked in.
pub(crate) const FILE: &str = include_str!("../openapi.json");

type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One row of the route table.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: String,
    summary: &'static str,
    pub(crate) handler: Handler,
    parameters: Option<SchemaOf>,
    body: Option<Body>,
    answer: Answer,
}

enum Body {
    Json(SchemaOf),
    Gzip,
    Bytes,
}

enum Answer {
    Nothing,
    Empty(u16),
    Json(u16, SchemaOf),
    Lines(SchemaOf),
    Bytes,
}

impl Endpoint {
    fn new(method: Method, path: &str, summary: &'static str, handler: Handler) -> Self {
        let path = path.to_owned();
        Self { method, path, summary, handler, parameters: None, body: None, answer: Answer::Nothing }
    }
    pub(crate) fn get(path: &str, summary: &'static str, handler: Handler) -> Self {
        Self::new(Method::GET, path, summary, handler)
    }
    pub(crate) fn post(path: &str, summary: &'static str, handler: Handler) -> Self {
        Self::new(Method::POST, path, summary, handler)
    }
    pub(crate) fn put(path: &str, summary: &'static str, handler: Handler) -> Self {
        Self::new(Method::PUT, path, summary, handler)
    }
    pub(crate) fn patch(path: &str, summary: &'static str, handler: Handler) -> Self {
        Self::new(Method::PATCH, path, summary, handler)
    }
    pub(crate) fn delete(path: &str, summary: &'static str, handler: Handler) -> Self {
        Self::new(Method::DELETE, path, summary, handler)
    }
    /// Query parameters: the fields of `T`.
    pub(crate) fn takes<T: JsonSchema>(mut self) -> Self {
        self.parameters = Some(T::json_schema);
        self
    }
    /// A JSON body.
    pub(crate) fn reads<T: JsonSchema>(mut self) -> Self {
        self.body = Some(Body::Json(SchemaGenerator::subschema_for::<T>));
        self
    }
    /// A gzip body.
    pub(crate) fn reads_gzip(mut self) -> Self {
        self.body = Some(Body::Gzip);
        self
    }
    /// A body of any bytes.
    pub(crate) fn reads_bytes(mut self) -> Self {
        self.body = Some(Body::Bytes);
        self
    }
    /// Any bytes.
    pub(crate) fn answers_bytes(mut self) -> Self {
        self.answer = Answer::Bytes;
        self
    }
    /// A JSON answer.
    pub(crate) fn answers<T: JsonSchema>(mut self, status: u16) -> Self {
        self.answer = Answer::Json(status, SchemaGenerator::subschema_for::<T>);
        self
    }
    /// One JSON object a line.
    pub(crate) fn streams<T: JsonSchema>(mut self) -> Self {
        self.answer = Answer::Lines(SchemaGenerator::subschema_for::<T>);
        self
    }
    /// A status alone.
    pub(crate) fn answers_empty(mut self, status: u16) -> Self {
        self.answer = Answer::Empty(status);
        self
    }
    /// 204.
    pub(crate) fn answers_nothing(mut self) -> Self {
        self.answer = Answer::Nothing;
        self
    }

    fn describe(&self, generator: &mut SchemaGenerator) -> Value {
        let mut operation = Map::new();
        operation.insert("summary".to_owned(), json!(self.summary));
        let parameters = self.parameters(generator);
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), json!(parameters));
        }
        match &self.body {
            None => {}
            Some(Body::Json(schema)) => {
                let content = json!({"application/json": {"schema": schema(generator)}});
                operation.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
            }
            Some(Body::Gzip) => {
                let content = json!({"application/gzip": {}});
                operation.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
            }
            Some(Body::Bytes) => {
                let content = json!({"application/octet-stream": {}});
                operation.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
            }
        }
        let (status, answer) = match &self.answer {
            Answer::Nothing => (204, json!({"description": "Done"})),
            Answer::Empty(status) => {
                (*status, json!({"description": micro_api::error::status_text(*status)}))
            }
            Answer::Json(status, schema) => {
                let content = json!({"application/json": {"schema": schema(generator)}});
                (*status, json!({"description": micro_api::error::status_text(*status), "content": content}))
            }
            Answer::Bytes => {
                (200, json!({"description": "The bytes", "content": {"application/octet-stream": {}}}))
            }
            Answer::Lines(schema) => {
                let content = json!({"application/x-ndjson": {"schema": schema(generator)}});
                (200, json!({"description": "One object a line", "content": content}))
            }
        };
        let error = generator.subschema_for::<micro_api::Error>();
        let default = json!({
            "description": "What went wrong",
            "content": {"application/json": {"schema": error}},
        });
        operation.insert("responses".to_owned(), json!({status.to_string(): answer, "default": default}));
        Value::Object(operation)
    }

    /// Path parameters from the path, query parameters from the fields of their type.
    fn parameters(&self, generator: &mut SchemaGenerator) -> Vec<Value> {
        let in_path = self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let mut parameters: Vec<Value> = in_path
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
            .collect();
        let Some(schema) = self.parameters else { return parameters };
        let schema = schema(generator);
        let fields = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        for (name, mut schema) in fields {
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let mut parameter = json!({"name": name, "in": "query", "schema": schema});
            if let (Some(description), Some(parameter)) = (description, parameter.as_object_mut()) {
                parameter.insert("description".to_owned(), description);
            }
            parameters.push(parameter);
        }
        parameters
    }
}

/// The description as the route table and the types have it now.
pub fn generate() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in endpoints() {
        let operation = endpoint.describe(&mut generator);
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(endpoint.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Micro control API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Runs, updates and looks at services. Times are Unix milliseconds. Errors are Micro's error object.",
        },
        "paths": paths,
        "components": {"schemas": generator.take_definitions(true)},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_the_routes_and_types_say() {
        let mut generated = serde_json::to_string_pretty(&generate()).unwrap();
        generated.push('\n');
        if std::env::var_os("MICRO_UPDATE").is_some() {
            let package = std::env::var("CARGO_MANIFEST_DIR").unwrap();
            std::fs::write(package + "/openapi.json", &generated).unwrap();
            return;
        }
        assert!(generated == FILE, "openapi.json is old: run this test once with MICRO_UPDATE=1");
    }

    #[test]
    fn every_reference_resolves() {
        let document = generate();
        let text = document.to_string();
        let mut references = 0;
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
            references += 1;
        }
        assert!(references > 10);
    }
}
