//! The test double of a batch in the host. It has the methods of `batches.batch`, with the same rules.

use barnabas_otlp::merge;
use barnabas_otlp::walk;

use super::TestPush;
use crate::contract::batches::{self as contract, Label, Temporality};
use crate::{Batch, Fact, GoneClient, GoneReason, clock};

/// A batch that a test lends to a receiver. [`batch`](super::batch) and [`gone`](super::gone) create it.
#[derive(Clone, Debug, Default)]
pub struct HostBatch {
    pub(super) pushes: Vec<TestPush>,
    pub(super) gone: Vec<GoneClient>,
}

/// The maximum number of labels for one request, as in the host.
const MAX_LABELS: usize = 2 * Fact::ALL.len();
/// The maximum size of one request with labels in bytes, as in the host.
const MAX_REQUEST: usize = 64 << 20;

impl HostBatch {
    /// Lends the batch, as the host does for one call.
    pub fn lend(&self) -> Batch<'_> {
        Batch::new(self)
    }

    fn push(&self, index: u32) -> &TestPush {
        self.pushes.get(index as usize).expect("an index outside the batch is a trap")
    }

    fn summary(&self, push: u32) -> walk::PushSummary {
        walk::check(&self.push(push).bytes)
            .expect("a host lends only valid OTLP: create the test push from a valid message")
    }
}

/// The methods of the contract, with the signatures of the generated bindings.
#[allow(missing_docs, reason = "documented in `wit/batches.wit` and, for authors, on `Batch` and `Push`")]
impl HostBatch {
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.pushes.len()).expect("a test makes fewer than 2^32 pushes")
    }

    pub(crate) fn size(&self) -> u64 {
        self.pushes.iter().map(|push| push.bytes.len() as u64).sum()
    }

    pub(crate) fn bytes(&self, push: u32) -> Vec<u8> {
        self.push(push).bytes.clone()
    }

    pub(crate) fn otlp_request(&self, labels: &[Label]) -> Result<Vec<u8>, String> {
        if labels.len() > MAX_LABELS {
            return Err(format!("the request has {} labels; the limit is {MAX_LABELS}", labels.len()));
        }
        let mut request = Vec::new();
        for (index, push) in (0..).zip(&self.pushes) {
            let values: Vec<_> = labels.iter().map(|label| self.fact(index, &label.fact)).collect();
            let present = labels.iter().zip(&values).filter_map(|(label, value)| {
                let value = value.as_deref()?;
                Some(merge::ResourceLabel { attribute: &label.attribute, value, when_absent: label.when_absent })
            });
            let limit = if labels.is_empty() { usize::MAX } else { MAX_REQUEST };
            merge::append_within(&mut request, &push.bytes, &present.collect::<Vec<_>>(), limit)
                .map_err(|oversize| oversize.to_string())?;
        }
        Ok(request)
    }

    pub(crate) fn client_instance_id(&self, push: u32) -> Option<String> {
        self.push(push).client_instance_id.clone()
    }

    pub(crate) fn client_id(&self, push: u32) -> Option<String> {
        self.push(push).client_id.clone()
    }

    pub(crate) fn software_name(&self, push: u32) -> Option<String> {
        self.push(push).software_name.clone()
    }

    pub(crate) fn software_version(&self, push: u32) -> Option<String> {
        self.push(push).software_version.clone()
    }

    pub(crate) fn source_address(&self, push: u32) -> Option<String> {
        self.push(push).source_address.clone()
    }

    pub(crate) fn source_port(&self, push: u32) -> Option<u16> {
        self.push(push).source_port
    }

    pub(crate) fn principal(&self, push: u32) -> Option<String> {
        self.push(push).principal.clone()
    }

    pub(crate) fn push_id(&self, push: u32) -> (u64, u64) {
        let id = self.push(push).id;
        ((id >> 64) as u64, id as u64)
    }

    pub(crate) fn attempt(&self, push: u32) -> u32 {
        self.push(push).attempt.max(1)
    }

    pub(crate) fn ingress(&self, push: u32) -> String {
        self.push(push).ingress_name().to_owned()
    }

    pub(crate) fn terminating(&self, push: u32) -> bool {
        self.push(push).terminating
    }

    pub(crate) fn content_type(&self, _: u32) -> String {
        "OTLP".to_owned()
    }

    pub(crate) fn temporality(&self, push: u32) -> Temporality {
        match self.summary(push).temporality {
            walk::PushTemporality::None => Temporality::None,
            walk::PushTemporality::Cumulative => Temporality::Cumulative,
            walk::PushTemporality::Delta => Temporality::Delta,
            walk::PushTemporality::Mixed => Temporality::Mixed,
        }
    }

    pub(crate) fn points(&self, push: u32) -> u32 {
        self.summary(push).points
    }

    pub(crate) fn push_interval_ms(&self, push: u32) -> Option<u32> {
        let interval = self.push(push).push_interval?;
        Some(u32::try_from(interval.as_millis()).unwrap_or(u32::MAX))
    }

    pub(crate) fn received_at_unix_nanos(&self, push: u32) -> u64 {
        self.push(push).received_at.map_or(0, clock::unix_nanos)
    }

    pub(crate) fn node_id(&self, push: u32) -> Option<i32> {
        self.push(push).node_id
    }

    pub(crate) fn trace_parent(&self, push: u32) -> Option<String> {
        self.push(push).trace_parent.clone()
    }

    pub(crate) fn fact(&self, push: u32, name: &str) -> Option<String> {
        let push = self.push(push);
        match name.parse().ok()? {
            Fact::ClientInstanceId => push.client_instance_id.clone(),
            Fact::ClientId => push.client_id.clone(),
            Fact::ClientSoftwareName => push.software_name.clone(),
            Fact::ClientSoftwareVersion => push.software_version.clone(),
            Fact::ClientSourceAddress => push.source_address.clone(),
            Fact::ClientSourcePort => push.source_port.map(|port| port.to_string()),
            Fact::Principal => push.principal.clone(),
            Fact::NodeId => push.node_id.map(|id| id.to_string()),
            Fact::Listener => push.listener.clone(),
            Fact::Ingress => Some(push.ingress_name().to_owned()),
            Fact::PushId => Some(crate::PushId(push.id).to_string()),
        }
    }

    pub(crate) fn gone(&self) -> Vec<contract::GoneClient> {
        let reason = |reason| match reason {
            GoneReason::Terminated => contract::GoneReason::Terminated,
            GoneReason::Disconnected => contract::GoneReason::Disconnected,
            GoneReason::Expired => contract::GoneReason::Expired,
        };
        let gone = self.gone.iter().map(|client| contract::GoneClient {
            client_instance_id: client.client_instance_id.clone(),
            client_id: client.client_id.clone(),
            reason: reason(client.reason),
            at_unix_nanos: clock::unix_nanos(client.at),
        });
        gone.collect()
    }
}
