use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::Level;

use super::*;
use barnabas_pipeline::push::{Client, DepartureReason, Ingress};

/// The lines that are written while `act` emits events.
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

fn emit(events: &Events, data: EventData) {
    events.emit(data.topic(), || data);
}

fn refused(code: &'static str) -> EventData {
    let client = Arc::new(Client { client_id: Some("orders".into()), ..Client::default() });
    EventData::PushRefused { ingress: Ingress::Kafka, client, code, reason: "5 MiB".into(), subscribing: false }
}

fn moved(to: LedgerTerm, reason: Option<String>) -> EventData {
    EventData::LedgerMoved { slot: "console".into(), from: Some(LedgerTerm::Queued), to, pushes: 3, size: 30, reason }
}

fn crashed(message: &str, will_restart: bool) -> EventData {
    let (slot, message) = ("console".into(), message.into());
    EventData::PluginCrash { slot, generation: 2, cause: "trap", message, will_restart }
}

/// The level of each line, and its fields without the message.
fn fields(line: &str) -> (&str, Vec<&str>) {
    let level = line.split(' ').next().unwrap();
    (level, line.split(' ').filter(|part| part.contains('=')).collect())
}

#[test]
fn every_message_names_the_problem_and_the_remedy() {
    let reason = || Some("the sink responded 422: unit\u{202e} missing".to_owned());
    let slot = || Arc::from("console");
    let client = || Arc::new(Client { client_id: Some("orders".into()), ..Client::default() });
    let phase =
        |phase, reason: &str| EventData::PluginPhase { slot: slot(), generation: 2, phase, reason: reason.into() };
    let events = [
        EventData::SubscriptionAnswered { client: client(), id: 7, prefixes: 21, interval: Duration::from_secs(60) },
        refused("too_large"),
        refused("throttled"),
        refused("invalid_record"),
        EventData::PushRefused {
            ingress: Ingress::Kafka,
            client: client(),
            code: "over_quota",
            reason: "20 a minute".into(),
            subscribing: true,
        },
        EventData::ClientGone { client: client(), reason: DepartureReason::Expired },
        moved(LedgerTerm::Shed("queue-full"), None),
        moved(LedgerTerm::Dropped("rejected"), reason()),
        batch_end("unavailable", reason()),
        batch_end("other", None),
        phase("serving", ""),
        phase("failed", "no memory"),
        phase("loading", "a new artifact"),
        crashed("panicked at src/lib.rs:9:\nindex out of bounds", true),
        EventData::PluginReplaced { slot: slot(), generation: 2, handles: 600 },
        EventData::PluginMisconfigured { slot: slot(), reason: "401 from the sink".into() },
        EventData::PluginRejectedPoints { slot: slot(), points: 7, reason: "too old".into() },
        EventData::EgressRequest {
            slot: slot(),
            authority: "sink.example:443".into(),
            status: "204".into(),
            size: 10,
            duration: Duration::from_millis(5),
        },
        EventData::EgressBusy { slot: slot(), cap: 16, unread: 12 },
        EventData::EgressBusy { slot: "unread-0".into(), cap: 16, unread: 0 },
    ];
    let lines = lines(|bus| events.into_iter().for_each(|event| emit(bus, event)));
    // The name of the file must not depend on the module, which may move.
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("lines", lines.join("\n"));
    });
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
    // On a slow machine the flood may last longer than the second that one line covers.
    assert!((1..25).contains(&large.len()) && (1..25).contains(&throttled.len()), "{lines:?}");
    assert_eq!(fields(large[0]).0, "WARN", "{large:?}");
    assert_eq!(fields(throttled[0]).0, "DEBUG", "normal operation of a healthy client is not a warning: {throttled:?}");
}

#[test]
fn lost_pushes_are_logged_and_moving_ones_are_not() {
    let lines = lines(|events| {
        for to in [
            LedgerTerm::Queued,
            LedgerTerm::InFlight,
            LedgerTerm::Delivered,
            LedgerTerm::Shed("queue-full"),
            LedgerTerm::Dropped("expired"),
        ] {
            emit(events, moved(to, None));
        }
    });
    let causes = ["queue-full", "expired"];
    assert_eq!(lines.len(), causes.len(), "{lines:?}");
    for (line, cause) in lines.iter().zip(causes) {
        let (level, fields) = fields(line);
        assert_eq!(level, "WARN", "{line}");
        assert_eq!(fields, ["plugin=console", &format!("cause=\"{cause}\""), "pushes=3", "suppressed=0"], "{line}");
    }
}

#[test]
fn a_crash_is_one_error_whatever_the_guest_wrote() {
    let lines = lines(|events| emit(events, crashed("panicked at src/lib.rs:9:\nindex out of bounds", true)));
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(fields(line), ("ERROR", vec!["plugin=console", "generation=2", "suppressed=0"]));
    assert!(line.contains("trap") && line.contains(r"src/lib.rs:9:\nindex"), "{line}");
}

#[test]
fn conditions_that_last_are_logged_once_a_minute() {
    let busy = EventData::EgressBusy { slot: "js".into(), cap: 16, unread: 12 };
    let replaced = EventData::PluginReplaced { slot: "js".into(), generation: 2, handles: 600 };
    for event in [busy, replaced] {
        let lines = lines(|events| (0..100).for_each(|_| emit(events, event.clone())));
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(fields(line).0 == "WARN" && fields(line).1.contains(&"plugin=js"), "{line}");
    }
}

fn batch_end(outcome: &'static str, reason: Option<String>) -> EventData {
    EventData::BatchEnd {
        slot: "console".into(),
        generation: 1,
        pushes: 1,
        points: 1,
        size: 1,
        queue_wait: Duration::ZERO,
        duration: Duration::ZERO,
        cpu: Duration::ZERO,
        outcome,
        reason,
    }
}
