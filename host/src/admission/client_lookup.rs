//! How a request comes to its client's state.
//!
//! In: a request. Out: the state of its client, found or made, its TTL re-armed; else a refusal, with nothing made.
//! Patterns are tried without the room's lock, so a client with a long id and a room with a thousand rules make nobody
//! else wait. Bounded: a configuration that changes again and again meanwhile is read under the lock in the end.

use std::sync::{Arc, MutexGuard};

use super::assignment::{Assignment, Assignments};
use super::instance::ClientInstance;
use super::quota::RequestCost;
use super::quota_limiter::explain_full_table;
use super::source::SourceKey;
use super::{Admission, AdmissionRequest, AdmissionState, Refusal};
use crate::push::{Client, InstanceId};

/// How often patterns are tried without the lock before they are tried under it.
const MAX_UNLOCKED_TRIES: usize = 3;

/// A client's state, with the lock that it is under.
pub(super) struct LockedClient<'a> {
    state: MutexGuard<'a, AdmissionState>,
    number: u32,
}

impl LockedClient<'_> {
    /// The configuration by which it is judged.
    pub(super) fn assignments(&self) -> Arc<Assignments> {
        self.state.assignments.clone()
    }

    pub(super) fn instance(&mut self) -> &mut ClientInstance {
        self.state.table.get_mut(self.number).expect("it was found or made under this same lock")
    }

    /// A push of it was let pass.
    pub(super) fn mark_established(&mut self) {
        self.state.table.mark_established(self.number);
    }
}

/// What the rules say of a client.
struct MatchedClient {
    assignment: Arc<Assignment>,
    /// By what was captured when it was first seen, else by what its request tells.
    for_known_client: bool,
}

/// How a client stands with the configuration that holds.
enum ClientLookup {
    /// Known, and told this from now on, if it is something new.
    Known(u32, Option<Arc<Assignment>>),
    /// Not known, and to be told this.
    New(Arc<Assignment>),
    /// These rules are to be held against it first.
    Unmatched { assignments: Arc<Assignments>, client: Client, for_known_client: bool },
}

impl Admission {
    /// The client's state, found or made, with its TTL re-armed; unless that is over quota, when nothing is made. `own`
    /// is the id that the client has. A push whose subscription id is right makes a state for nothing: its client was
    /// known before, here or on another host.
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

    /// Tries patterns until there is an answer of the configuration that holds, and makes the state if there is none.
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
                // Somebody took the id that was drawn while the lock was let go.
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
                    // It may have been forgotten meanwhile.
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

    /// A request for it came: re-arms its TTL. `answer` is what it is told from now on, if that is of another
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
