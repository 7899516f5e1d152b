//! One spelling for what Kafka clients say in two, for receivers whose operator wants it.
//!
//! In: a checked payload and the operator's rules. Out: the same push as another payload, whose bytes passed the check
//! again; else why it stays as it is. Java's spelling is the one that all get (KIP-714's own): librdkafka's point label
//! `node.id` with an integer becomes `node_id` with `node-1`, its resource attribute `member_id` becomes
//! `group_member_id`; gauge points that are NaN are left out; a standard metric has the catalogue's description and unit,
//! every other metric has none; equal resources, scopes and metrics stand once. Made once
//! for all receivers that are lent it at the same time, and held by their batches alone: what waits in a queue is the
//! push as sent, and one that is lent again is rewritten again. Bounded by [`tidy::MAX_PARTS`] and by what a push may
//! be. Never on the way of a request, never for a push that nobody wants so, never holds up a thread.

use std::sync::{Arc, LazyLock, OnceLock, Weak};

use barnabas_otlp::normalise::{self, MetricDescription, NormaliseRules, NumberedLabel};
use barnabas_otlp::walk;
use bytes::Bytes;
use regex::Regex;
use tokio::sync::Mutex;

use super::{DecodeConfig, Payload};
use crate::catalogue::{STANDARD_METRICS, StandardMetric};
use crate::push::Ingress;

/// Most patterns of client ids.
const MAX_PATTERNS: usize = 64;

const RESOURCE_KEYS: [(&str, &str); 1] = [("member_id", "group_member_id")];
const LABELS: [NumberedLabel<'static>; 1] = [NumberedLabel { from: "node.id", to: "node_id", prefix: "node-" }];
/// librdkafka's admin clients send a producer's metrics, and nothing on the wire tells them from one.
const ADMIN_PREFIXES: [(&str, &str); 1] = [("org.apache.kafka.producer.", "org.apache.kafka.admin.client.")];

/// Of the standard metrics. Java sends neither descriptions nor units, librdkafka descriptions of its own and no units:
/// sinks that keep one description a name complain of the difference.
static DESCRIPTIONS: LazyLock<Vec<MetricDescription<'static>>> = LazyLock::new(|| {
    let describe = |metric: &StandardMetric| MetricDescription {
        name: metric.name,
        description: metric.description,
        unit: metric.unit.unwrap_or_default(),
    };
    let mut all: Vec<_> = STANDARD_METRICS.iter().map(describe).collect();
    all.sort_unstable_by_key(|described| described.name);
    all
});

/// What an operator wants normalised.
#[derive(Clone, Debug, Default)]
pub struct NormaliseConfig {
    admin_clients: Vec<Regex>,
}

/// The forms of one push: as any client's, and as an admin client's. Takes no room before one is wanted. Whoever wants
/// one that another is making waits without a thread.
#[derive(Debug, Default)]
pub(super) struct NormalisedForms(OnceLock<Box<[Mutex<NormalisedForm>; 2]>>);

/// What is known of a form. It keeps nobody's bytes: queues count only those that were sent.
#[derive(Debug)]
enum NormalisedForm {
    /// Somebody may still be lent it.
    Cached(Weak<Payload>),
    /// It cannot be made, and why.
    Failed(Arc<str>),
}

impl Default for NormalisedForm {
    fn default() -> Self {
        Self::Cached(Weak::new())
    }
}

impl NormalisedForm {
    fn cached(&self) -> Option<Result<Arc<Payload>, Arc<str>>> {
        match self {
            Self::Cached(form) => form.upgrade().map(Ok),
            Self::Failed(why) => Some(Err(why.clone())),
        }
    }
}

impl NormaliseConfig {
    /// `admin_clients` are regular expressions, each for a whole `client.id`, of clients whose metrics of a producer are
    /// an admin client's. The error names the pattern.
    pub fn new(admin_clients: &[String]) -> Result<Self, String> {
        if admin_clients.len() > MAX_PATTERNS {
            return Err(format!("there are {} patterns; the most is {MAX_PATTERNS}, join them", admin_clients.len()));
        }
        let anchored = |pattern: &String| {
            // Compiled bare first, so that a pattern such as `a)(b` cannot close the anchoring group.
            Regex::new(pattern)
                .and_then(|_| Regex::new(&format!("^(?:{pattern})$")))
                .map_err(|error| format!("the pattern `{pattern}` is not a regular expression: {error}"))
        };
        Ok(Self { admin_clients: admin_clients.iter().map(anchored).collect::<Result<_, _>>()? })
    }

    fn is_admin(&self, payload: &Payload) -> bool {
        let client_id = payload.client.client_id.as_deref();
        client_id.is_some_and(|id| self.admin_clients.iter().any(|pattern| pattern.is_match(id)))
    }
}

impl Payload {
    /// The push as `rules` want it. What came over OTLP is no Kafka client's and stays as it is. The error says why
    /// this one cannot be rewritten; it is then to be lent as it is. It lives for as long as somebody holds it, and
    /// whoever asks meanwhile gets the same.
    pub async fn normalised(self: &Arc<Self>, rules: &NormaliseConfig) -> Result<Arc<Self>, Arc<str>> {
        if self.ingress == Ingress::OtlpHttp {
            return Ok(self.clone());
        }
        let [plain, admin] = &**self.forms.0.get_or_init(Box::default);
        let (form, prefixes) = if rules.is_admin(self) { (admin, &ADMIN_PREFIXES[..]) } else { (plain, &[][..]) };
        let mut form = form.lock().await;
        if let Some(cached) = form.cached() {
            return cached;
        }
        let rewritten = self.rewrite(prefixes);
        *form = match &rewritten {
            Ok(payload) => NormalisedForm::Cached(Arc::downgrade(payload)),
            Err(why) => NormalisedForm::Failed(why.clone()),
        };
        rewritten
    }

    fn rewrite(&self, prefixes: &[(&str, &str)]) -> Result<Arc<Self>, Arc<str>> {
        let rules =
            NormaliseRules { resource_keys: &RESOURCE_KEYS, labels: &LABELS, prefixes, described: Some(&DESCRIPTIONS) };
        // A host whose pushes may be larger has let in one that is; it may not grow.
        let limit = self.bytes.len().max(DecodeConfig::default().max_output);
        let bytes = normalise::normalise(&self.bytes, &rules, limit).map_err(|why| Arc::from(why.to_string()))?;
        let summary = walk::check(&bytes).map_err(|why| Arc::from(why.to_string()))?;
        Ok(Arc::new(Self {
            client: self.client.clone(),
            trace_parent: self.trace_parent.clone(),
            bytes: Bytes::from(bytes),
            points: summary.points,
            temporality: summary.temporality,
            forms: NormalisedForms::default(),
            ..*self
        }))
    }
}

#[cfg(test)]
mod tests;
