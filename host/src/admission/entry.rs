//! How a request comes to its client's state.
//!
//! In: a request. Out: the state of its client, found or made, its TTL re-armed; else a refusal, with nothing made.
//! Patterns are tried without the room's lock, so a client with a long id and a room with a thousand rules make nobody
//! else wait. Bounded: a configuration that changes again and again meanwhile is read under the lock in the end.

use std::sync::{Arc, MutexGuard};

use super::answer::{Answer, Answers};
use super::gate::for_want_of_room;
use super::instance::Instance;
use super::quota::Cost;
use super::source::Key;
use super::{Admission, Asking, Refusal, State};
use crate::push::{Client, InstanceId};

/// How often patterns are tried without the lock before they are tried under it.
const TRIES: usize = 3;

/// A client's state, with the lock that it is under.
pub(super) struct Entered<'a> {
    state: MutexGuard<'a, State>,
    number: u32,
}

impl Entered<'_> {
    /// The configuration by which it is judged.
    pub(super) fn answers(&self) -> Arc<Answers> {
        self.state.answers.clone()
    }

    pub(super) fn instance(&mut self) -> &mut Instance {
        self.state.table.get_mut(self.number).expect("it was found or made under this same lock")
    }

    /// A push of it was let pass.
    pub(super) fn prove(&mut self) {
        self.state.table.prove(self.number);
    }
}

/// What the rules say of a client.
struct Fresh {
    answer: Arc<Answer>,
    /// By what was captured when it was first seen, else by what its request tells.
    of_known: bool,
}

/// How a client stands with the configuration that holds.
enum Place {
    /// Known, and told this from now on, if it is something new.
    Known(u32, Option<Arc<Answer>>),
    /// Not known, and to be told this.
    New(Arc<Answer>),
    /// These rules are to be held against it first.
    Unanswered { answers: Arc<Answers>, client: Client, of_known: bool },
}

impl Admission {
    /// The client's state, found or made, with its TTL re-armed; unless that is over quota, when nothing is made. `own`
    /// is the id that the client has. A push whose subscription id is right makes a state for nothing: its client was
    /// known before, here or on another host.
    pub(super) fn enter<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        asking: &mut Asking<'_>,
        own: Option<InstanceId>,
        cost: Cost,
    ) -> Result<Entered<'a>, Refusal> {
        let number = own.and_then(|id| state.table.find(id));
        let asks = cost.pushes == 0;
        let cost = Cost { new_clients: u64::from(number.is_none() && asks), ..cost };
        if let Err(refusal) = state.charge(asking, cost) {
            if let Some(number) = number {
                state.touch(asking, number, None);
                Entered { state, number }.instance().turned_away(!asks, &refusal);
            }
            return Err(refusal);
        }
        self.seat(state, asking, own)
    }

    /// Tries patterns until there is an answer of the configuration that holds, and makes the state if there is none.
    fn seat<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        asking: &mut Asking<'_>,
        own: Option<InstanceId>,
    ) -> Result<Entered<'a>, Refusal> {
        let mut id = own.unwrap_or_else(|| state.draw_id());
        let (mut fresh, mut tries) = (None, 0);
        let (number, answer) = loop {
            match state.place(asking, id, fresh.as_ref()) {
                // Somebody took the id that was drawn while the lock was let go.
                Place::Known(..) if own.is_none() => (id, fresh) = (state.draw_id(), None),
                Place::Known(number, answer) => break (number, answer),
                Place::New(answer) => {
                    if asking.believes.is_some_and(|believed| believed != answer.subscription_id(id)) {
                        state.charge(asking, Cost { new_clients: 1, ..Cost::default() })?;
                    }
                    break (state.make(asking, id, answer), None);
                }
                Place::Unanswered { answers, client, of_known } if tries < TRIES => {
                    drop(state);
                    fresh = Some(Fresh { answer: answers.answer(&client), of_known });
                    state = self.lock();
                    // It may have been forgotten meanwhile.
                    asking.source = state.table.sources.touch(&Key::of(asking.client));
                }
                Place::Unanswered { answers, client, of_known } => {
                    fresh = Some(Fresh { answer: answers.answer(&client), of_known });
                }
            }
            tries += 1;
        };
        state.touch(asking, number, answer);
        Ok(Entered { state, number })
    }
}

impl State {
    fn place(&self, asking: &Asking<'_>, id: InstanceId, fresh: Option<&Fresh>) -> Place {
        let version = self.answers.version();
        let known = self.table.find(id).and_then(|number| Some((number, self.table.get(number)?)));
        let fresh = fresh.filter(|fresh| fresh.of_known == known.is_some() && fresh.answer.version == version);
        match (known, fresh) {
            (Some((number, instance)), None) if instance.answer.version == version => Place::Known(number, None),
            (Some((number, _)), Some(fresh)) => Place::Known(number, Some(fresh.answer.clone())),
            (None, Some(fresh)) => Place::New(fresh.answer.clone()),
            (Some((_, instance)), None) => self.unanswered(instance.client(), true),
            (None, None) => self.unanswered(Client { instance_id: Some(id), ..Client::clone(asking.client) }, false),
        }
    }

    fn unanswered(&self, client: Client, of_known: bool) -> Place {
        Place::Unanswered { answers: self.answers.clone(), client, of_known }
    }

    /// A request for it came: re-arms its TTL. `answer` is what it is told from now on, if that is of another
    /// configuration.
    fn touch(&mut self, asking: &Asking<'_>, number: u32, answer: Option<Arc<Answer>>) {
        let request = |instance: &mut Instance| instance.touch(asking.now, answer);
        self.table.touch(number, asking.source, asking.connection, request);
    }

    pub(super) fn charge(&mut self, asking: &Asking<'_>, cost: Cost) -> Result<(), Refusal> {
        let Some(source) = self.table.sources.get_mut(asking.source) else { return Ok(()) };
        let charged = self.gate.charge(&self.answers.config().quotas, asking, &mut source.meter, cost);
        let crowded = self.table.is_crowded(asking.now);
        charged.map_err(|refusal| if crowded { for_want_of_room(refusal) } else { refusal })
    }

    fn make(&mut self, asking: &Asking<'_>, id: InstanceId, answer: Arc<Answer>) -> u32 {
        let client = self.origins.compact(asking.client);
        self.table.insert(Instance::new(id, client, answer, asking.now))
    }
}
