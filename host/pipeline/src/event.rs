//! The internal event type: {id, type, time, data}, built only if there is a listener for it.
//!
//! Emitters do not know the listeners. Names and data follow KafkaJS' instrumentation events. Listeners are called in
//! place, on the emitting thread: they count, copy or write, and never wait.

mod data;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::SystemTime;

pub use data::{EventData, LedgerTerm, Topic};

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Ascends by one per event built; a gap in the ids that a listener stored shows that it dropped some.
    pub id: u64,
    /// When it happened.
    pub time: SystemTime,
    /// What happened, with its facts.
    pub data: EventData,
}

impl Event {
    /// The type, for example `push.accepted`.
    pub fn kind(&self) -> &'static str {
        self.data.topic().as_str()
    }
}

type Callback = dyn Fn(&Event) + Send + Sync;

struct EventListener {
    mask: u32,
    call: Box<Callback>,
}

#[derive(Default)]
struct EventBus {
    interest: AtomicU32,
    next: AtomicU64,
    listeners: RwLock<Vec<Arc<EventListener>>>,
}

/// Handle to the event bus: emit and listen. Cheap to clone.
#[derive(Clone, Default)]
pub struct Events(Arc<EventBus>);

impl Events {
    /// A bus with no listeners.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls the listeners of `topic`. `build` runs only if there is one; its data must be of that topic.
    pub fn emit(&self, topic: Topic, build: impl FnOnce() -> EventData) {
        if self.0.interest.load(Ordering::Relaxed) & topic.bit() == 0 {
            return;
        }
        let data = build();
        debug_assert_eq!(data.topic(), topic);
        let event = Event { id: self.0.next.fetch_add(1, Ordering::Relaxed), time: SystemTime::now(), data };
        let listeners = self.0.listeners.read().unwrap_or_else(PoisonError::into_inner);
        for listener in listeners.iter().filter(|l| l.mask & topic.bit() != 0) {
            (listener.call)(&event);
        }
    }

    /// Calls `call` for every event of these topics until the returned guard is dropped.
    pub fn listen(&self, topics: &[Topic], call: impl Fn(&Event) + Send + Sync + 'static) -> ListenerGuard {
        let mask = topics.iter().fold(0, |mask, topic| mask | topic.bit());
        let listener = Arc::new(EventListener { mask, call: Box::new(call) });
        self.0.edit_listeners(|all| all.push(listener.clone()));
        ListenerGuard { bus: Arc::downgrade(&self.0), listener }
    }
}

impl EventBus {
    fn edit_listeners(&self, edit: impl FnOnce(&mut Vec<Arc<EventListener>>)) {
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        edit(&mut listeners);
        self.interest.store(listeners.iter().fold(0, |mask, l| mask | l.mask), Ordering::Relaxed);
    }
}

/// The registration of a listener; dropping it removes the listener.
pub struct ListenerGuard {
    bus: Weak<EventBus>,
    listener: Arc<EventListener>,
}

impl Drop for ListenerGuard {
    fn drop(&mut self) {
        if let Some(bus) = self.bus.upgrade() {
            bus.edit_listeners(|all| all.retain(|l| !Arc::ptr_eq(l, &self.listener)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn no_event_is_built_without_a_listener() {
        let events = Events::new();
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = calls.clone();
        let listening = events.listen(&[Topic::PushEmpty], move |event| {
            assert_eq!(event.kind(), "push.empty");
            counter.fetch_add(1, Ordering::Relaxed);
        });
        events.emit(Topic::PushUnwanted, || unreachable!("there is no listener"));
        events.emit(Topic::PushEmpty, || EventData::PushEmpty);
        drop(listening);
        events.emit(Topic::PushEmpty, || unreachable!("the listener was removed"));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
