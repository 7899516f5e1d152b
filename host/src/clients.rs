//! Clients as an operator sees them: who, how each fares, and what to do about it.
//!
//! In: what admission knows of clients and the catalogue of their metrics. Out: pages, and one sentence for each thing
//! that is wrong. Bounded by the limit of a question, and a description by what is kept of its client. Only looks; keeps
//! nothing and reads no clock.

mod coverage;
mod page;
mod trouble;

#[cfg(test)]
mod tests;

use std::time::SystemTime;

use crate::admission::{Admission, Known};
use crate::catalogue::Catalogue;
use crate::push::{Client, InstanceId};

pub use coverage::Coverage;
pub use page::{Brief, Description, LastRefusal, List};

/// How many clients are shown to those who name no number, and at most.
pub const LIMITS: (usize, usize) = (100, 10_000);

/// Which clients are meant. What is not said fits all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// At most so many are shown.
    pub limit: usize,
    /// A part of software name and version with a space between: `rdkafka`, `java 4.0`.
    pub software: Option<String>,
    /// A part of the `client.id`.
    pub client_id: Option<String>,
    /// The name of a subscription that matches it.
    pub subscription: Option<String>,
}

impl Default for Filter {
    fn default() -> Self {
        Self { limit: LIMITS.0, software: None, client_id: None, subscription: None }
    }
}

impl Filter {
    fn fits(&self, known: &Known) -> bool {
        let part = |wanted: &Option<String>, text: String| wanted.as_ref().is_none_or(|wanted| text.contains(wanted));
        let subscription = |wanted: &String| known.subscriptions.iter().any(|name| **name == **wanted);
        part(&self.software, software(&known.client))
            && part(&self.client_id, known.client.client_id.as_deref().unwrap_or_default().to_owned())
            && self.subscription.as_ref().is_none_or(subscription)
    }

    fn fits_all(&self) -> bool {
        (&self.software, &self.client_id, &self.subscription) == (&None, &None, &None)
    }
}

/// Name and version, as far as the client told them.
fn software(client: &Client) -> String {
    let parts = [&client.software_name, &client.software_version].into_iter().flatten();
    parts.map(|part| &**part).collect::<Vec<_>>().join(" ")
}

/// The clients that are meant, those heard of last first.
pub fn list(admission: &Admission, catalogue: &Catalogue, filter: &Filter, now: SystemTime) -> List {
    let known = admission.counts().instances;
    // All of them are looked at only where somebody is sought, and never all at once.
    let (matching, shown) = if filter.fits_all() {
        (known, admission.clients(filter.limit))
    } else {
        admission.clients_where(filter.limit, |known| filter.fits(known))
    };
    let brief = |client: &Known| Brief::of(client, seen(catalogue, client).as_ref(), now);
    let clients = shown.iter().filter_map(brief).collect();
    List { known, matching, clients }
}

/// Everything about one client; `None` if it is not known (any more).
pub fn describe(admission: &Admission, catalogue: &Catalogue, id: InstanceId, now: SystemTime) -> Option<Description> {
    let known = admission.client(id)?;
    Description::of(&known, seen(catalogue, &known).as_ref(), now)
}

fn seen(catalogue: &Catalogue, known: &Known) -> Option<crate::catalogue::Seen> {
    catalogue.seen(known.client.instance_id?)
}
