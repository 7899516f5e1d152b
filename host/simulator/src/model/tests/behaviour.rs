//! The behaviour of each kind, as in the source code of the clients.

use super::support::*;
use crate::model::{ClientKind, Model, ModelSubscription, TelemetryRequest};
use barnabas_base::InstanceId;

const JAVA: [ClientKind; 3] = [ClientKind::Java37, ClientKind::Java39, ClientKind::Java42];

#[test]
fn kinds_have_names() {
    for kind in ClientKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    let error = "java-1.0".parse::<ClientKind>().unwrap_err();
    assert!(error.contains("java-1.0") && error.contains("librdkafka"), "{error}");
}

#[test]
fn the_first_push_after_a_get_is_spread_and_the_others_are_not() {
    for (kind, least, most) in
        [(ClientKind::Java37, 30, 90), (ClientKind::Java42, 30, 90), (ClientKind::Librdkafka, 48, 72)]
    {
        let mut seen = Vec::new();
        for seed in 0..200 {
            let mut model = Model::new(kind, seed);
            model.connected(seconds(5), true);
            model.sent(seconds(5));
            model.answered_get(seconds(5), Ok(subscription()));
            let (due, _) = model.next().unwrap();
            assert!((seconds(5 + least)..=seconds(5 + most)).contains(&due), "{kind}: {due:?}");
            model.sent(due);
            model.answered_push(due, Ok(()));
            assert_eq!(model.next(), Some((due + MINUTE, push(1))));
            seen.push(due);
        }
        let (first, last) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
        assert!(*last - *first > seconds(most - least) * 9 / 10, "{kind} uses its whole range");
    }
}

#[test]
fn jitter_is_determined_by_the_seed() {
    let due = |seed| {
        let mut model = Model::new(ClientKind::Java39, seed);
        model.connected(seconds(0), true);
        model.sent(seconds(0));
        model.answered_get(seconds(0), Ok(subscription()));
        model.next()
    };
    assert_eq!(due(4), due(4));
    assert_ne!(due(4), due(5));
}

#[test]
fn errors_of_a_push_java() {
    for kind in JAVA {
        for (code, wait) in [(117, 0), (76, 0), (89, 60), (118, 60)] {
            let (mut model, now) = pushing(kind);
            model.answered_push(now, Err(code));
            assert_eq!(model.next(), Some((now + seconds(wait), get(ID))), "{kind} {code}");
        }
        for code in [42, 87, 35, -1, 1234] {
            let (mut model, now) = pushing(kind);
            model.answered_push(now, Err(code));
            assert!(model.silent().is_some() && model.next().is_none(), "{kind} {code}");
            // A new connection does not bring it back.
            model.disconnected(now);
            model.connected(now, true);
            assert!(model.silent().is_some() && model.next().is_none(), "{kind} {code}");
        }
    }
}

#[test]
fn errors_of_a_push_librdkafka() {
    for (code, wait) in [(117, 0), (76, 60), (89, 60), (35, 60), (1234, 60)] {
        let (mut model, now) = pushing(ClientKind::Librdkafka);
        model.answered_push(now, Err(code));
        assert_eq!(model.next(), Some((now + seconds(wait), get(ID))), "{code}");
    }
    let (mut model, now) = pushing(ClientKind::Librdkafka);
    model.answered_push(now, Err(118));
    assert_eq!(model.next(), Some((now + MINUTE, push(1))));
    for code in [42, 87] {
        let (mut model, now) = pushing(ClientKind::Librdkafka);
        model.answered_push(now, Err(code));
        assert!(model.silent().is_some() && model.next().is_none(), "{code}");
    }
}

#[test]
fn errors_of_the_first_get() {
    for kind in JAVA {
        for (code, wait) in [(117, 0), (76, 0), (89, 300), (118, 300)] {
            let mut model = asking(kind);
            model.answered_get(seconds(1), Err(code));
            assert_eq!(model.next(), Some((seconds(1 + wait), get(InstanceId::NIL))), "{kind} {code}");
        }
        for code in [42, 87, 35, 1234] {
            let mut model = asking(kind);
            model.answered_get(seconds(1), Err(code));
            assert!(model.silent().is_some(), "{kind} {code}");
        }
    }
    for code in [117, 76, 89, 118, 42, 87, 35, 1234] {
        let mut model = asking(ClientKind::Librdkafka);
        model.answered_get(seconds(1), Err(code));
        assert_eq!(model.next(), Some((seconds(31), get(InstanceId::NIL))), "{code}");
    }
}

#[test]
fn errors_of_a_later_get_wait_for_the_known_interval() {
    for kind in ClientKind::ALL {
        let (mut model, now) = pushing(kind);
        model.answered_push(now, Err(117));
        model.sent(now);
        model.answered_get(now, Err(89));
        assert_eq!(model.next(), Some((now + MINUTE, get(ID))), "{kind}");
        assert!(model.subscription().is_some());
    }
}

#[test]
fn a_connection_lost_with_a_request_in_flight() {
    for kind in ClientKind::ALL {
        let (mut model, now) = pushing(kind);
        model.disconnected(now);
        assert_eq!(model.next(), None);
        model.connected(now, true);
        let wait = match kind {
            ClientKind::Java37 | ClientKind::Java39 => None,
            ClientKind::Java42 => Some(seconds(300)),
            ClientKind::Librdkafka => Some(MINUTE),
        };
        assert_eq!(model.next(), wait.map(|wait| (now + wait, get(ID))), "{kind}");
        assert_eq!(model.silent().is_some(), wait.is_none());
    }
}

#[test]
fn replacing_a_connection_with_a_request_in_flight_is_a_loss() {
    let (mut model, now) = pushing(ClientKind::Java39);
    model.connected(now, true);
    assert!(model.silent().is_some());
}

#[test]
fn a_connection_lost_between_requests_silences_no_client() {
    for kind in ClientKind::ALL {
        let (mut model, now) = pushing(kind);
        model.answered_push(now, Ok(()));
        model.disconnected(now + seconds(1));
        assert_eq!(model.next(), None);
        model.connected(now + seconds(2), true);
        assert_eq!(model.next(), Some((now + MINUTE, push(1))), "{kind}");
        // The client is disconnected when its push is due: Java sends it after reconnecting, librdkafka sends a Get.
        model.disconnected(now + seconds(3));
        let back = now + seconds(90);
        model.connected(back, true);
        let ask = if kind == ClientKind::Librdkafka { get(ID) } else { push(1) };
        assert_eq!(model.next(), Some((back, ask)), "{kind}");
    }
}

#[test]
fn a_node_without_telemetry_at_first() {
    for kind in ClientKind::ALL {
        let mut model = Model::new(kind, 1);
        model.connected(seconds(1), false);
        assert_eq!(model.next(), None);
        assert_eq!(model.silent().is_some(), kind == ClientKind::Java42, "{kind}");
        model.disconnected(seconds(400));
        model.connected(seconds(402), true);
        let due = match kind {
            // The client tried at 1 s and at 301 s.
            ClientKind::Java37 | ClientKind::Java39 => Some(seconds(601)),
            ClientKind::Java42 => None,
            ClientKind::Librdkafka => Some(seconds(402)),
        };
        assert_eq!(model.next(), due.map(|due| (due, get(InstanceId::NIL))), "{kind}");
    }
}

#[test]
fn a_node_without_telemetry_later_is_noticed_when_something_is_due() {
    for kind in ClientKind::ALL {
        let (mut model, now) = pushing(kind);
        model.answered_push(now, Ok(()));
        model.disconnected(now);
        model.connected(now + seconds(1), false);
        model.disconnected(now + seconds(2));
        model.connected(now + seconds(2), true);
        assert_eq!(model.next(), Some((now + MINUTE, push(1))), "{kind}: it has not checked yet");
        model.disconnected(now + seconds(3));
        model.connected(now + seconds(4), false);
        model.disconnected(now + seconds(70));
        model.connected(now + seconds(71), true);
        let expected = match kind {
            ClientKind::Java37 | ClientKind::Java39 => Some((now + MINUTE + seconds(300), get(ID))),
            ClientKind::Java42 => None,
            ClientKind::Librdkafka => Some((now + seconds(71), get(ID))),
        };
        assert_eq!(model.next(), expected, "{kind}");
    }
}

#[test]
fn a_subscription_without_metrics_is_requested_again_each_interval() {
    for kind in ClientKind::ALL {
        let mut model = asking(kind);
        model.answered_get(seconds(1), Ok(ModelSubscription { metrics: vec![], ..subscription() }));
        assert_eq!(model.next(), Some((seconds(61), get(ID))), "{kind}");
        assert!(!model.selects("org.apache.kafka.producer.x"));
    }
}

#[test]
fn a_subscription_without_matching_metrics_causes_empty_pushes() {
    for kind in ClientKind::ALL {
        let mut model = asking(kind);
        model.answered_get(seconds(1), Ok(ModelSubscription { metrics: vec!["no.such.".into()], ..subscription() }));
        assert!(matches!(model.next(), Some((_, TelemetryRequest::Push { .. }))), "{kind}");
    }
}

#[test]
fn selectors_are_prefixes_and_a_star_alone() {
    let selects = |metrics: &[&str], metric| {
        let mut model = asking(ClientKind::Java42);
        let metrics = metrics.iter().map(|prefix| (*prefix).to_owned()).collect();
        model.answered_get(seconds(0), Ok(ModelSubscription { metrics, ..subscription() }));
        model.selects(metric)
    };
    let name = "org.apache.kafka.producer.connection.creation.total";
    for yes in [&["*"][..], &[""], &["org.apache.kafka.producer."], &["x.", name], &["*", "org."]] {
        assert!(selects(yes, name), "{yes:?}");
    }
    for no in
        [&[][..], &["*", "x."], &["producer."], &["*", "*"], &["org.apache.kafka.producer.connection.creation.total2"]]
    {
        assert!(!selects(no, name), "{no:?}");
    }
    assert!(!asking(ClientKind::Java42).selects(name), "no subscription yet");
}

#[test]
fn codecs() {
    let codec = |kind, codecs: &[i8]| {
        let mut model = asking(kind);
        model.answered_get(seconds(0), Ok(ModelSubscription { codecs: codecs.to_vec(), ..subscription() }));
        model.codec()
    };
    for kind in ClientKind::ALL {
        let java37 = kind == ClientKind::Java37;
        assert_eq!(codec(kind, &[4, 3, 1, 2]), if java37 { 0 } else { 4 });
        assert_eq!(codec(kind, &[9, -3, 2]), if java37 { 0 } else { 2 });
        assert_eq!(codec(kind, &[]), 0);
    }
    assert_eq!(codec(ClientKind::Java42, &[0, 4]), 0);
    assert_eq!(codec(ClientKind::Librdkafka, &[0, 4]), 4);
}

#[test]
fn java_replaces_a_zero_interval_by_five_minutes_and_stops_at_the_nil_id() {
    for kind in JAVA {
        let mut model = asking(kind);
        let none = ModelSubscription { interval: seconds(0), metrics: vec![], ..subscription() };
        model.answered_get(seconds(0), Ok(none));
        assert_eq!(model.next(), Some((seconds(300), get(ID))));
        let mut model = asking(kind);
        model.answered_get(seconds(0), Ok(ModelSubscription { instance: InstanceId::NIL, ..subscription() }));
        assert!(model.silent().is_some());
    }
}

#[test]
fn closing_a_client_sends_a_terminating_push() {
    for kind in ClientKind::ALL {
        // There is no subscription yet.
        let mut model = asking(kind);
        model.close(seconds(1));
        assert!(model.silent().is_some() && model.next().is_none(), "{kind}");
        let (mut model, now) = pushing(kind);
        model.answered_push(now, Ok(()));
        model.close(now + seconds(1));
        let last = TelemetryRequest::Push { instance: ID, subscription_id: 1, terminating: true };
        assert_eq!(model.next(), Some((now + seconds(1), last)), "{kind}");
        assert_eq!(model.silent(), None);
        model.sent(now + seconds(1));
        model.answered_push(now + seconds(1), Err(89));
        assert!(model.silent().is_some() && model.next().is_none(), "{kind}");
        // With a request in flight, Java sends a terminating push, librdkafka does not.
        let (mut model, now) = pushing(kind);
        model.close(now);
        assert_eq!(model.next().is_some(), kind != ClientKind::Librdkafka, "{kind}");
        // Without a connection.
        let (mut model, now) = pushing(kind);
        model.answered_push(now, Ok(()));
        model.disconnected(now);
        model.close(now);
        assert!(model.silent().is_some(), "{kind}");
    }
}

#[test]
fn unexpected_responses_are_ignored() {
    for kind in ClientKind::ALL {
        let (mut model, now) = pushing(kind);
        model.answered_get(now, Err(42));
        assert_eq!((model.silent(), model.next()), (None, None));
        model.answered_push(now, Ok(()));
        model.answered_push(now, Err(87));
        assert_eq!(model.silent(), None, "{kind}");
    }
}
