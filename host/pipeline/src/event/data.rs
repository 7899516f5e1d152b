//! The topics of events, and the data that each carries.

use std::sync::Arc;
use std::time::Duration;

use crate::admission::Evictions;
use crate::push::ConnectionId;
use crate::push::{Client, DepartureReason, Ingress};

macro_rules! topics {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The topic of an event, without its data.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Topic { $($(#[$doc])* $name,)* }

        impl Topic {
            /// Every topic.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name that logs and streams use.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

topics! {
    /// A connection was accepted.
    ListenerConnect = "listener.connect",
    /// A connection ended.
    ListenerDisconnect = "listener.disconnect",
    /// A request was answered.
    ListenerRequest = "listener.request",
    /// A client got its subscription.
    SubscriptionAnswered = "subscription.answered",
    /// A push was received.
    PushReceived = "push.received",
    /// A push, or a GetTelemetrySubscriptions request, was answered with an error.
    PushRefused = "push.refused",
    /// A push contained no metrics.
    PushEmpty = "push.empty",
    /// No receiver wants a push.
    PushUnwanted = "push.unwanted",
    /// A push is in the queues.
    PushAccepted = "push.accepted",
    /// A client is gone.
    ClientGone = "client.gone",
    /// The number of known clients, emitted about every second.
    ClientsCounted = "clients.counted",
    /// Pushes moved between terms of a slot's ledger.
    LedgerMoved = "ledger.moved",
    /// A receiver is called with a batch.
    BatchStart = "batch.start",
    /// The call has ended.
    BatchEnd = "batch.end",
    /// A generation entered another phase of its lifecycle.
    PluginPhase = "plugin.phase",
    /// A swap completed a stage.
    PluginStage = "plugin.stage",
    /// An instance failed.
    PluginCrash = "plugin.crash",
    /// An instance that held too many handles after a call was replaced.
    PluginReplaced = "plugin.replaced",
    /// A receiver reports that it is misconfigured.
    PluginMisconfigured = "plugin.misconfigured",
    /// A sink accepted a batch but discarded some of its points.
    PluginRejectedPoints = "plugin.rejected_points",
    /// A receiver's outgoing request ended.
    EgressRequest = "egress.request",
    /// A receiver's outgoing request exceeded the limit of concurrent requests.
    EgressBusy = "egress.busy",
}

impl Topic {
    pub(super) fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// The terms of a slot's ledger: each accepted push is in exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LedgerTerm {
    /// Waiting in a lane.
    Queued,
    /// In a batch that is not settled.
    InFlight,
    /// Accepted by a receiver.
    Delivered,
    /// Dropped, with the cause.
    Dropped(&'static str),
    /// Shed for lack of space or of a receiver, with the cause.
    Shed(&'static str),
}

/// The data of an event. Durations are of wall time unless the name says cpu; sizes are bytes.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields are their own names; the topic says what happened")]
pub enum EventData {
    ListenerConnect {
        listener: Arc<str>,
        connection: ConnectionId,
        peer: String,
    },
    ListenerDisconnect {
        listener: Arc<str>,
        connection: ConnectionId,
        reason: String,
    },
    ListenerRequest {
        api: &'static str,
        version: i16,
        size: usize,
        duration: Duration,
    },
    SubscriptionAnswered {
        client: Arc<Client>,
        id: i32,
        prefixes: usize,
        interval: Duration,
    },
    PushReceived {
        ingress: Ingress,
        wire: usize,
    },
    PushRefused {
        ingress: Ingress,
        client: Arc<Client>,
        code: &'static str,
        reason: String,
        subscribing: bool,
    },
    PushEmpty,
    PushUnwanted,
    PushAccepted {
        client: Arc<Client>,
        ingress: Ingress,
        points: u32,
        size: usize,
        wire: usize,
        slots: usize,
        repaired: u32,
        took: Duration,
    },
    ClientGone {
        client: Arc<Client>,
        reason: DepartureReason,
    },
    /// Evictions since the start.
    ClientsCounted {
        instances: usize,
        evicted: Evictions,
    },
    /// `from` is `None` for pushes that just arrived. `reason` is the receiver's reason for their batch.
    LedgerMoved {
        slot: Arc<str>,
        from: Option<LedgerTerm>,
        to: LedgerTerm,
        pushes: usize,
        size: usize,
        reason: Option<String>,
    },
    BatchStart {
        slot: Arc<str>,
        generation: u64,
        pushes: usize,
        size: usize,
    },
    BatchEnd {
        slot: Arc<str>,
        generation: u64,
        pushes: usize,
        points: u64,
        size: usize,
        queue_wait: Duration,
        duration: Duration,
        cpu: Duration,
        outcome: &'static str,
        reason: Option<String>,
    },
    PluginPhase {
        slot: Arc<str>,
        generation: u64,
        phase: &'static str,
        reason: String,
    },
    PluginStage {
        slot: Arc<str>,
        stage: &'static str,
        took: Duration,
    },
    PluginCrash {
        slot: Arc<str>,
        generation: u64,
        cause: &'static str,
        message: String,
        will_restart: bool,
    },
    PluginReplaced {
        slot: Arc<str>,
        generation: u64,
        handles: usize,
    },
    PluginMisconfigured {
        slot: Arc<str>,
        reason: String,
    },
    PluginRejectedPoints {
        slot: Arc<str>,
        points: u64,
        reason: String,
    },
    EgressRequest {
        slot: Arc<str>,
        authority: String,
        status: String,
        size: usize,
        duration: Duration,
    },
    /// Of the requests in progress, `unread` have a response that was not read to its end.
    EgressBusy {
        slot: Arc<str>,
        cap: usize,
        unread: usize,
    },
}

impl EventData {
    /// The topic of this data.
    pub fn topic(&self) -> Topic {
        match self {
            Self::ListenerConnect { .. } => Topic::ListenerConnect,
            Self::ListenerDisconnect { .. } => Topic::ListenerDisconnect,
            Self::ListenerRequest { .. } => Topic::ListenerRequest,
            Self::SubscriptionAnswered { .. } => Topic::SubscriptionAnswered,
            Self::PushReceived { .. } => Topic::PushReceived,
            Self::PushRefused { .. } => Topic::PushRefused,
            Self::PushEmpty => Topic::PushEmpty,
            Self::PushUnwanted => Topic::PushUnwanted,
            Self::PushAccepted { .. } => Topic::PushAccepted,
            Self::ClientGone { .. } => Topic::ClientGone,
            Self::ClientsCounted { .. } => Topic::ClientsCounted,
            Self::LedgerMoved { .. } => Topic::LedgerMoved,
            Self::BatchStart { .. } => Topic::BatchStart,
            Self::BatchEnd { .. } => Topic::BatchEnd,
            Self::PluginPhase { .. } => Topic::PluginPhase,
            Self::PluginStage { .. } => Topic::PluginStage,
            Self::PluginCrash { .. } => Topic::PluginCrash,
            Self::PluginReplaced { .. } => Topic::PluginReplaced,
            Self::PluginMisconfigured { .. } => Topic::PluginMisconfigured,
            Self::PluginRejectedPoints { .. } => Topic::PluginRejectedPoints,
            Self::EgressRequest { .. } => Topic::EgressRequest,
            Self::EgressBusy { .. } => Topic::EgressBusy,
        }
    }
}
