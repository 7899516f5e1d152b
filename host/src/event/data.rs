//! What can happen, and the facts that go with it.

use std::sync::Arc;
use std::time::Duration;

use crate::admission::Evictions;
use crate::push::ConnectionId;
use crate::push::{Client, DepartureReason, Ingress};

macro_rules! topics {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The type of an event, without its facts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Topic { $($(#[$doc])* $name,)* }

        impl Topic {
            /// Every type there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name that logs and streams use.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

topics! {
    /// A connection was taken.
    ListenerConnect = "listener.connect",
    /// A connection ended.
    ListenerDisconnect = "listener.disconnect",
    /// A request was answered.
    ListenerRequest = "listener.request",
    /// A client was told what to push.
    SubscriptionAnswered = "subscription.answered",
    /// A push came in.
    PushReceived = "push.received",
    /// A push, or a question for a subscription, was answered with an error.
    PushRefused = "push.refused",
    /// A push held no metrics.
    PushEmpty = "push.empty",
    /// A push that no receiver wants.
    PushUnwanted = "push.unwanted",
    /// A push is in the queues.
    PushAccepted = "push.accepted",
    /// A client is gone.
    ClientGone = "client.gone",
    /// How many clients are known, told every second or so.
    ClientsCounted = "clients.counted",
    /// Pushes went from one term of a slot's ledger to another.
    LedgerMoved = "ledger.moved",
    /// A receiver is called with a batch.
    BatchStart = "batch.start",
    /// The call is over.
    BatchEnd = "batch.end",
    /// A generation entered another phase of its life.
    PluginPhase = "plugin.phase",
    /// A swap passed a stage.
    PluginStage = "plugin.stage",
    /// An instance broke.
    PluginCrash = "plugin.crash",
    /// An instance that kept too many handles over a call was replaced.
    PluginReplaced = "plugin.replaced",
    /// A receiver says it is set up wrongly.
    PluginMisconfigured = "plugin.misconfigured",
    /// A sink took a batch but not all of its points.
    PluginRejectedPoints = "plugin.rejected_points",
    /// A receiver's outgoing request ended.
    EgressRequest = "egress.request",
    /// A receiver's outgoing request found no place among those under way.
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
    /// A receiver took it.
    Delivered,
    /// Given up, with the cause.
    Dropped(&'static str),
    /// Let go for want of room or of a receiver, with the cause.
    Shed(&'static str),
}

/// What happened, with its facts. Durations are of wall time unless the name says cpu; sizes are bytes.
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
    /// `from` is `None` for pushes that just arrived. `reason` is what the receiver said of their batch.
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
    /// Of the requests under way, `unread` were answered and are not read to their end.
    EgressBusy {
        slot: Arc<str>,
        cap: usize,
        unread: usize,
    },
}

impl EventData {
    /// The type of this payload.
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
