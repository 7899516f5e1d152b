use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::Level;

use super::*;
use crate::push::{Client, WayIn};

/// What is written while `act` emits.
fn lines(act: impl FnOnce(&Events)) -> Vec<String> {
    let written = Written::default();
    let kept = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::DEBUG)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(move || kept.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let events = Events::new();
        let _listening = listen(&events);
        act(&events);
    });
    let bytes = written.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(|line| line.trim().to_owned()).collect()
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn emit(events: &Events, payload: Payload) {
    events.emit(payload.topic(), || payload);
}

fn refused(code: &'static str) -> Payload {
    let client = Arc::new(Client { client_id: Some("orders".into()), ..Client::default() });
    Payload::PushRefused { way_in: WayIn::Kafka, client, code, reason: "5 MiB".into(), subscribing: false }
}

fn moved(to: Term) -> Payload {
    Payload::LedgerMoved { slot: "console".into(), from: Some(Term::Queued), to, pushes: 3, size: 30, reason: None }
}

fn crashed(message: &str) -> Payload {
    let (slot, message) = ("console".into(), message.into());
    Payload::PluginCrash { slot, generation: 2, cause: "trap", message, will_restart: true }
}

#[test]
fn a_flood_of_refusals_is_a_line_for_each_code() {
    let said = lines(|events| {
        for _ in 0..50 {
            emit(events, refused("too_large"));
            emit(events, refused("throttled"));
        }
    });
    let about = |code: &str| said.iter().filter(|line| line.contains(&format!("code=\"{code}\""))).collect::<Vec<_>>();
    let (large, throttled) = (about("too_large"), about("throttled"));
    // On a machine that stalls, the flood may last longer than the second that one line is for.
    assert!((1..25).contains(&large.len()) && (1..25).contains(&throttled.len()), "{said:?}");
    assert!(large[0].starts_with("WARN") && large[0].contains("push of client `orders` refused: 5 MiB"), "{large:?}");
    assert!(throttled[0].starts_with("DEBUG"), "what healthy clients run into is no warning: {throttled:?}");
}

#[test]
fn lost_pushes_are_told_and_moving_ones_are_not() {
    let said = lines(|events| {
        for to in
            [Term::Queued, Term::InFlight, Term::Delivered, Term::Shed("queue-full"), Term::DeadLettered("expired")]
        {
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
fn what_operators_must_mend_is_a_warning() {
    let slot = || Arc::from("otlp");
    let said = lines(|events| {
        emit(events, Payload::PluginMisconfigured { slot: slot(), reason: "401 from the sink".into() });
        emit(events, Payload::PluginRejectedPoints { slot: slot(), points: 7, reason: "too old".into() });
        emit(events, Payload::PluginPhase { slot: slot(), generation: 1, phase: "serving", reason: String::new() });
    });
    let [misconfigured, rejected, phase] = said.as_slice() else { panic!("{said:?}") };
    assert!(misconfigured.starts_with("WARN") && misconfigured.contains("401 from the sink"), "{misconfigured}");
    assert!(rejected.starts_with("WARN") && rejected.contains("points=7"), "{rejected}");
    assert!(phase.starts_with("INFO") && phase.contains("serving"), "{phase}");
}

#[test]
fn what_was_not_taken_says_why() {
    let said = lines(|events| {
        let (slot, reason) = (Arc::from("influx"), Some("the sink answered 422: unit\u{202e} missing".to_owned()));
        let Payload::LedgerMoved { from, to, pushes, size, .. } = moved(Term::DeadLettered("rejected")) else {
            panic!("it moves");
        };
        let dead = Payload::LedgerMoved { slot: Arc::clone(&slot), from, to, pushes, size, reason: reason.clone() };
        emit(events, dead);
        emit(events, not_taken(slot, reason));
        emit(events, not_taken("silent".into(), None));
    });
    let [dead, unavailable, silent] = said.as_slice() else { panic!("{said:?}") };
    let why = r"the sink answered 422: unit\u{202e} missing";
    assert!(dead.starts_with(&format!("WARN pushes were given up as dead letters: {why} ")), "{dead}");
    let again = "WARN a batch was not taken and will be offered again";
    assert!(unavailable.starts_with(&format!("{again}: {why} ")), "{unavailable}");
    assert!(silent.starts_with(&format!("{again}: it gave no reason ")), "{silent}");
}

fn not_taken(slot: Arc<str>, reason: Option<String>) -> Payload {
    Payload::BatchEnd {
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
fn places_that_are_taken_are_a_line_with_the_remedy() {
    let busy = |unread| Payload::EgressBusy { slot: "js".into(), cap: 16, unread };
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
    let replaced = Payload::PluginReplaced { slot: "js".into(), generation: 2, handles: 600 };
    let said = lines(|events| (0..100).for_each(|_| emit(events, replaced.clone())));
    let [line] = said.as_slice() else { panic!("once a minute: {said:?}") };
    for word in ["WARN", "plugin=js", "kept 600 handles", "at most 512", "drop answers"] {
        assert!(line.contains(word), "`{line}` should say `{word}`");
    }
}

#[test]
fn a_client_that_is_too_large_is_told_of_with_the_remedy() {
    let lines = lines(|events| emit(events, refused("too_large")));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("limits.push-bytes") && lines[0].contains("5 MiB"), "{lines:?}");
}
