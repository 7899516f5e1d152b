//! Reads the names of metrics from the bytes.
//!
//! In: a `MetricsData` that [`check`](super::check) accepts. Out: the name of each metric, in order and with duplicates.
//! Bounded by the bytes. Never allocates; on bytes that were not checked it may end early.

use crate::wire::WireFields;

/// Keys of the fields that lead to a name: number above wire type 2.
const RESOURCE_METRICS: u32 = 1 << 3 | 2;
const SCOPE_METRICS: u32 = 2 << 3 | 2;
const METRIC: u32 = 2 << 3 | 2;
const NAME: u32 = 1 << 3 | 2;

/// The names in `bytes`, as prost would decode them: of two `name` fields the last one counts, and a missing name is empty.
/// Names that are not UTF-8, which [`repair`](super::repair) would have replaced, are skipped.
pub fn names(bytes: &[u8]) -> impl Iterator<Item = &str> {
    Names { data: WireFields(bytes), block: WireFields(&[]), scope: WireFields(&[]) }
}

/// The unread rest of each level.
struct Names<'a> {
    data: WireFields<'a>,
    block: WireFields<'a>,
    scope: WireFields<'a>,
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            if let Some(field) = self.scope.next() {
                let name = (field.key == METRIC).then(|| name(field.body)).flatten();
                if name.is_some() {
                    return name;
                }
            } else if let Some(field) = self.block.next() {
                if field.key == SCOPE_METRICS {
                    self.scope = WireFields(field.body);
                }
            } else {
                let field = self.data.next()?;
                if field.key == RESOURCE_METRICS {
                    self.block = WireFields(field.body);
                }
            }
        }
    }
}

fn name(metric: &[u8]) -> Option<&str> {
    let last = WireFields(metric).filter(|field| field.key == NAME).last();
    std::str::from_utf8(last.map_or(&[], |field| field.body)).ok()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1 as reference;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::{arbitrary, walk};

    /// The names according to the reference decoder.
    fn expected(bytes: &[u8]) -> Vec<String> {
        let data = reference::MetricsData::decode(bytes).unwrap();
        let scopes = data.resource_metrics.into_iter().flat_map(|block| block.scope_metrics);
        scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name).collect()
    }

    fn read(bytes: &[u8]) -> Vec<String> {
        names(bytes).map(ToOwned::to_owned).collect()
    }

    proptest! {
        #[test]
        fn names_agree_with_the_reference_decoder(data in arbitrary::metrics_data()) {
            let bytes = data.encode_to_vec();
            prop_assert_eq!(read(&bytes), expected(&bytes));
        }

        #[test]
        fn names_of_damaged_messages_agree_with_prost(
            data in arbitrary::metrics_data(),
            damage in arbitrary::damage(),
        ) {
            let mut bytes = data.encode_to_vec();
            damage.iter().for_each(|damage| damage.inflict(&mut bytes));
            // Any bytes: it returns and does not panic.
            let _ = read(&bytes);
            if walk::check(&bytes).is_ok() {
                walk::repair(&mut bytes);
                prop_assert_eq!(read(&bytes), expected(&bytes));
            }
        }
    }

    #[test]
    fn recorded_names_are_read() {
        let recorded = include_bytes!("../../../tests/vectors/java-3.7-producer-cumulative.none-0.bin");
        assert_eq!((read(recorded).len(), read(recorded)), (89, expected(recorded)));
    }

    #[test]
    fn unusual_encodings_agree_with_prost() {
        let nest = |body: &[u8]| {
            let wrap = |tag: u8, body: &[u8]| [&[tag, body.len() as u8], body].concat();
            wrap(0x0a, &wrap(0x12, &wrap(0x12, body)))
        };
        // Two names; none; an overlong key; after an unknown field.
        for metric in [&b"\x0a\x01a\x0a\x01b"[..], b"\x12\x01d", b"\x8a\x00\x01a", b"\xf8\x01\x05\x0a\x01a", b""] {
            let bytes = nest(metric);
            assert!(walk::check(&bytes).is_ok(), "{metric:02x?}");
            assert_eq!(read(&bytes), expected(&bytes), "{metric:02x?}");
        }
        assert_eq!(read(&nest(b"\x0a\x01\xff")), [""; 0], "not repaired, so skipped");
    }
}
