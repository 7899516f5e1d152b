//! `barnabas serve`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use barnabas::app::{App, HostHandle};
use barnabas::config::{Config, advertised_addresses};
use barnabas_admin::AdminOps as _;
use barnabas_lifecycle::change::{Actor, ChangeStep, PluginChange};
use barnabas_runtime::compiler::{CompileChild, Compiler};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{ConfigArgs, logging};

/// Flags of `serve`.
#[derive(Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Store nothing on disk, like `ephemeral = true` in the configuration: serving generations, the state of receivers,
    /// altered subscriptions and the audit log are in memory and lost when the host exits.
    #[arg(long)]
    ephemeral: bool,
}

/// Serves until SIGINT or SIGTERM. SIGHUP makes the host apply the manifests.
pub(crate) fn run(flags: &ServeArgs) -> Result<ExitCode> {
    let (_, mut config) = Config::load(flags.config.config.as_deref())?;
    if flags.ephemeral {
        config.make_ephemeral();
    }
    config.plugins.compiler = Compiler::Child(CompileChild::this_program());
    logging::start(&config.log)?;
    // For the listeners only: receivers run on their own threads, with lower priority.
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("listener").enable_all().build()?;
    runtime.block_on(serve(config))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config) -> Result<()> {
    let told = advertised_addresses(&config);
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
    if let Some(socket) = &addresses.admin_socket {
        tracing::info!("admin socket: {}", socket.display());
    }
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let host = app.host();
    app.run(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = reconcile(host, hangup) => {}
        }
    })
    .await
}

/// Reconciles at each SIGHUP, forever. Signals that arrive during a reconciliation cause only one more.
async fn reconcile(host: HostHandle, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        tracing::info!("SIGHUP: applying the manifests");
        match host.change(Actor::Signal, PluginChange::Reconcile) {
            Err(refused) => tracing::error!("SIGHUP: {refused}"),
            Ok(mut steps) => {
                while let Some(step) = steps.recv().await {
                    if let ChangeStep::Ended(ending) = step {
                        tracing::info!("SIGHUP: {}", ending.message);
                    }
                }
            }
        }
    }
    std::future::pending().await
}
