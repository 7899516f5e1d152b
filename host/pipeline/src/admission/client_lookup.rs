//! Finds or inserts the state of a request's client.
//!
//! In: a request. Out: the state of its client with its TTL renewed; otherwise a refusal, and then nothing is inserted.
//! Patterns are matched without the lock of admission, so that a client with a long id or a configuration with a
//! thousand rules delays no other client. Bounded: if the configuration keeps changing meanwhile, patterns are finally
//! matched under the lock.

use std::sync::{Arc, MutexGuard};

use super::assignment::{Assignment, Assignments};
use super::instance::ClientInstance;
use super::quota::RequestCost;
use super::quota_limiter::explain_full_table;
use super::source::SourceKey;
use super::{Admission, AdmissionRequest, AdmissionState, Refusal};
use crate::push::Client;
use barnabas_base::InstanceId;

/// How often patterns are matched without the lock before they are matched under it.
const MAX_UNLOCKED_TRIES: usize = 3;

/// The state of a client, with the lock that protects it.
pub(super) struct LockedClient<'a> {
    state: MutexGuard<'a, AdmissionState>,
    number: u32,
}

impl LockedClient<'_> {
    /// The configuration that applies to the client.
    pub(super) fn assignments(&self) -> Arc<Assignments> {
        self.state.assignments.clone()
    }

    pub(super) fn instance(&mut self) -> &mut ClientInstance {
        self.state.table.get_mut(self.number).expect("it was found or inserted under this same lock")
    }

    /// One of its pushes was admitted.
    pub(super) fn mark_established(&mut self) {
        self.state.table.mark_established(self.number);
    }
}

/// What the rules assign to a client.
struct MatchedClient {
    assignment: Arc<Assignment>,
    /// Matched against what was captured when the client was first seen, or else against its request.
    for_known_client: bool,
}

/// The state of a client relative to the current configuration.
enum ClientLookup {
    /// Known; the assignment replaces its present one.
    Known(u32, Option<Arc<Assignment>>),
    /// Not known; it is to be inserted with this assignment.
    New(Arc<Assignment>),
    /// These rules are to be matched against it first.
    Unmatched { assignments: Arc<Assignments>, client: Client, for_known_client: bool },
}

impl Admission {
    /// Finds or inserts the client's state and renews its TTL; if the request is over quota, nothing is inserted.
    /// `claimed_id` is the id that the client sent. A push with the correct subscription id is not charged as a new
    /// client: its client was known before, here or on another host.
    pub(super) fn resolve_client<'a>(
        &'a self,
        mut state: MutexGuard<'a, AdmissionState>,
        request: &mut AdmissionRequest<'_>,
        claimed_id: Option<InstanceId>,
        cost: RequestCost,
    ) -> Result<LockedClient<'a>, Refusal> {
        let number = claimed_id.and_then(|id| state.table.find(id));
        let asks = cost.pushes == 0;
        let cost = RequestCost { new_clients: u64::from(number.is_none() && asks), ..cost };
        if let Err(refusal) = state.charge(request, cost) {
            if let Some(number) = number {
                state.record_request(request, number, None);
                LockedClient { state, number }.instance().record_early_refusal(!asks, &refusal);
            }
            return Err(refusal);
        }
        self.find_or_insert(state, request, claimed_id)
    }

    /// Matches patterns until there is an assignment of the current configuration, and inserts the state if there is
    /// none.
    fn find_or_insert<'a>(
        &'a self,
        mut state: MutexGuard<'a, AdmissionState>,
        request: &mut AdmissionRequest<'_>,
        claimed_id: Option<InstanceId>,
    ) -> Result<LockedClient<'a>, Refusal> {
        let mut id = claimed_id.unwrap_or_else(|| state.draw_id());
        let (mut matched, mut tries) = (None, 0);
        let (number, assignment) = loop {
            match state.lookup(request, id, matched.as_ref()) {
                // The id that was drawn was taken while the lock was released.
                ClientLookup::Known(..) if claimed_id.is_none() => (id, matched) = (state.draw_id(), None),
                ClientLookup::Known(number, assignment) => break (number, assignment),
                ClientLookup::New(assignment) => {
                    if request.claimed_subscription.is_some_and(|believed| believed != assignment.subscription_id(id)) {
                        state.charge(request, RequestCost { new_clients: 1, ..RequestCost::default() })?;
                    }
                    break (state.insert_client(request, id, assignment), None);
                }
                ClientLookup::Unmatched { assignments, client, for_known_client } if tries < MAX_UNLOCKED_TRIES => {
                    drop(state);
                    matched = Some(MatchedClient { assignment: assignments.assign(&client), for_known_client });
                    state = self.lock();
                    // The source may have been evicted meanwhile.
                    request.source = state.table.sources.get_or_insert(&SourceKey::for_client(request.client));
                }
                ClientLookup::Unmatched { assignments, client, for_known_client } => {
                    matched = Some(MatchedClient { assignment: assignments.assign(&client), for_known_client });
                }
            }
            tries += 1;
        };
        state.record_request(request, number, assignment);
        Ok(LockedClient { state, number })
    }
}

impl AdmissionState {
    fn lookup(&self, request: &AdmissionRequest<'_>, id: InstanceId, matched: Option<&MatchedClient>) -> ClientLookup {
        let version = self.assignments.version();
        let known = self.table.find(id).and_then(|number| Some((number, self.table.get(number)?)));
        let fresh =
            matched.filter(|fresh| fresh.for_known_client == known.is_some() && fresh.assignment.version == version);
        match (known, fresh) {
            (Some((number, instance)), None) if instance.assignment.version == version => {
                ClientLookup::Known(number, None)
            }
            (Some((number, _)), Some(fresh)) => ClientLookup::Known(number, Some(fresh.assignment.clone())),
            (None, Some(fresh)) => ClientLookup::New(fresh.assignment.clone()),
            (Some((_, instance)), None) => self.unmatched(instance.client(), true),
            (None, None) => self.unmatched(Client { instance_id: Some(id), ..Client::clone(request.client) }, false),
        }
    }

    fn unmatched(&self, client: Client, for_known_client: bool) -> ClientLookup {
        ClientLookup::Unmatched { assignments: self.assignments.clone(), client, for_known_client }
    }

    /// Applies a request to its client and renews its TTL. `assignment` replaces the present one if that is of another
    /// configuration.
    fn record_request(&mut self, request: &AdmissionRequest<'_>, number: u32, assignment: Option<Arc<Assignment>>) {
        let apply = |instance: &mut ClientInstance| instance.apply_request(request.now, assignment);
        self.table.record_request(number, request.source, request.connection, apply);
    }

    pub(super) fn charge(&mut self, request: &AdmissionRequest<'_>, cost: RequestCost) -> Result<(), Refusal> {
        let Some(source) = self.table.sources.get_mut(request.source) else { return Ok(()) };
        let charged = self.quotas.charge(&self.assignments.config().quotas, request, &mut source.meter, cost);
        let crowded = self.table.evicted_recently(request.now);
        charged.map_err(|refusal| if crowded { explain_full_table(refusal) } else { refusal })
    }

    fn insert_client(&mut self, request: &AdmissionRequest<'_>, id: InstanceId, assignment: Arc<Assignment>) -> u32 {
        let client = self.origins.compact(request.client);
        self.table.insert(ClientInstance::new(id, client, assignment, request.now))
    }
}
