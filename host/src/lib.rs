//! Barnabas: a host for sandboxed WebAssembly receivers of Kafka client telemetry (KIP-714).
//!
//! Data walks one way through the rooms, declared here in the order in which it meets them:
//!
//! ```text
//! bytes ─▶ listener ─Push─▶ admission ─Admitted─▶ decode ─Payload─▶ dispatch ─Batch─▶ plugin ─▶ guest ─▶ capability
//! ```
//!
//! ARCHITECTURE.md has the map and what each room never does.
//!
//! # Embedding
//!
//! A broker or proxy written in Rust builds an [`app::App`], runs it on its own runtime, and hands pushes over itself:
//!
//! ```no_run
//! use barnabas::app::App;
//! use barnabas::config::Config;
//! use barnabas::intake::Receipt;
//! use barnabas::push::Push;
//!
//! # async fn example(push: Push) -> anyhow::Result<()> {
//! let (_, config) = Config::load(None)?;
//! let app = App::build(config).await?;
//! let host = app.host();
//! tokio::spawn(app.run(std::future::pending()));
//! // Checked, queued for each receiver that wants it, and never waited for.
//! let receipt: Receipt = host.deliver(push).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Such a host compiles receivers in its own process, which nothing bounds. [`plugin::compiler`] tells how to have a
//! child do it, as `barnabas serve` does.
// A library that prints panics where nobody reads; this one emits events and `tracing` lines.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod push;

pub mod auth;

pub mod kafka;
pub mod listener;

pub mod admission;
pub mod subscription;

pub mod catalogue;
pub mod clients;

pub mod decode;

pub mod dispatch;

pub mod contract;
pub mod plugin;

pub mod capability;

pub mod intake;

pub mod admin;
pub mod app;
pub mod audit;
pub mod config;
pub mod event;
pub mod messages;
pub mod simulate;
pub mod store;
pub mod text;
pub mod units;
