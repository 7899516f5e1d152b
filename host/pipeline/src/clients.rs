//! Clients as an operator sees them: which there are, whether each is healthy, and how to fix its problems.
//!
//! In: what admission and the catalogue know of clients. Out: lists and descriptions, with one sentence for each
//! problem. Bounded: by the limit of a query, and a description by what is stored of its client. Never: stores anything
//! or reads a clock.

mod coverage;
mod page;
mod problems;

#[cfg(test)]
mod tests;

use std::time::SystemTime;

use crate::admission::{Admission, ClientSnapshot};
use crate::catalogue::Catalogue;
use crate::push::Client;
use barnabas_base::InstanceId;

pub use coverage::MetricCoverage;
pub use page::{ClientDescription, ClientList, ClientSummary, LastRefusal};

/// How many clients are returned if a query has no limit, and the maximum.
pub const DEFAULT_AND_MAX_LIMIT: (usize, usize) = (100, 10_000);

/// Which clients to return. A criterion that is absent matches every client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFilter {
    /// The most clients to return.
    pub limit: usize,
    /// A part of software name and version with a space between them: `rdkafka`, `java 4.0`.
    pub software: Option<String>,
    /// A part of the `client.id`.
    pub client_id: Option<String>,
    /// The full name of a subscription that matches the client.
    pub subscription: Option<String>,
}

impl Default for ClientFilter {
    fn default() -> Self {
        Self { limit: DEFAULT_AND_MAX_LIMIT.0, software: None, client_id: None, subscription: None }
    }
}

impl ClientFilter {
    fn matches(&self, client: &ClientSnapshot) -> bool {
        let part = |wanted: &Option<String>, text: String| wanted.as_ref().is_none_or(|wanted| text.contains(wanted));
        let subscription = |wanted: &String| client.subscriptions.iter().any(|name| **name == **wanted);
        part(&self.software, software(&client.client))
            && part(&self.client_id, client.client.client_id.as_deref().unwrap_or_default().to_owned())
            && self.subscription.as_ref().is_none_or(subscription)
    }

    fn matches_all(&self) -> bool {
        (&self.software, &self.client_id, &self.subscription) == (&None, &None, &None)
    }
}

/// Name and version, as far as the client sent them.
fn software(client: &Client) -> String {
    let parts = [&client.software_name, &client.software_version].into_iter().flatten();
    parts.map(|part| &**part).collect::<Vec<_>>().join(" ")
}

/// The matching clients, the most recently active first.
pub fn list(admission: &Admission, catalogue: &Catalogue, filter: &ClientFilter, now: SystemTime) -> ClientList {
    let known = admission.counts().instances;
    // All clients are scanned only if there is a criterion, and never under one lock.
    let (matching, shown) = if filter.matches_all() {
        (known, admission.clients(filter.limit))
    } else {
        admission.clients_where(filter.limit, |known| filter.matches(known))
    };
    let summarise = |client: &ClientSnapshot| ClientSummary::new(client, sent_metrics(catalogue, client).as_ref(), now);
    let clients = shown.iter().filter_map(summarise).collect();
    ClientList { known, matching, clients }
}

/// Everything about one client; `None` if it is not known (any more).
pub fn describe(
    admission: &Admission,
    catalogue: &Catalogue,
    id: InstanceId,
    now: SystemTime,
) -> Option<ClientDescription> {
    let known = admission.client(id)?;
    ClientDescription::new(&known, sent_metrics(catalogue, &known).as_ref(), now)
}

fn sent_metrics(catalogue: &Catalogue, known: &ClientSnapshot) -> Option<crate::catalogue::SentMetrics> {
    catalogue.sent_metrics(known.client.instance_id?)
}
