//! What one instance sends, so that a candidate can be compared with the generation that serves.
//!
//! In: requests on their way out, or captured. Out: [`Sent`], by call. Bounded in requests a call and in bytes a body.
//! Sees nothing unless somebody compares.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Request};

use crate::decode;

/// Most requests seen in one call.
const MAX_REQUESTS: usize = 64;
/// Most bytes of one body that are looked into; a longer one is only measured.
const MAX_BODY: usize = 1 << 20;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Scheme, authority and path.
    pub destination: String,
    /// Of its body.
    pub bytes: u64,
    /// Data points in it, where it is OTLP in protobuf.
    pub points: Option<u64>,
}

/// The requests of one instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness(Arc<Mutex<Vec<Seen>>>);

#[derive(Debug)]
struct Seen {
    destination: String,
    protobuf: bool,
    gzip: bool,
    body: Arc<Mutex<Tee>>,
}

/// A copy of a body's beginning.
#[derive(Debug, Default)]
pub(super) struct Tee {
    bytes: u64,
    kept: BytesMut,
}

impl Tee {
    pub(super) fn data(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        if self.kept.len() + data.len() <= MAX_BODY {
            self.kept.extend_from_slice(data);
        }
    }

    /// What was kept, and how many bytes there were.
    pub(super) fn kept(&self) -> (Bytes, usize) {
        (Bytes::copy_from_slice(&self.kept), usize::try_from(self.bytes).unwrap_or(usize::MAX))
    }
}

impl Witness {
    /// Notes a request; its body is to be told to the tee. None where there were too many.
    pub(super) fn see<T>(&self, request: &Request<T>) -> Option<Arc<Mutex<Tee>>> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_REQUESTS {
            return None;
        }
        let (uri, headers) = (request.uri(), request.headers());
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let body = Arc::<Mutex<Tee>>::default();
        seen.push(Seen {
            destination: format!("{}://{authority}{}", uri.scheme_str().unwrap_or_default(), uri.path()),
            protobuf: is(headers, CONTENT_TYPE, "application/x-protobuf"),
            gzip: is(headers, CONTENT_ENCODING, "gzip"),
            body: body.clone(),
        });
        Some(body)
    }

    /// What was sent since this was last asked.
    pub(crate) fn take(&self) -> Vec<Sent> {
        let seen = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        seen.into_iter().map(Seen::sent).collect()
    }
}

fn is(headers: &HeaderMap, name: http::HeaderName, value: &str) -> bool {
    headers.get(name).is_some_and(|given| given.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
}

impl Seen {
    fn sent(self) -> Sent {
        let tee = std::mem::take(&mut *self.body.lock().unwrap_or_else(PoisonError::into_inner));
        let whole = tee.bytes == tee.kept.len() as u64 && self.protobuf;
        let points = whole.then(|| decode::count_points(&tee.kept, self.gzip)).flatten();
        Sent { destination: self.destination, bytes: tee.bytes, points }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::testing::payload;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let builder = Request::post("http://sink:4318/v1/metrics?x=1");
        headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value)).body(()).unwrap()
    }

    #[test]
    fn size_and_points_of_what_was_sent() {
        let witness = Witness::default();
        let body = payload("a", 3);
        let tee = witness.see(&request(&[("content-type", "application/x-protobuf")])).unwrap();
        tee.lock().unwrap().data(body.bytes());
        let tee = witness.see(&request(&[("content-type", "text/plain")])).unwrap();
        tee.lock().unwrap().data(b"hello");
        let destination = "http://sink:4318/v1/metrics".to_owned();
        let first = Sent { destination: destination.clone(), bytes: body.bytes().len() as u64, points: Some(3) };
        assert_eq!(witness.take(), [first, Sent { destination, bytes: 5, points: None }]);
        assert_eq!(witness.take(), [], "asked once");
    }

    #[test]
    fn what_is_too_much_is_measured_and_not_kept() {
        let witness = Witness::default();
        let tee = witness.see(&request(&[("content-type", "application/x-protobuf")])).unwrap();
        tee.lock().unwrap().data(&vec![0; MAX_BODY]);
        tee.lock().unwrap().data(b"x");
        assert!(tee.lock().unwrap().kept.len() <= MAX_BODY);
        let sent = witness.take();
        assert_eq!((sent[0].bytes, sent[0].points), (MAX_BODY as u64 + 1, None));
        let seen = (0..MAX_REQUESTS + 1).filter_map(|_| witness.see(&request(&[]))).count();
        assert_eq!(seen, MAX_REQUESTS);
    }
}
