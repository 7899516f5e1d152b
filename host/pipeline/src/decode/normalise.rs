//! Normalises what Kafka clients spell in two ways, for receivers whose operator enables it.
//!
//! In: a checked payload and the operator's rules. Out: the same push as another payload, whose bytes passed the check
//! again; otherwise the reason why it stays unchanged. The result has Java's spelling (KIP-714's own): librdkafka's
//! point label `node.id` with an integer becomes `node_id` with `node-1`, and its resource attribute `member_id`
//! becomes `group_member_id`. Gauge points that are NaN are omitted. A standard metric has the catalogue's description
//! and unit, every other metric has none. Equal resources, scopes and metrics are merged.
//!
//! The result is computed once for all receivers that have the push leased at the same time, and only their batches
//! keep it alive: a queue holds the push as sent, and a push that is leased again is normalised again. Bounded: by
//! [`normalise::MAX_PARTS`] and by the maximum size of a push. Never: runs while a request is handled, for a push that no
//! receiver wants normalised, or blocks a thread while waiting.

use std::sync::{Arc, LazyLock, OnceLock, Weak};

use barnabas_otlp::normalise::{self, MetricDescription, NormaliseRules, NumberedLabel};
use barnabas_otlp::walk;
use bytes::Bytes;
use regex::Regex;
use tokio::sync::Mutex;

use super::{DecodeConfig, Payload};
use crate::catalogue::{STANDARD_METRICS, StandardMetric};
use crate::push::Ingress;

/// The most patterns of client ids.
const MAX_PATTERNS: usize = 64;

const RESOURCE_KEYS: [(&str, &str); 1] = [("member_id", "group_member_id")];
const LABELS: [NumberedLabel<'static>; 1] = [NumberedLabel { from: "node.id", to: "node_id", prefix: "node-" }];
/// librdkafka's admin clients send a producer's metrics, and nothing on the wire distinguishes them from a producer.
const ADMIN_PREFIXES: [(&str, &str); 1] = [("org.apache.kafka.producer.", "org.apache.kafka.admin.client.")];

/// Of the standard metrics. Java sends neither descriptions nor units, librdkafka its own descriptions and no units:
/// sinks that keep one description per name complain about the difference.
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

/// What the operator wants normalised.
#[derive(Clone, Debug, Default)]
pub struct NormaliseConfig {
    admin_clients: Vec<Regex>,
}

/// The normalised forms of one push: as any client's, and as an admin client's. Nothing is allocated before a form is
/// requested. A caller that requests a form which is being computed waits without blocking a thread.
#[derive(Debug, Default)]
pub(super) struct NormalisedForms(OnceLock<Box<[Mutex<NormalisedForm>; 2]>>);

/// The state of a form. It keeps no bytes alive, because queues account only for the bytes that were sent.
#[derive(Debug)]
enum NormalisedForm {
    /// Computed; it is available while a batch holds it.
    Cached(Weak<Payload>),
    /// It cannot be computed, with the reason.
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
    /// `admin_clients` are regular expressions, each for a whole `client.id`, of clients whose producer metrics are to
    /// become an admin client's. The error names the pattern.
    pub fn new(admin_clients: &[String]) -> Result<Self, String> {
        if admin_clients.len() > MAX_PATTERNS {
            return Err(format!(
                "there are {} patterns, and the most is {MAX_PATTERNS}; combine some of them",
                admin_clients.len()
            ));
        }
        let anchored = |pattern: &String| {
            // Compiled without anchors first, so that a pattern such as `a)(b` cannot close the anchoring group.
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
    /// The push normalised by `rules`. A push that came by OTLP is not a Kafka client's and stays unchanged. The error
    /// says why this push cannot be normalised; it is then leased unchanged. The result lives for as long as it is
    /// referenced, and callers during that time share it.
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
        // A host that allows larger pushes may have accepted one; normalisation must not enlarge it.
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
