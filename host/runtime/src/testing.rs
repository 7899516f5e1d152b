//! Test receivers from a few lines of WebAssembly text, and test pushes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a helper of tests says what it expects with a panic"
)]

use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use barnabas_otlp::message::{Gauge, Metric, MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric};
use prost::Message as _;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::artifact::Artifact;
use super::engine::Engines;
use super::instance::Blueprint;
use super::limits::InstanceLimits;
use crate::capability::egress::{Egress, EgressMode, Grants};
use crate::capability::log::{GuestLogMode, LogSink};
use crate::capability::state::SlotState;
use barnabas_pipeline::admission::Admitted;
use barnabas_pipeline::decode::{Decoded, Decoder, Payload};
use barnabas_pipeline::event::Events;
use barnabas_pipeline::push::{Client, Ingress, Push};

/// One pair of engines for all tests, since each pool reserves a terabyte of address space.
pub static ENGINES: LazyLock<Engines> = LazyLock::new(|| Engines::new().unwrap());

/// The code of a test receiver; `Default` accepts everything.
pub struct TestGuest {
    /// Body of `start`, which returns the address of a `result<_, string>`.
    pub start: &'static str,
    /// Body of `export-metrics` before it drops `$batch`; sets `$answer` to the address of its result.
    pub export: &'static str,
    /// Body of `stop`.
    pub stop: &'static str,
    /// Its content type, of four letters.
    pub content_type: &'static str,
    /// Whether it drops its handle on the batch.
    pub drops_batch: bool,
}

impl Default for TestGuest {
    fn default() -> Self {
        Self { start: START_OK, export: ACCEPTS, stop: "", content_type: "OTLP", drops_batch: true }
    }
}

pub const START_OK: &str = "(i32.const 128)";
pub const START_REFUSED: &str = "(i32.const 144)";
pub const ACCEPTS: &str = "(local.set $answer (i32.const 192))";
pub const OTHER: &str = "(local.set $answer (i32.const 256))";
pub const TOO_LARGE: &str = "(local.set $answer (i32.const 320))";
pub const UNAVAILABLE: &str = "(local.set $answer (i32.const 448))";
/// Rejects the whole batch.
pub const REJECTED: &str = "(local.set $answer (i32.const 768))";
/// Rejects the first push of a batch, and accepts the rest.
pub const REJECTS_FIRST: &str = "(local.set $answer (i32.const 512))";
/// Rejects a push that is not in the batch.
pub const MISCOUNTS: &str = "(local.set $answer (i32.const 592))";
/// Asks for redelivery of the first push of a batch.
pub const RETRIES_FIRST: &str = "(local.set $answer (i32.const 672))";
pub const SPIN: &str = "(loop $spin (br $spin))";
pub const TRAP: &str = "(unreachable)";
/// Requests 64 more pages of memory, and traps if they are denied.
pub const GROW: &str = "(if (i32.eq (memory.grow (i32.const 64)) (i32.const -1)) (then (unreachable)))";
/// The message of the guest in errors and log lines.
pub const MESSAGE: &str = "words of a guest!!";

impl TestGuest {
    /// A core module with WIT metadata, as a build for `wasm32-unknown-unknown` creates it.
    pub fn module(&self) -> Vec<u8> {
        let Self { start, export, stop, content_type, drops_batch: gives_back } = self;
        let give_back = if *gives_back { "(call $drop (local.get $batch))" } else { "" };
        let text = format!(
            r#"(module
  (import "kafka-telemetry:receiver/batches@0.1.0" "[resource-drop]batch" (func $drop (param i32)))
  (import "kafka-telemetry:receiver/batches@0.1.0" "[method]batch.len" (func $len (param i32) (result i32)))
  (import "kafka-telemetry:receiver/batches@0.1.0" "[method]batch.points" (func $points (param i32 i32) (result i32)))
  (import "kafka-telemetry:receiver/report@0.1.0" "fault" (func $fault (param i32 i32)))
  (import "kafka-telemetry:receiver/report@0.1.0" "misconfigured" (func $misconfigured (param i32 i32)))
  (import "kafka-telemetry:receiver/report@0.1.0" "rejected-points" (func $rejected (param i64 i32 i32)))
  (import "kafka-telemetry:receiver/log@0.1.0" "write" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)
  (global $heap (mut i32) (i32.const 4096))
  (data (i32.const 16) "{content_type}")
  (data (i32.const 32) "{MESSAGE}")
  ;; A list of one string, and the list's address and length.
  (data (i32.const 64) "\10\00\00\00\04\00\00\00\40\00\00\00\01\00\00\00")
  ;; start: err(words).
  (data (i32.const 144) "\01\00\00\00\20\00\00\00\12\00\00\00")
  ;; export-metrics: err(other(words)), err(too-large).
  (data (i32.const 256) "\01\00\00\00\00\00\00\00\04\00\00\00\00\00\00\00\20\00\00\00\12\00\00\00")
  (data (i32.const 320) "\01\00\00\00\00\00\00\00\01")
  ;; err(unavailable), err(partial) in three ways with their lists behind them, err(rejected(words)).
  (data (i32.const 448) "\01\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\20\00\00\00\12")
  (data (i32.const 512) "\01\00\00\00\00\00\00\00\02\00\00\00\00\00\00\00\40\02\00\00\01\00\00\00")
  (data (i32.const 576) "\00\00\00\00\20\00\00\00\12\00\00\00")
  (data (i32.const 592) "\01\00\00\00\00\00\00\00\02\00\00\00\00\00\00\00\90\02\00\00\01\00\00\00")
  (data (i32.const 656) "\ff\ff\ff\00\20\00\00\00\12\00\00\00")
  (data (i32.const 672) "\01\00\00\00\00\00\00\00\02\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\e0\02\00\00\01\00\00\00")
  (data (i32.const 736) "\00\00\00\00")
  (data (i32.const 768) "\01\00\00\00\00\00\00\00\03\00\00\00\00\00\00\00\20\00\00\00\12\00\00\00")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.and (i32.add (i32.add (global.get $heap) (local.get 3)) (i32.const 15)) (i32.const -8))))
  (func (export "kafka-telemetry:receiver/lifecycle@0.1.0#start") (param i32 i32) (result i32) {start})
  (func (export "kafka-telemetry:receiver/lifecycle@0.1.0#stop") {stop})
  (func (export "kafka-telemetry:receiver/export-metrics@0.1.0#accepted-content-types") (result i32) (i32.const 72))
  (func (export "kafka-telemetry:receiver/export-metrics@0.1.0#export-metrics") (param $batch i32) (result i32)
    (local $answer i32)
    {export}
    {give_back}
    (local.get $answer)))"#
        );
        let mut module = wat::parse_str(text).unwrap();
        let (resolve, world) = receiver_world();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        module
    }

    /// A blueprint from which instances can be started.
    pub fn blueprint(&self, limits: InstanceLimits) -> Blueprint {
        let grants = Arc::new(Grants::parse(&[], &[]).unwrap());
        Blueprint {
            artifact: Artifact::from_bytes(&ENGINES, &self.module()).unwrap(),
            settings: "{}".into(),
            limits,
            normalise: None,
            egress: Egress::new("guest".into(), grants, EgressMode::Send, Events::new()),
            state: SlotState::not_granted(),
            log: Arc::new(LogSink::new("guest".into(), 1, GuestLogMode::AllLevels)),
        }
    }
}

fn receiver_world() -> (Resolve, wit_parser::WorldId) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit")).unwrap();
    let world = resolve.select_world(&[package], Some("receiver")).unwrap();
    (resolve, world)
}

/// A push of one gauge with `points` points, from a client of that name.
pub fn payload(client: &str, points: usize) -> Payload {
    let gauge = Gauge { data_points: vec![NumberDataPoint::default(); points] };
    let metric = Metric { name: "m".into(), data: Some(metric::Data::Gauge(gauge)), ..Metric::default() };
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    let client = Client {
        client_id: Some(client.into()),
        source: Some("[::ffff:192.0.2.7]:4711".parse().unwrap()),
        ..Client::default()
    };
    let push = Push {
        client: Arc::new(client),
        ingress: Ingress::Sample,
        received_at: SystemTime::UNIX_EPOCH,
        terminating: false,
        subscription_id: None,
        codec: 0,
        format: barnabas_pipeline::push::Format::Protobuf,
        wire: MetricsData { resource_metrics: vec![resource] }.encode_to_vec().into(),
        push_interval: None,
        node_id: Some(-1),
        trace_parent: None,
    };
    match Decoder::default().decode(Admitted::declared(push).unwrap()).unwrap() {
        Decoded::Payload(payload) => payload,
        Decoded::Empty => panic!("there is a metric in it"),
    }
}
