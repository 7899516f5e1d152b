//! Records the requests of one instance, to compare a candidate with the serving generation.
//!
//! In: requests that are sent or captured. Out: a [`SentRequest`] for each request of a call. Bounded in requests for
//! each call and in bytes for each body. Records nothing unless a comparison is in progress.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Request};

use barnabas_pipeline::decode;

/// The maximum number of requests that are recorded in one call.
const MAX_REQUESTS: usize = 64;
/// The maximum size of a body that is parsed. Of a larger one only the size is recorded.
const MAX_BODY_BYTES: usize = 1 << 20;

/// A request that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentRequest {
    /// The scheme, authority and path.
    pub destination: String,
    /// The size of the body.
    pub bytes: u64,
    /// The number of data points, if the body is OTLP in protobuf.
    pub points: Option<u64>,
}

/// The recorder of the requests of one instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestRecorder(Arc<Mutex<Vec<ObservedRequest>>>);

#[derive(Debug)]
struct ObservedRequest {
    destination: String,
    protobuf: bool,
    gzip: bool,
    body: Arc<Mutex<BodyTee>>,
}

/// The size of a body, and a copy of its start.
#[derive(Debug, Default)]
pub(super) struct BodyTee {
    bytes: u64,
    prefix: BytesMut,
}

impl BodyTee {
    pub(super) fn push_data(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        if self.prefix.len() + data.len() <= MAX_BODY_BYTES {
            self.prefix.extend_from_slice(data);
        }
    }

    /// The copied bytes, and the size of the whole body.
    pub(super) fn prefix(&self) -> (Bytes, usize) {
        (Bytes::copy_from_slice(&self.prefix), usize::try_from(self.bytes).unwrap_or(usize::MAX))
    }
}

impl RequestRecorder {
    /// Records a request. The caller must pass the bytes of its body to the tee. `None` if there were too many
    /// requests.
    pub(super) fn record<T>(&self, request: &Request<T>) -> Option<Arc<Mutex<BodyTee>>> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_REQUESTS {
            return None;
        }
        let (uri, headers) = (request.uri(), request.headers());
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let body = Arc::<Mutex<BodyTee>>::default();
        seen.push(ObservedRequest {
            destination: format!("{}://{authority}{}", uri.scheme_str().unwrap_or_default(), uri.path()),
            protobuf: header_is(headers, CONTENT_TYPE, "application/x-protobuf"),
            gzip: header_is(headers, CONTENT_ENCODING, "gzip"),
            body: body.clone(),
        });
        Some(body)
    }

    /// Takes the requests that were sent since the last call.
    pub(crate) fn take(&self) -> Vec<SentRequest> {
        let seen = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        seen.into_iter().map(ObservedRequest::into_sent).collect()
    }
}

fn header_is(headers: &HeaderMap, name: http::HeaderName, value: &str) -> bool {
    headers.get(name).is_some_and(|given| given.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
}

impl ObservedRequest {
    fn into_sent(self) -> SentRequest {
        let tee = std::mem::take(&mut *self.body.lock().unwrap_or_else(PoisonError::into_inner));
        let whole = tee.bytes == tee.prefix.len() as u64 && self.protobuf;
        let points = whole.then(|| decode::count_points(&tee.prefix, self.gzip)).flatten();
        SentRequest { destination: self.destination, bytes: tee.bytes, points }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::payload;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let builder = Request::post("http://sink:4318/v1/metrics?x=1");
        headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value)).body(()).unwrap()
    }

    #[test]
    fn size_and_points_of_what_was_sent() {
        let witness = RequestRecorder::default();
        let body = payload("a", 3);
        let tee = witness.record(&request(&[("content-type", "application/x-protobuf")])).unwrap();
        tee.lock().unwrap().push_data(body.bytes());
        let tee = witness.record(&request(&[("content-type", "text/plain")])).unwrap();
        tee.lock().unwrap().push_data(b"hello");
        let destination = "http://sink:4318/v1/metrics".to_owned();
        let first = SentRequest { destination: destination.clone(), bytes: body.bytes().len() as u64, points: Some(3) };
        assert_eq!(witness.take(), [first, SentRequest { destination, bytes: 5, points: None }]);
        assert_eq!(witness.take(), [], "taken only once");
    }

    #[test]
    fn a_body_above_the_cap_is_measured_and_not_copied() {
        let witness = RequestRecorder::default();
        let tee = witness.record(&request(&[("content-type", "application/x-protobuf")])).unwrap();
        tee.lock().unwrap().push_data(&vec![0; MAX_BODY_BYTES]);
        tee.lock().unwrap().push_data(b"x");
        assert!(tee.lock().unwrap().prefix.len() <= MAX_BODY_BYTES);
        let sent = witness.take();
        assert_eq!((sent[0].bytes, sent[0].points), (MAX_BODY_BYTES as u64 + 1, None));
        let seen = (0..MAX_REQUESTS + 1).filter_map(|_| witness.record(&request(&[]))).count();
        assert_eq!(seen, MAX_REQUESTS);
    }
}
