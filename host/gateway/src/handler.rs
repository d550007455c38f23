//! The handlers: how a request becomes a call, and its reply an answer.

pub(crate) mod api;
pub(crate) mod http;
pub(crate) mod rpc;
pub(crate) mod rpc_endpoint;
pub(crate) mod stream;

use micro_runtime::Codec;

/// The codec that a content type means; parameters such as a charset do not matter. Unknown types are JSON, as in Micro.
fn codec_of(content_type: &str) -> Codec {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence {
        "application/protobuf"
        | "application/x-protobuf"
        | "application/proto"
        | "application/grpc"
        | "application/grpc+proto"
        | "application/proto-rpc"
        | "application/octet-stream" => Codec::Protobuf,
        _ => Codec::Json,
    }
}

/// Whether a body is a form's fields.
fn is_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
