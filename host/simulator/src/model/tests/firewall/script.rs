//! Disturbances, and scripts of them.

use std::time::Duration;

use proptest::prelude::*;

/// Software names of clients.
pub(super) const JAVA: &str = "apache-kafka-java";
pub(super) const LIBRDKAFKA: &str = "librdkafka";

/// One disturbance.
#[derive(Clone, Copy, Debug)]
pub(super) enum Disturbance {
    None,
    /// Queues so small that most pushes are shed.
    TinyQueues(bool),
    /// The slots do not serve, like paused receivers or receivers without an instance.
    Pause,
    Resume,
    Receivers(ReceiverBehaviour),
    /// One of the two slots is removed.
    RemoveOne,
    /// Both slots are removed. By design, telemetry is not offered on new connections then, so no client connects
    /// meanwhile.
    RemoveAll,
    AddAll,
    Reconfigure(HostSettings),
    /// Every `every`th client loses its connection, without a request in flight.
    Disconnect {
        every: usize,
        first: usize,
        away: Duration,
    },
    /// The host responds to the requests that it has read, exits, and restarts without any client state.
    Restart {
        away: Duration,
    },
    /// Pushes exceed the limits: the wire size if they are not compressed, else the decompressed size.
    Oversized(bool),
    /// Another client pushes with the ids of clients.
    Spoof {
        knows_subscription: bool,
    },
    /// Unknown clients from the source address of all clients, each on its own connection.
    Flood {
        ids: usize,
    },
    /// Applications close their client and create another one.
    Close {
        every: usize,
    },
}

/// How receivers handle batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReceiverBehaviour {
    Accept,
    Sleep,
    Refuse,
    Trap,
    /// Traps, and its slot stops serving, like a receiver that cannot be restarted.
    Fail,
}

/// Settings of the host.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostSettings {
    pub(super) interval_s: u64,
    /// No metrics, all metrics, or a prefix that matches or does not.
    pub(super) metrics: Option<&'static str>,
    pub(super) delta: bool,
    pub(super) all_as_empty_prefix: bool,
    /// If less than the number of clients, they evict each other.
    pub(super) capacity: usize,
    pub(super) max_wire: u32,
    /// The software that the subscription selects; other clients have no subscription.
    pub(super) only: Option<&'static str>,
    /// A software, and how "all metrics" is encoded for it.
    pub(super) wildcard: Option<(&'static str, &'static str)>,
    /// Whether the quotas of connections and sources are lower than the number of clients and pushes.
    pub(super) tight: bool,
}

impl Default for HostSettings {
    fn default() -> Self {
        let (metrics, capacity, max_wire) = (Some("*"), 16_384, 1 << 20);
        let (only, wildcard, tight) = (None, None, false);
        Self {
            interval_s: 5,
            metrics,
            delta: false,
            all_as_empty_prefix: false,
            capacity,
            max_wire,
            only,
            wildcard,
            tight,
        }
    }
}

/// A disturbance, and the time until the next one.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScriptStep {
    pub(super) disturbance: Disturbance,
    pub(super) then: Duration,
}

fn host_settings() -> impl Strategy<Value = HostSettings> {
    let metrics = prop_oneof![
        3 => Just(Some("*")),
        1 => Just(None),
        1 => Just(Some("org.apache.kafka.")),
        1 => Just(Some("no.such."))
    ];
    let limits = (prop_oneof![Just(3_usize), Just(16_384)], prop_oneof![1 => Just(10_u32), 3 => Just(1 << 20)]);
    let software = || prop_oneof![Just(JAVA), Just(LIBRDKAFKA)];
    let wildcard = (software(), prop_oneof![Just("*"), Just("")]);
    let rules =
        (prop::option::weighted(0.25, software()), prop::option::weighted(0.25, wildcard), prop::bool::weighted(0.2));
    let interval = prop_oneof![Just(5_u64), Just(20), Just(60), Just(600)];
    (interval, metrics, any::<bool>(), any::<bool>(), limits, rules).prop_map(
        |(interval_s, metrics, delta, all_as_empty_prefix, (capacity, max_wire), (only, wildcard, tight))| {
            HostSettings { interval_s, metrics, delta, all_as_empty_prefix, capacity, max_wire, only, wildcard, tight }
        },
    )
}

fn away() -> impl Strategy<Value = Duration> {
    prop_oneof![0_u64..5_000, 50_000_u64..400_000].prop_map(Duration::from_millis)
}

fn disturbance() -> impl Strategy<Value = Disturbance> {
    let mood = prop_oneof![
        Just(ReceiverBehaviour::Accept),
        Just(ReceiverBehaviour::Sleep),
        Just(ReceiverBehaviour::Refuse),
        Just(ReceiverBehaviour::Trap),
        Just(ReceiverBehaviour::Fail)
    ];
    prop_oneof![
        1 => Just(Disturbance::None),
        2 => any::<bool>().prop_map(Disturbance::TinyQueues),
        1 => Just(Disturbance::Pause),
        1 => Just(Disturbance::Resume),
        2 => mood.prop_map(Disturbance::Receivers),
        1 => Just(Disturbance::RemoveOne),
        1 => Just(Disturbance::RemoveAll),
        2 => Just(Disturbance::AddAll),
        4 => host_settings().prop_map(Disturbance::Reconfigure),
        4 => (1_usize..5, 0_usize..5, away()).prop_map(|(every, first, away)| Disturbance::Disconnect { every, first, away }),
        2 => away().prop_map(|away| Disturbance::Restart { away }),
        2 => any::<bool>().prop_map(Disturbance::Oversized),
        2 => any::<bool>().prop_map(|knows_subscription| Disturbance::Spoof { knows_subscription }),
        2 => (1_usize..400).prop_map(|ids| Disturbance::Flood { ids }),
        1 => (1_usize..8).prop_map(|every| Disturbance::Close { every }),
    ]
}

/// Random scripts.
pub(super) fn scripts() -> impl Strategy<Value = Vec<ScriptStep>> {
    let then = prop_oneof![4 => 0_u64..15_000, 1 => 60_000_u64..400_000].prop_map(Duration::from_millis);
    prop::collection::vec((disturbance(), then).prop_map(|(disturbance, then)| ScriptStep { disturbance, then }), 1..16)
}

/// Every disturbance once, in its worst form.
pub(super) fn every_disturbance() -> Vec<Disturbance> {
    let (moment, long) = (Duration::from_millis(300), Duration::from_secs(700));
    let given_subscription = HostSettings::default();
    let all = Disturbance::Disconnect { every: 1, first: 0, away: moment };
    vec![
        Disturbance::TinyQueues(true),
        Disturbance::Pause,
        Disturbance::Receivers(ReceiverBehaviour::Sleep),
        Disturbance::Receivers(ReceiverBehaviour::Refuse),
        Disturbance::Receivers(ReceiverBehaviour::Trap),
        Disturbance::Receivers(ReceiverBehaviour::Fail),
        Disturbance::RemoveOne,
        Disturbance::RemoveAll,
        Disturbance::Reconfigure(HostSettings { interval_s: 7, ..given_subscription }),
        Disturbance::Reconfigure(HostSettings { interval_s: 600, ..given_subscription }),
        Disturbance::Reconfigure(HostSettings { metrics: None, ..given_subscription }),
        Disturbance::Reconfigure(HostSettings { metrics: Some("no.such."), ..given_subscription }),
        Disturbance::Reconfigure(HostSettings { delta: true, ..given_subscription }),
        Disturbance::Reconfigure(HostSettings { all_as_empty_prefix: true, ..given_subscription }),
        Disturbance::Reconfigure(HostSettings { capacity: 3, ..given_subscription }),
        Disturbance::Reconfigure(HostSettings { max_wire: 10, ..given_subscription }),
        Disturbance::Reconfigure(HostSettings { only: Some(JAVA), ..given_subscription }),
        Disturbance::Reconfigure(HostSettings { only: Some(LIBRDKAFKA), ..given_subscription }),
        Disturbance::Reconfigure(HostSettings { wildcard: Some((JAVA, "")), ..given_subscription }),
        Disturbance::Reconfigure(HostSettings {
            wildcard: Some((LIBRDKAFKA, "*")),
            all_as_empty_prefix: true,
            ..given_subscription
        }),
        Disturbance::Reconfigure(HostSettings { tight: true, ..given_subscription }),
        Disturbance::Flood { ids: 21_000 },
        all,
        Disturbance::Disconnect { every: 1, first: 0, away: long },
        Disturbance::Restart { away: moment },
        Disturbance::Restart { away: long },
        Disturbance::Oversized(true),
        Disturbance::Spoof { knows_subscription: true },
        Disturbance::Spoof { knows_subscription: false },
        Disturbance::Close { every: 1 },
    ]
}
