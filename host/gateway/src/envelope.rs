//! Messages of the Connect protocol's streams: five bytes before each, its flags and its length.
//!
//! The last envelope of an answer has the flag 2 and is JSON: `{}`, or the error, with Micro's own object in it as
//! `micro`. Requests have no last envelope: they end with their body.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use micro_api::Error;
use serde_json::{Value, json};

/// Flags and length.
const HEAD_BYTES: usize = 5;
const COMPRESSED: u8 = 1;
const END: u8 = 2;
/// Most characters of a text from elsewhere that an error passes on.
const TEXT_CHARS_MAX: usize = 1_000;

/// One message on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Envelope {
    Message(Bytes),
    /// The end of an answer, as JSON.
    End(Bytes),
}

/// Why bytes are no envelopes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a compressed message came, and none is agreed upon")]
    Compressed,
    #[error("the flags {0} of a message are unknown")]
    Flags(u8),
    #[error("a message is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body ended inside a message")]
    Cut,
}

impl Malformed {
    pub(crate) fn code(&self) -> u16 {
        match self {
            Self::Compressed => 415,
            Self::TooLarge(_) => 413,
            Self::Flags(_) | Self::Cut => 400,
        }
    }
}

/// Takes envelopes out of the parts of a body.
#[derive(Debug)]
pub(crate) struct Decoder {
    buffer: BytesMut,
    bytes_max: usize,
}

impl Decoder {
    /// Refuses messages of more than `bytes_max` bytes before they are read.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), bytes_max }
    }

    /// A part of the body. It must be taken out again by [`Self::next`] before the next one comes.
    pub(crate) fn push(&mut self, part: &[u8]) {
        self.buffer.extend_from_slice(part);
    }

    /// The next envelope; none while it is not whole.
    pub(crate) fn next(&mut self) -> Result<Option<Envelope>, Malformed> {
        let Some(mut head) = self.buffer.get(..HEAD_BYTES) else { return Ok(None) };
        let (flags, length) = (head.get_u8(), head.get_u32());
        if flags & COMPRESSED != 0 {
            return Err(Malformed::Compressed);
        }
        if flags & !END != 0 {
            return Err(Malformed::Flags(flags));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.bytes_max {
            return Err(Malformed::TooLarge(self.bytes_max));
        }
        if self.buffer.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(HEAD_BYTES);
        let bytes = self.buffer.split_to(length).freeze();
        Ok(Some(if flags & END == 0 { Envelope::Message(bytes) } else { Envelope::End(bytes) }))
    }

    /// No part comes any more.
    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        if self.buffer.is_empty() { Ok(()) } else { Err(Malformed::Cut) }
    }
}

/// A message as it goes over the wire; none above 4 GiB exists.
pub(crate) fn message(bytes: &[u8]) -> Bytes {
    enclose(0, bytes)
}

/// The last envelope of an answer.
pub(crate) fn end(error: Option<&Error>) -> Bytes {
    let object = match error {
        None => json!({}),
        Some(error) => json!({
            "error": { "code": connect_code(error.code), "message": error.detail, "micro": error }
        }),
    };
    enclose(END, object.to_string().as_bytes())
}

fn enclose(flags: u8, bytes: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEAD_BYTES + bytes.len());
    out.put_u8(flags);
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(bytes);
    out.freeze()
}

/// How an answer of the service `id` ended: well, or with an error, Micro's own where it has one.
pub(crate) fn ended(id: &str, end: &[u8]) -> Result<(), Error> {
    let odd = || Error::new(id, 502, format!("{id} runs elsewhere: the end of its answer is no JSON object"));
    let object: Value = serde_json::from_slice(end).map_err(|_| odd())?;
    let error = match object.as_object().ok_or_else(odd)?.get("error") {
        None | Some(Value::Null) => return Ok(()),
        Some(error) => error,
    };
    let cut = |text: &str| text.chars().take(TEXT_CHARS_MAX).collect::<String>();
    let text = |object: &Value, key: &str| object.get(key).and_then(Value::as_str).map(cut);
    let own = error.get("micro").unwrap_or(&Value::Null);
    let code = own.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let code = code.filter(|code| (400..=599).contains(code));
    let code =
        code.unwrap_or_else(|| status_of(error.get("code").and_then(Value::as_str).unwrap_or_default()));
    let detail = text(own, "detail").or_else(|| text(error, "message")).unwrap_or_default();
    let named = text(own, "id").filter(|named| !named.is_empty());
    Err(Error::new(named.unwrap_or_else(|| id.to_owned()), code, detail))
}

/// The HTTP status that Micro uses for a code of Connect's.
fn status_of(code: &str) -> u16 {
    match code {
        "canceled" => 499,
        "invalid_argument" | "failed_precondition" | "out_of_range" => 400,
        "deadline_exceeded" => 408,
        "not_found" => 404,
        "already_exists" | "aborted" => 409,
        "permission_denied" => 403,
        "resource_exhausted" => 429,
        "unimplemented" => 501,
        "unavailable" => 503,
        "unauthenticated" => 401,
        _ => 500,
    }
}

/// Connect's code for an error of Micro.
fn connect_code(status: u16) -> &'static str {
    match status {
        401 => "unauthenticated",
        403 => "permission_denied",
        404 => "not_found",
        408 | 504 => "deadline_exceeded",
        409 => "already_exists",
        412 => "failed_precondition",
        413 | 429 => "resource_exhausted",
        415 | 501 => "unimplemented",
        499 => "canceled",
        500 => "internal",
        502 | 503 => "unavailable",
        400..=498 => "invalid_argument",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(parts: &[&[u8]], bytes_max: usize) -> Result<Vec<Envelope>, Malformed> {
        let (mut decoder, mut all) = (Decoder::new(bytes_max), Vec::new());
        for part in parts {
            decoder.push(part);
            while let Some(envelope) = decoder.next()? {
                all.push(envelope);
            }
        }
        decoder.finish()?;
        Ok(all)
    }

    proptest! {
        #[test]
        fn messages_survive_however_they_are_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            size in 1..16usize,
        ) {
            let mut wire: Vec<u8> = messages.iter().flat_map(|bytes| message(bytes)).collect();
            wire.extend(end(None));
            let parts: Vec<&[u8]> = wire.chunks(size).collect();
            let mut wanted: Vec<_> =
                messages.into_iter().map(|bytes| Envelope::Message(bytes.into())).collect();
            wanted.push(Envelope::End(Bytes::from_static(b"{}")));
            prop_assert_eq!(decode(&parts, 40).unwrap(), wanted);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&[&bytes], 16);
            let _ = ended("x", &bytes);
        }
    }

    #[test]
    fn what_is_no_envelope_is_said() {
        for (wire, wanted) in [
            (&[1, 0, 0, 0, 0][..], Malformed::Compressed),
            (&[3, 0, 0, 0, 0], Malformed::Compressed),
            (&[4, 0, 0, 0, 0], Malformed::Flags(4)),
            (&[0, 0, 0, 0, 9], Malformed::TooLarge(8)),
            (&[0, 255, 255, 255, 255], Malformed::TooLarge(8)),
            (&[0, 0, 0, 0, 2, 1], Malformed::Cut),
            (&[0, 0], Malformed::Cut),
        ] {
            assert_eq!(decode(&[wire], 8), Err(wanted), "{wire:?}");
        }
    }

    #[test]
    fn errors_survive_and_those_of_others_are_understood() {
        for code in [400, 401, 403, 404, 408, 409, 413, 415, 429, 499, 500, 501, 502, 503, 504, 599] {
            let error = Error::new("svc", code, "why");
            let Envelope::End(bytes) = decode(&[&end(Some(&error))], 1_000).unwrap().remove(0) else {
                panic!()
            };
            assert_eq!(ended("other", &bytes), Err(error));
        }
        assert_eq!(ended("x", b"{}"), Ok(()));
        assert_eq!(ended("x", br#"{"metadata":{}}"#), Ok(()));
        let connect = ended("x", br#"{"error":{"code":"not_found","message":"no such room"}}"#).unwrap_err();
        assert_eq!((connect.id.as_str(), connect.code, connect.detail.as_str()), ("x", 404, "no such room"));
        for odd in [&b"[]"[..], b"", b"{"] {
            assert_eq!(ended("x", odd).unwrap_err().code, 502);
        }
        assert_eq!(ended("x", br#"{"error":7}"#).unwrap_err().code, 500);
        for code in ["canceled", "unauthenticated", "unavailable", "deadline_exceeded", "unimplemented"] {
            assert_eq!(connect_code(status_of(code)), code);
        }
    }
}
