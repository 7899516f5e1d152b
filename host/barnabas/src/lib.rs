//! Barnabas: a host for sandboxed WebAssembly receivers of Kafka client telemetry (KIP-714), as a library.
//!
//! This crate is the whole public interface for programs that embed the host: build an [`App`] from a [`Config`], run it,
//! and deliver pushes through its [`HostHandle`]. The crates beside it are the host's parts; ARCHITECTURE.md has the map.
//!
//! # Embedding
//!
//! A broker or proxy written in Rust builds an [`App`], runs it on its own runtime, and delivers pushes itself:
//!
//! ```no_run
//! use barnabas::push::Push;
//! use barnabas::{App, Config, Receipt};
//!
//! # async fn example(push: Push) -> anyhow::Result<()> {
//! let (_, config) = Config::load(None)?;
//! let app = App::build(config).await?;
//! let host = app.host();
//! tokio::spawn(app.run(std::future::pending()));
//! // The push is checked and queued for each receiver that wants it. No receiver is waited for.
//! let receipt: Receipt = host.deliver(push).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Such a host compiles receivers in its own process, where nothing limits the compiler. [`compiler`] describes how a
//! child process does it, as `barnabas serve` does.
// A library that prints panics when nobody reads; this one emits events and writes `tracing` lines.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod app;
pub mod config;

pub use app::{App, HostAddresses, HostHandle};
pub use barnabas_lifecycle::Plugins;
pub use barnabas_pipeline::admission::Refusal;
pub use barnabas_pipeline::event::{Event, Events};
pub use barnabas_pipeline::intake::{Intake, Receipt};
pub use barnabas_pipeline::push;
pub use barnabas_runtime::compiler;
pub use config::Config;
