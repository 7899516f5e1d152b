//! The batch that the host lends to a guest: the interface `batches` of the contract.
//!
//! In: the calls of a guest about the pushes of one batch, during one call of the guest. Out: facts and bytes, copied
//! only when the guest reads them. An index outside the batch is an error of the guest and traps. This module never
//! parses a push; `view` does.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use barnabas_otlp::merge;
use wasmtime::Error;
use wasmtime::component::Resource;

use super::HostState;
use crate::contract::CONTENT_TYPE;
use crate::contract::wit::kafka_telemetry::receiver::batches::{self, GoneClient, Host, HostBatch, Label};
use barnabas_pipeline::decode::{NormaliseConfig, Payload, PushTemporality};
use barnabas_pipeline::dispatch::Delivery;
use barnabas_pipeline::push::{DepartedClient, DepartureReason, address};

/// The names of the facts in labels and in `batch.fact`.
pub const FACTS: [&str; 11] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
    "principal",
    "node_id",
    "listener",
    "ingress",
    "push_id",
];

/// The maximum size of a request that the host builds for a guest. The labels are written once for each distinct
/// resource, and a malicious push may have very many resources.
const MAX_REQUEST_BYTES: usize = 64 << 20;
/// The maximum number of labels of one request. Their cost is quadratic, and the host cannot interrupt this call.
const MAX_LABELS: usize = 2 * FACTS.len();
/// The capacity that is reserved for the labels of one push.
const LABEL_CAPACITY: usize = 256;

/// The resource behind the `batch` handle of a guest, for one call.
#[derive(Clone, Debug)]
pub struct LentBatch {
    /// The pushes.
    pub deliveries: Arc<[Delivery]>,
    /// The clients that are gone.
    pub gone: Arc<[DepartedClient]>,
}

impl LentBatch {
    fn delivery(&self, push: u32) -> wasmtime::Result<&Delivery> {
        let found = usize::try_from(push).ok().and_then(|at| self.deliveries.get(at));
        found.ok_or_else(|| {
            Error::msg(format!("the receiver used the index {push} in a batch of {} pushes", self.deliveries.len()))
        })
    }

    /// Returns a copy of the batch with normalised pushes, and the number of pushes that could not be normalised and
    /// are unchanged. Only the copy has the normalised payloads. It yields to other tasks after each push.
    pub async fn normalised(self, rules: &NormaliseConfig) -> (Self, usize) {
        let (mut deliveries, mut unchanged) = (Vec::with_capacity(self.deliveries.len()), 0);
        for delivery in self.deliveries.iter() {
            let payload = delivery.payload.normalised(rules).await.unwrap_or_else(|_| {
                unchanged += 1;
                delivery.payload.clone()
            });
            deliveries.push(Delivery { payload, attempt: delivery.attempt });
            tokio::task::yield_now().await;
        }
        (Self { deliveries: deliveries.into(), gone: self.gone }, unchanged)
    }

    fn size(&self) -> usize {
        self.deliveries.iter().map(|d| d.payload.bytes().len()).sum()
    }

    /// All pushes as one `ExportMetricsServiceRequest`, with labels.
    pub fn otlp_request(&self, labels: &[Label]) -> Result<Vec<u8>, String> {
        if labels.len() > MAX_LABELS {
            return Err(format!("the request has {} labels; the limit is {MAX_LABELS}", labels.len()));
        }
        if let Some(label) = labels.iter().find(|l| !FACTS.contains(&l.fact.as_str())) {
            return Err(format!("unknown fact `{}`; the known facts are {}", label.fact, FACTS.join(", ")));
        }
        if labels.is_empty() {
            return Ok(self.concatenated());
        }
        let mut out = Vec::with_capacity(self.size() + self.deliveries.len() * LABEL_CAPACITY);
        for delivery in self.deliveries.iter() {
            append(&mut out, &delivery.payload, labels)?;
        }
        Ok(out)
    }

    fn concatenated(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size());
        for delivery in self.deliveries.iter() {
            out.extend_from_slice(delivery.payload.bytes());
        }
        out
    }
}

fn append(out: &mut Vec<u8>, payload: &Payload, labels: &[Label]) -> Result<(), String> {
    let facts: Vec<_> = labels.iter().map(|label| fact(payload, &label.fact)).collect();
    let labels: Vec<_> = labels
        .iter()
        .zip(&facts)
        .filter_map(|(label, fact)| {
            let (attribute, when_absent) = (label.attribute.as_str(), label.when_absent);
            Some(merge::ResourceLabel { attribute, value: fact.as_deref()?, when_absent })
        })
        .collect();
    merge::append_within(out, payload.bytes(), &labels, MAX_REQUEST_BYTES).map_err(|oversize| oversize.to_string())
}

/// The fact with this name as text; [`FACTS`] has the names.
pub fn fact<'a>(payload: &'a Payload, name: &str) -> Option<Cow<'a, str>> {
    let client = payload.client();
    let borrowed = |text: &'a Option<Arc<str>>| text.as_deref().map(Cow::Borrowed);
    match name {
        "client_instance_id" => client.instance_id.map(|id| id.to_string().into()),
        "client_id" => borrowed(&client.client_id),
        "client_software_name" => borrowed(&client.software_name),
        "client_software_version" => borrowed(&client.software_version),
        "client_source_address" => client.source.map(|at| address::format(at.ip()).into()),
        "client_source_port" => client.source.map(|at| at.port().to_string().into()),
        "principal" => borrowed(&client.principal),
        "node_id" => payload.node_id().map(|id| id.to_string().into()),
        "listener" => borrowed(&client.listener),
        "ingress" => Some(payload.ingress().as_str().into()),
        "push_id" => Some(payload.id().to_string().into()),
        _ => None,
    }
}

fn unix_nanos(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).ok().and_then(|d| u64::try_from(d.as_nanos()).ok()).unwrap_or(0)
}

fn gone(departed: &DepartedClient) -> GoneClient {
    GoneClient {
        client_instance_id: departed.client.instance_id.map(|id| id.to_string()).unwrap_or_default(),
        client_id: departed.client.client_id.as_deref().map(str::to_owned),
        reason: match departed.reason {
            DepartureReason::Terminated => batches::GoneReason::Terminated,
            DepartureReason::Disconnected => batches::GoneReason::Disconnected,
            DepartureReason::Expired => batches::GoneReason::Expired,
        },
        at_unix_nanos: unix_nanos(departed.at),
    }
}

type Lent = Resource<LentBatch>;

impl HostState {
    pub(super) fn lent(&self, batch: &Lent) -> wasmtime::Result<&LentBatch> {
        Ok(self.table.get(batch)?)
    }

    pub(super) fn push(&self, batch: &Lent, push: u32) -> wasmtime::Result<&Payload> {
        Ok(&self.lent(batch)?.delivery(push)?.payload)
    }

    fn fact_text(&self, batch: &Lent, push: u32, name: &str) -> wasmtime::Result<Option<String>> {
        Ok(fact(self.push(batch, push)?, name).map(Cow::into_owned))
    }
}

impl Host for HostState {}

impl HostBatch for HostState {
    fn len(&mut self, batch: Lent) -> wasmtime::Result<u32> {
        Ok(u32::try_from(self.lent(&batch)?.deliveries.len())?)
    }

    fn size(&mut self, batch: Lent) -> wasmtime::Result<u64> {
        Ok(self.lent(&batch)?.size() as u64)
    }

    fn bytes(&mut self, batch: Lent, push: u32) -> wasmtime::Result<Vec<u8>> {
        Ok(self.push(&batch, push)?.bytes().to_vec())
    }

    fn otlp_request(&mut self, batch: Lent, labels: Vec<Label>) -> wasmtime::Result<Result<Vec<u8>, String>> {
        Ok(self.lent(&batch)?.otlp_request(&labels))
    }

    fn client_instance_id(&mut self, batch: Lent, push: u32) -> wasmtime::Result<Option<String>> {
        self.fact_text(&batch, push, "client_instance_id")
    }

    fn client_id(&mut self, batch: Lent, push: u32) -> wasmtime::Result<Option<String>> {
        self.fact_text(&batch, push, "client_id")
    }

    fn software_name(&mut self, batch: Lent, push: u32) -> wasmtime::Result<Option<String>> {
        self.fact_text(&batch, push, "client_software_name")
    }

    fn software_version(&mut self, batch: Lent, push: u32) -> wasmtime::Result<Option<String>> {
        self.fact_text(&batch, push, "client_software_version")
    }

    fn source_address(&mut self, batch: Lent, push: u32) -> wasmtime::Result<Option<String>> {
        self.fact_text(&batch, push, "client_source_address")
    }

    fn source_port(&mut self, batch: Lent, push: u32) -> wasmtime::Result<Option<u16>> {
        Ok(self.push(&batch, push)?.client().source.map(|at| at.port()))
    }

    fn principal(&mut self, batch: Lent, push: u32) -> wasmtime::Result<Option<String>> {
        self.fact_text(&batch, push, "principal")
    }

    fn push_id(&mut self, batch: Lent, push: u32) -> wasmtime::Result<(u64, u64)> {
        let id = self.push(&batch, push)?.id().0;
        Ok(((id >> 64) as u64, id as u64))
    }

    fn attempt(&mut self, batch: Lent, push: u32) -> wasmtime::Result<u32> {
        Ok(self.lent(&batch)?.delivery(push)?.attempt)
    }

    fn ingress(&mut self, batch: Lent, push: u32) -> wasmtime::Result<String> {
        Ok(self.push(&batch, push)?.ingress().as_str().into())
    }

    fn terminating(&mut self, batch: Lent, push: u32) -> wasmtime::Result<bool> {
        Ok(self.push(&batch, push)?.terminating())
    }

    fn content_type(&mut self, batch: Lent, push: u32) -> wasmtime::Result<String> {
        self.push(&batch, push)?;
        Ok(CONTENT_TYPE.into())
    }

    fn temporality(&mut self, batch: Lent, push: u32) -> wasmtime::Result<batches::Temporality> {
        Ok(match self.push(&batch, push)?.temporality() {
            PushTemporality::None => batches::Temporality::None,
            PushTemporality::Cumulative => batches::Temporality::Cumulative,
            PushTemporality::Delta => batches::Temporality::Delta,
            PushTemporality::Mixed => batches::Temporality::Mixed,
        })
    }

    fn points(&mut self, batch: Lent, push: u32) -> wasmtime::Result<u32> {
        Ok(self.push(&batch, push)?.points())
    }

    fn push_interval_ms(&mut self, batch: Lent, push: u32) -> wasmtime::Result<Option<u32>> {
        let interval = self.push(&batch, push)?.push_interval();
        Ok(interval.map(|i| u32::try_from(i.as_millis()).unwrap_or(u32::MAX)))
    }

    fn received_at_unix_nanos(&mut self, batch: Lent, push: u32) -> wasmtime::Result<u64> {
        Ok(unix_nanos(self.push(&batch, push)?.received_at()))
    }

    fn node_id(&mut self, batch: Lent, push: u32) -> wasmtime::Result<Option<i32>> {
        Ok(self.push(&batch, push)?.node_id())
    }

    fn trace_parent(&mut self, batch: Lent, push: u32) -> wasmtime::Result<Option<String>> {
        Ok(self.push(&batch, push)?.trace_parent().map(str::to_owned))
    }

    fn fact(&mut self, batch: Lent, push: u32, name: String) -> wasmtime::Result<Option<String>> {
        self.fact_text(&batch, push, &name)
    }

    fn gone(&mut self, batch: Lent) -> wasmtime::Result<Vec<GoneClient>> {
        Ok(self.lent(&batch)?.gone.iter().map(gone).collect())
    }

    fn drop(&mut self, _: Lent) -> wasmtime::Result<()> {
        // A guest only borrows a batch, so it cannot drop it. The host deletes the entry after the call.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use barnabas_pipeline::admission::Admitted;
    use barnabas_pipeline::decode::{Decoded, Decoder};

    fn request_with_labels(labels: usize) -> Result<Vec<u8>, String> {
        let label = Label { attribute: "a".into(), fact: "node_id".into(), when_absent: true };
        let empty = LentBatch { deliveries: Arc::default(), gone: Arc::default() };
        empty.otlp_request(&vec![label; labels])
    }

    #[test]
    fn label_cap_obeyed() {
        assert_eq!(request_with_labels(MAX_LABELS), Ok(Vec::new()));
    }

    #[test]
    fn label_cap_violated() {
        assert!(request_with_labels(MAX_LABELS + 1).unwrap_err().contains("the limit is 22"));
    }

    fn lent_batch(pushes: &[&[u8]]) -> LentBatch {
        let payload = |bytes: &&[u8]| {
            let push = barnabas_pipeline::push::sample::from_bytes(bytes.to_vec().into());
            match Decoder::default().decode(Admitted::declared(push).unwrap()).unwrap() {
                Decoded::Payload(payload) => Delivery { payload: Arc::new(payload), attempt: 3 },
                Decoded::Empty => unreachable!("the push has bytes"),
            }
        };
        LentBatch { deliveries: pushes.iter().map(payload).collect(), gone: Arc::default() }
    }

    #[tokio::test]
    async fn every_accessor_of_a_normalised_push_returns_the_same_data() {
        let recorded = include_bytes!("../../../../tests/vectors/java-3.7-producer-cumulative.none-0.bin");
        let as_sent = lent_batch(&[recorded, recorded]);
        let (batch, left) = as_sent.clone().normalised(&NormaliseConfig::default()).await;
        assert_eq!((left, batch.deliveries.len(), batch.delivery(0).unwrap().attempt), (0, 2, 3));
        let payload = &batch.delivery(1).unwrap().payload;
        assert!(payload.points() < 89, "some were NaN");
        let request = batch.otlp_request(&[]).unwrap();
        assert_eq!(request, [payload.bytes().as_ref(), payload.bytes()].concat());
        assert_eq!(batch.size(), request.len());
        let label = Label { attribute: "l".into(), fact: "client_id".into(), when_absent: false };
        let labelled = barnabas_otlp::walk::check(&batch.otlp_request(&[label]).unwrap()).unwrap();
        assert_eq!((labelled.points, labelled.resources), (2 * payload.points(), 2));
        let view = crate::capability::view::decode(payload.bytes()).unwrap();
        assert_eq!((view.len(), view[0].scopes.len()), (1, 1));
        assert_eq!(as_sent.delivery(0).unwrap().payload.bytes().as_ref(), recorded, "the original batch is unchanged");
    }

    #[tokio::test]
    async fn a_push_that_cannot_be_normalised_is_lent_unchanged_and_counted() {
        // ResourceMetrics { ScopeMetrics { Metric { gauge {}, gauge {} } } }
        let split = b"\x0a\x08\x12\x06\x12\x04\x2a\x00\x2a\x00";
        let (batch, left) = lent_batch(&[split]).normalised(&NormaliseConfig::default()).await;
        assert_eq!((left, batch.delivery(0).unwrap().payload.bytes().as_ref()), (1, &split[..]));
    }
}
