//! `barnabas serve`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use barnabas::app::App;
use barnabas::config::{Config, told_addresses};
use barnabas::plugin::compiler::{Child, Compiler};
use tokio::signal::unix::{SignalKind, signal};

use super::{ConfigFile, logging};

/// Serves until SIGINT or SIGTERM.
pub(crate) fn run(flags: &ConfigFile) -> Result<ExitCode> {
    let (_, mut config) = Config::load(flags.config.as_deref())?;
    config.plugins.compiler = Compiler::Child(Child::this_program());
    logging::start(&config.log)?;
    // Doors only: receivers run on threads of their own, of lower priority.
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("listener").enable_all().build()?;
    runtime.block_on(serve(config))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config) -> Result<()> {
    let told = told_addresses(&config);
    let app = App::build(config).await?;
    for line in told {
        tracing::info!("{line}");
    }
    let addresses = app.addresses();
    for address in &addresses.kafka {
        tracing::info!("Kafka clients: bootstrap.servers={address}");
    }
    for address in &addresses.otlp {
        tracing::info!("OTLP/HTTP: http://{address}/v1/metrics");
    }
    if let Some(address) = addresses.admin {
        tracing::info!("admin: http://{address}/metrics, /healthz, /readyz");
    }
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    app.run(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
    .await
}
