use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::Level;

use super::*;
use crate::push::{Client, Ingress};

/// What is written while `act` emits.
fn lines(act: impl FnOnce(&Events)) -> Vec<String> {
    let buffer = LogBuffer::default();
    let writer = buffer.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::DEBUG)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let events = Events::new();
        let _listening = listen(&events);
        act(&events);
    });
    let bytes = buffer.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(|line| line.trim().to_owned()).collect()
}

#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn emit(events: &Events, payload: EventData) {
    events.emit(payload.topic(), || payload);
}

fn refused(code: &'static str) -> EventData {
    let client = Arc::new(Client { client_id: Some("orders".into()), ..Client::default() });
    EventData::PushRefused { ingress: Ingress::Kafka, client, code, reason: "5 MiB".into(), subscribing: false }
}

fn moved(to: LedgerTerm) -> EventData {
    EventData::LedgerMoved {
        slot: "console".into(),
        from: Some(LedgerTerm::Queued),
        to,
        pushes: 3,
        size: 30,
        reason: None,
    }
}

fn crashed(message: &str) -> EventData {
    let (slot, message) = ("console".into(), message.into());
    EventData::PluginCrash { slot, generation: 2, cause: "trap", message, will_restart: true }
}

#[test]
fn a_flood_of_refusals_is_a_line_for_each_code() {
    let lines = lines(|events| {
        for _ in 0..50 {
            emit(events, refused("too_large"));
            emit(events, refused("throttled"));
        }
    });
    let about = |code: &str| lines.iter().filter(|line| line.contains(&format!("code=\"{code}\""))).collect::<Vec<_>>();
    let (large, throttled) = (about("too_large"), about("throttled"));
    // On a machine that stalls, the flood may last longer than the second that one line is for.
    assert!((1..25).contains(&large.len()) && (1..25).contains(&throttled.len()), "{lines:?}");
    assert!(large[0].starts_with("WARN") && large[0].contains("push of client `orders` refused: 5 MiB"), "{large:?}");
    assert!(throttled[0].starts_with("DEBUG"), "what healthy clients run into is no warning: {throttled:?}");
}

#[test]
fn lost_pushes_are_logged_and_moving_ones_are_not() {
    let said = lines(|events| {
        for to in [
            LedgerTerm::Queued,
            LedgerTerm::InFlight,
            LedgerTerm::Delivered,
            LedgerTerm::Shed("queue-full"),
            LedgerTerm::Dropped("expired"),
        ] {
            emit(events, moved(to));
        }
    });
    let [shed, dead] = said.as_slice() else { panic!("{said:?}") };
    assert!(shed.contains("let go") && shed.contains("queue-full") && shed.contains("pushes=3"), "{shed}");
    assert!(dead.contains("dead letters") && dead.contains("expired"), "{dead}");
}

#[test]
fn a_crash_says_what_how_and_what_then() {
    let said = lines(|events| emit(events, crashed("panicked at src/lib.rs:9:\nindex out of bounds")));
    let [line] = said.as_slice() else { panic!("one line, whatever the guest wrote: {said:?}") };
    for word in ["ERROR", "console", "trap", r"src/lib.rs:9:\nindex", "a fresh one takes its place"] {
        assert!(line.contains(word), "`{line}` should say `{word}`");
    }
}

#[test]
fn what_operators_must_fix_is_a_warning() {
    let slot = || Arc::from("otlp");
    let said = lines(|events| {
        emit(events, EventData::PluginMisconfigured { slot: slot(), reason: "401 from the sink".into() });
        emit(events, EventData::PluginRejectedPoints { slot: slot(), points: 7, reason: "too old".into() });
        emit(events, EventData::PluginPhase { slot: slot(), generation: 1, phase: "serving", reason: String::new() });
    });
    let [misconfigured, rejected, phase] = said.as_slice() else { panic!("{said:?}") };
    assert!(misconfigured.starts_with("WARN") && misconfigured.contains("401 from the sink"), "{misconfigured}");
    assert!(rejected.starts_with("WARN") && rejected.contains("points=7"), "{rejected}");
    assert!(phase.starts_with("INFO") && phase.contains("serving"), "{phase}");
}

#[test]
fn a_failed_batch_is_logged_with_its_reason() {
    let said = lines(|events| {
        let (slot, reason) = (Arc::from("influx"), Some("the sink answered 422: unit\u{202e} missing".to_owned()));
        let EventData::LedgerMoved { from, to, pushes, size, .. } = moved(LedgerTerm::Dropped("rejected")) else {
            panic!("it moves");
        };
        let dead = EventData::LedgerMoved { slot: Arc::clone(&slot), from, to, pushes, size, reason: reason.clone() };
        emit(events, dead);
        emit(events, batch_unavailable(slot, reason));
        emit(events, batch_unavailable("silent".into(), None));
    });
    let [dead, unavailable, silent] = said.as_slice() else { panic!("{said:?}") };
    let why = r"the sink answered 422: unit\u{202e} missing";
    assert!(dead.starts_with(&format!("WARN pushes were given up as dead letters: {why} ")), "{dead}");
    let again = "WARN a batch was not taken and will be offered again";
    assert!(unavailable.starts_with(&format!("{again}: {why} ")), "{unavailable}");
    assert!(silent.starts_with(&format!("{again}: it gave no reason ")), "{silent}");
}

fn batch_unavailable(slot: Arc<str>, reason: Option<String>) -> EventData {
    EventData::BatchEnd {
        slot,
        generation: 1,
        pushes: 1,
        points: 1,
        size: 1,
        queue_wait: Duration::ZERO,
        duration: Duration::ZERO,
        cpu: Duration::ZERO,
        outcome: "unavailable",
        reason,
    }
}

#[test]
fn exhausted_egress_requests_are_a_line_with_the_remedy() {
    let busy = |unread| EventData::EgressBusy { slot: "js".into(), cap: 16, unread };
    let said = lines(|events| (0..100).for_each(|_| emit(events, busy(12))));
    let [line] = said.as_slice() else { panic!("once a minute: {said:?}") };
    for word in ["WARN", "plugin=js", "16 requests are under way", "does not finish 12 of them", "`limits.requests`"] {
        assert!(line.contains(word), "`{line}` should say `{word}`");
    }
    let said = lines(|events| emit(events, busy(0)));
    assert!(said[0].contains("their destinations do not answer"), "{said:?}");
}

#[test]
fn an_instance_that_is_replaced_is_a_line_with_the_remedy() {
    let replaced = EventData::PluginReplaced { slot: "js".into(), generation: 2, handles: 600 };
    let said = lines(|events| (0..100).for_each(|_| emit(events, replaced.clone())));
    let [line] = said.as_slice() else { panic!("once a minute: {said:?}") };
    for word in ["WARN", "plugin=js", "kept 600 handles", "at most 512", "drop answers"] {
        assert!(line.contains(word), "`{line}` should say `{word}`");
    }
}

#[test]
fn a_push_that_is_too_large_is_logged_with_the_remedy() {
    let lines = lines(|events| emit(events, refused("too_large")));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("limits.push-bytes") && lines[0].contains("5 MiB"), "{lines:?}");
}
