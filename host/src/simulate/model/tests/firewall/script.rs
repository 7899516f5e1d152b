//! What may go wrong, and scripts of it.

use std::time::Duration;

use proptest::prelude::*;

/// Names of software, as clients tell them.
pub(super) const JAVA: &str = "apache-kafka-java";
pub(super) const LIBRDKAFKA: &str = "librdkafka";

/// One misfortune.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    Nothing,
    /// Queues so small that most pushes are shed.
    TinyQueues(bool),
    /// Receivers that are paused or have no instance: the slots do not serve.
    Pause,
    Resume,
    Receivers(Mood),
    /// One of the two slots is removed, or added.
    RemoveOne,
    /// Both slots: nobody is configured to receive. New connections are not told of telemetry then, by design, so none
    /// are made meanwhile.
    RemoveAll,
    AddAll,
    Reconfigure(Told),
    /// Every so many clients lose their connection, none of them with a request in flight.
    Disconnect {
        every: usize,
        first: usize,
        away: Duration,
    },
    /// The host answers what it has read, ends, and comes back knowing nobody.
    Restart {
        away: Duration,
    },
    /// Pushes beyond the limits: on the wire where they are not compressed, else decompressed.
    Oversized(bool),
    /// Somebody else pushes under the ids of clients.
    Spoof {
        knows_subscription: bool,
    },
    /// So many clients nobody has heard of, from the address that all clients come from, each over its own connection.
    Flood {
        ids: usize,
    },
    /// Applications that close their client and make another.
    Close {
        every: usize,
    },
}

/// What receivers do with batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Take,
    Sleep,
    Refuse,
    Trap,
    /// Traps, and is taken out of service for it, as a receiver is that cannot be started again.
    Fail,
}

/// What clients are to push.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) interval_s: u64,
    /// None at all, all, a prefix that matches or one that does not.
    pub(super) metrics: Option<&'static str>,
    pub(super) delta: bool,
    pub(super) all_as_empty_prefix: bool,
    /// Less than the clients there are: they push each other out.
    pub(super) capacity: usize,
    pub(super) max_wire: u32,
    /// Software that the one subscription is for; all others match none.
    pub(super) only: Option<&'static str>,
    /// Software, and how it is told of all metrics.
    pub(super) wildcard: Option<(&'static str, &'static str)>,
    /// Fewer new clients and pushes a minute than there are, for a connection and for their address.
    pub(super) tight: bool,
}

impl Default for Told {
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

/// A misfortune, and how long until the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) trouble: Trouble,
    pub(super) then: Duration,
}

fn told() -> impl Strategy<Value = Told> {
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
        |(interval_s, metrics, delta, all_as_empty_prefix, (capacity, max_wire), (only, wildcard, tight))| Told {
            interval_s,
            metrics,
            delta,
            all_as_empty_prefix,
            capacity,
            max_wire,
            only,
            wildcard,
            tight,
        },
    )
}

fn away() -> impl Strategy<Value = Duration> {
    prop_oneof![0_u64..5_000, 50_000_u64..400_000].prop_map(Duration::from_millis)
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let mood = prop_oneof![Just(Mood::Take), Just(Mood::Sleep), Just(Mood::Refuse), Just(Mood::Trap), Just(Mood::Fail)];
    prop_oneof![
        1 => Just(Trouble::Nothing),
        2 => any::<bool>().prop_map(Trouble::TinyQueues),
        1 => Just(Trouble::Pause),
        1 => Just(Trouble::Resume),
        2 => mood.prop_map(Trouble::Receivers),
        1 => Just(Trouble::RemoveOne),
        1 => Just(Trouble::RemoveAll),
        2 => Just(Trouble::AddAll),
        4 => told().prop_map(Trouble::Reconfigure),
        4 => (1_usize..5, 0_usize..5, away()).prop_map(|(every, first, away)| Trouble::Disconnect { every, first, away }),
        2 => away().prop_map(|away| Trouble::Restart { away }),
        2 => any::<bool>().prop_map(Trouble::Oversized),
        2 => any::<bool>().prop_map(|knows_subscription| Trouble::Spoof { knows_subscription }),
        2 => (1_usize..400).prop_map(|ids| Trouble::Flood { ids }),
        1 => (1_usize..8).prop_map(|every| Trouble::Close { every }),
    ]
}

/// Scripts.
pub(super) fn lines() -> impl Strategy<Value = Vec<Line>> {
    let then = prop_oneof![4 => 0_u64..15_000, 1 => 60_000_u64..400_000].prop_map(Duration::from_millis);
    prop::collection::vec((trouble(), then).prop_map(|(trouble, then)| Line { trouble, then }), 1..16)
}

/// Every misfortune once, at its worst.
pub(super) fn each() -> Vec<Trouble> {
    let (moment, long) = (Duration::from_millis(300), Duration::from_secs(700));
    let told = Told::default();
    let all = Trouble::Disconnect { every: 1, first: 0, away: moment };
    vec![
        Trouble::TinyQueues(true),
        Trouble::Pause,
        Trouble::Receivers(Mood::Sleep),
        Trouble::Receivers(Mood::Refuse),
        Trouble::Receivers(Mood::Trap),
        Trouble::Receivers(Mood::Fail),
        Trouble::RemoveOne,
        Trouble::RemoveAll,
        Trouble::Reconfigure(Told { interval_s: 7, ..told }),
        Trouble::Reconfigure(Told { interval_s: 600, ..told }),
        Trouble::Reconfigure(Told { metrics: None, ..told }),
        Trouble::Reconfigure(Told { metrics: Some("no.such."), ..told }),
        Trouble::Reconfigure(Told { delta: true, ..told }),
        Trouble::Reconfigure(Told { all_as_empty_prefix: true, ..told }),
        Trouble::Reconfigure(Told { capacity: 3, ..told }),
        Trouble::Reconfigure(Told { max_wire: 10, ..told }),
        Trouble::Reconfigure(Told { only: Some(JAVA), ..told }),
        Trouble::Reconfigure(Told { only: Some(LIBRDKAFKA), ..told }),
        Trouble::Reconfigure(Told { wildcard: Some((JAVA, "")), ..told }),
        Trouble::Reconfigure(Told { wildcard: Some((LIBRDKAFKA, "*")), all_as_empty_prefix: true, ..told }),
        Trouble::Reconfigure(Told { tight: true, ..told }),
        Trouble::Flood { ids: 21_000 },
        all,
        Trouble::Disconnect { every: 1, first: 0, away: long },
        Trouble::Restart { away: moment },
        Trouble::Restart { away: long },
        Trouble::Oversized(true),
        Trouble::Spoof { knows_subscription: true },
        Trouble::Spoof { knows_subscription: false },
        Trouble::Close { every: 1 },
    ]
}
