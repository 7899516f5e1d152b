//! Wiring: a [`Config`] builds the app, which binds the addresses; [`App::run`] runs it, and the shutdown future stops
//! it. All three belong to the caller: a test, a command or an embedder.

mod admin_ops;
pub mod recent_file;
mod storage;

use std::future::Future;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::config::Config;
use barnabas_admin as admin;
use barnabas_admin::{AdminOps, StatusSource};
use barnabas_base::InstanceId;
use barnabas_ingress::budget::ByteBudget;
use barnabas_ingress::subscription;
use barnabas_ingress::subscription::Subscriptions;
use barnabas_ingress::{kafka, otlp_http};
use barnabas_lifecycle as plugin;
use barnabas_lifecycle::change::ChangeOutcome;
use barnabas_lifecycle::{PluginState, Plugins};
use barnabas_pipeline::admission::{Admission, Refusal};
use barnabas_pipeline::catalogue::Catalogue;
use barnabas_pipeline::clients;
use barnabas_pipeline::decode::Decoder;
use barnabas_pipeline::dispatch::{Dispatch, RecentStore};
use barnabas_pipeline::event::{Events, ListenerGuard};
use barnabas_pipeline::intake::{Intake, IntakePipeline, Receipt, StartedPush};
use barnabas_pipeline::push::Push;
use storage::Storage;

/// How often clients are checked for silence.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How often recent pushes are saved, if that is configured.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// A host whose addresses are bound, and which is not running yet.
pub struct App {
    kafka: Vec<kafka::BoundKafkaListener>,
    otlp: Vec<otlp_http::BoundOtlpListener>,
    admin: admin::BoundAdmin,
    budget: Arc<ByteBudget>,
    host: HostHandle,
    recent_file: Option<PathBuf>,
    drain: Duration,
    // Kept as long as the app: dropping one would unsubscribe it.
    _listening: Vec<ListenerGuard>,
}

/// Handles on the parts of a host, for the admin endpoint, tests and embedders. Cheap to clone.
#[derive(Clone)]
pub struct HostHandle {
    /// The intake, also for pushes of an embedder: [`HostHandle::deliver`], and [`Intake::deliver`] for code that may
    /// block.
    pub reception: Arc<IntakePipeline>,
    /// Slots, queues and ledgers.
    pub dispatch: Dispatch,
    /// Receivers.
    pub plugins: Plugins,
    /// The subscriptions.
    pub subscriptions: Subscriptions,
    /// The event bus.
    pub events: Events,
    metrics: Arc<barnabas_admin::metrics::HostMetrics>,
}

impl HostHandle {
    /// Delivers a push of an embedder: decode and dispatch, as for a listener. A push that decompresses to more than
    /// [`LIGHT_BYTES`](barnabas_pipeline::decode::LIGHT_BYTES) bytes is decoded on a thread for blocking work, so it needs a Tokio runtime.
    pub async fn deliver(&self, push: Push) -> Result<Receipt, Refusal> {
        match self.reception.clone().start_delivery(push) {
            StartedPush::Done(done) => done,
            StartedPush::Large(large) => match large.finish(()).await.map_err(JoinError::try_into_panic) {
                Ok(done) => done,
                Err(Ok(panic)) => resume_unwind(panic),
                // The runtime is shutting down, and this task with it.
                Err(Err(_)) => std::future::pending().await,
            },
        }
    }
}

/// The addresses of a bound host.
#[derive(Clone, Debug, Default)]
pub struct HostAddresses {
    /// Kafka listeners, in the order of the configuration.
    pub kafka: Vec<SocketAddr>,
    /// OTLP/HTTP listeners, in the order of the configuration.
    pub otlp: Vec<SocketAddr>,
    /// The admin endpoint.
    pub admin: Option<SocketAddr>,
    /// The admin endpoint's Unix socket.
    pub admin_socket: Option<PathBuf>,
}

impl App {
    /// Opens the host's storage, binds every address and loads every receiver. A receiver that cannot be loaded is
    /// reported and left out; a file that cannot be used and an address that cannot be bound are errors, each one
    /// sentence that names the remedy.
    pub async fn build(config: Config) -> Result<Self> {
        let events = Events::new();
        let series = if config.per_client_metrics { config.admission.capacity } else { 0 };
        let metrics = Arc::new(barnabas_admin::metrics::HostMetrics::with_clients(series));
        let listening = vec![metrics.listen(&events), barnabas_admin::log::listen(&events)];
        // Opened first: of two hosts with one data directory, the second one fails before it touches anything of the
        // first.
        let data_dir = config.plugins.data_dir.clone();
        let opened = tokio::task::spawn_blocking(move || Storage::open(data_dir.as_deref())).await?;
        let Storage { store, audit } = opened?;
        let recent = RecentStore::new(config.recent.config);
        let recent_file = config.recent.file;
        match (&recent_file, &config.recent.stale_file) {
            (Some(file), _) => restore(&recent, file),
            (None, Some(file)) => remove_stale(file),
            (None, None) => {}
        }
        let dispatch = Dispatch::with_recent(recent, events.clone());
        let settings = config.admission;
        let catalogue = Catalogue::new(settings.capacity);
        let admission = Arc::new(Admission::new(settings.clone()));
        let reception =
            IntakePipeline::new(admission.clone(), Decoder::new(config.decode), dispatch.clone(), events.clone());
        let reception = Arc::new(reception.with_identity(config.otlp_identity).with_catalogue(catalogue));
        let admin = admin::bind(config.admin).await?;
        let mut kafka = Vec::new();
        for listener in config.kafka {
            kafka.push(kafka::bind(listener).await?);
        }
        let mut otlp = Vec::new();
        for listener in config.otlp {
            otlp.push(otlp_http::bind(listener).await?);
        }
        // The addresses that receivers may not reach must be known before any receiver runs.
        let kafka_at = kafka.iter().map(kafka::BoundKafkaListener::local_addr);
        let listeners = kafka_at.chain(otlp.iter().map(otlp_http::BoundOtlpListener::local_addr)).collect();
        let plugins = plugin::PluginsConfig { admin: vec![admin.local_addr()], listeners, ..config.plugins };
        let plugins = Plugins::new(&plugins, store.clone(), audit.clone(), dispatch.clone(), events.clone());
        let plugins = plugins.map_err(anyhow::Error::msg)?;
        let opening =
            subscription::SubscriptionsSetup { config: config.subscriptions, store, audit, admission, settings };
        let subscriptions = tokio::task::spawn_blocking(move || Subscriptions::open(opening)).await??;
        let host = HostHandle { reception, dispatch, plugins, subscriptions, events, metrics };
        std::fs::create_dir_all(&config.plugins_dir)
            .with_context(|| format!("cannot create the plugins directory {}", config.plugins_dir.display()))?;
        for ending in host.plugins.start().await {
            // Without a slot telemetry is not offered, and clients that ask only once would never push. Without the
            // store's records, a version that was refused would serve again.
            if ending.verdict == ChangeOutcome::Failed && host.dispatch.slot(&ending.plugin).is_none() {
                anyhow::bail!(ending.message);
            }
        }
        let budget = ByteBudget::new(config.request_bytes);
        Ok(Self { kafka, otlp, admin, budget, host, recent_file, drain: config.drain, _listening: listening })
    }

    /// The addresses it listens on.
    pub fn addresses(&self) -> HostAddresses {
        HostAddresses {
            kafka: self.kafka.iter().map(kafka::BoundKafkaListener::local_addr).collect(),
            otlp: self.otlp.iter().map(otlp_http::BoundOtlpListener::local_addr).collect(),
            admin: Some(self.admin.local_addr()),
            admin_socket: self.admin.socket().map(Into::into),
        }
    }

    /// Handles that stay valid while it runs.
    pub fn host(&self) -> HostHandle {
        self.host.clone()
    }

    /// Serves until `shutdown` completes, then stops in order: listeners answer what they have read, queues drain,
    /// receivers stop. Each stage takes at most the configured drain time.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<()> {
        let (stop_doors, doors_stopped) = watch::channel(false);
        let mut doors = JoinSet::new();
        for bound in self.kafka {
            let stop = stop_signal(doors_stopped.clone());
            let rooms = kafka::ListenerHandles {
                intake: self.host.reception.clone(),
                budget: self.budget.clone(),
                events: self.host.events.clone(),
                subscriptions: self.host.subscriptions.clone(),
            };
            doors.spawn(bound.serve(rooms, stop));
        }
        for bound in self.otlp {
            let stop = stop_signal(doors_stopped.clone());
            doors.spawn(bound.serve(self.host.reception.clone(), self.budget.clone(), self.host.events.clone(), stop));
        }
        let (stop_admin, admin_stopped) = watch::channel(false);
        let mut office = JoinSet::new();
        let host = Arc::new(self.host.clone());
        let (source, acting): (Arc<dyn StatusSource>, Arc<dyn AdminOps>) = (host.clone(), host);
        office.spawn(self.admin.serve(source, acting, self.host.metrics.clone(), stop_signal(admin_stopped)));
        let sweeper = tokio::spawn(sweep(self.host.reception.clone()));
        let (plugins, doors_told) = (self.host.plugins.clone(), stop_signal(doors_stopped));
        let watcher = tokio::spawn(async move { plugins.watch(doors_told).await });
        let keeper =
            self.recent_file.map(|file| tokio::spawn(save_periodically(self.host.dispatch.recent().clone(), file)));

        shutdown.await;
        tracing::info!("shutting down: answering what was read, then draining the queues");
        let _ = stop_doors.send(true);
        while doors.join_next().await.is_some() {}
        sweeper.abort();
        let _ = watcher.await;
        keeper.iter().for_each(|keeper| keeper.abort());
        self.host.drain(self.drain).await;
        let _ = stop_admin.send(true);
        while office.join_next().await.is_some() {}
        Ok(())
    }
}

/// Completes when the channel is set, or when its sender is dropped.
async fn stop_signal(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Notifies receivers of clients that fell silent, until aborted.
async fn sweep(reception: Arc<IntakePipeline>) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        reception.expire_clients(Instant::now());
    }
}

/// Restores the pushes that an earlier process saved.
fn restore(recent: &RecentStore, file: &Path) {
    if let Err(error) = recent_file::restore(recent, file) {
        tracing::warn!(
            "could not restore the recent pushes of an earlier run; they will be overwritten: {}: {error}",
            file.display()
        );
    }
}

/// Removes the pushes that were saved on disk before this was turned off.
fn remove_stale(file: &Path) {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(
                "could not remove the recent pushes of an earlier run, although `recent-pushes.on-disk` is false: \
             {}: {error}; remove the file",
                file.display()
            );
        }
        _ => {}
    }
}

/// Saves the recent pushes whenever there are new ones, until aborted. A failed write is reported once, and again only
/// after a write has succeeded.
async fn save_periodically(recent: RecentStore, file: PathBuf) {
    let (mut ticks, mut written) = (tokio::time::interval(SAVE_INTERVAL), recent.counts());
    let mut failing = false;
    loop {
        ticks.tick().await;
        let standing = recent.counts();
        if standing == written {
            continue;
        }
        written = standing;
        let (recent, path) = (recent.clone(), file.clone());
        let saved = tokio::task::spawn_blocking(move || recent_file::save(&recent, &path)).await;
        let failed = matches!(saved, Ok(Err(_)));
        if let (Ok(Err(error)), false) = (saved, failing) {
            tracing::warn!(
                "failed to save the recent pushes: {}: {error}; they are kept in memory only until there is free \
                 space and \
                 its directory is writable",
                file.display()
            );
        }
        failing = failed;
    }
}

impl HostHandle {
    /// Lets every slot deliver its queue, then stops the receivers, and logs what was left.
    async fn drain(&self, timeout: Duration) {
        if !self.plugins.shutdown(timeout).await {
            tracing::warn!("the receivers did not stop within {timeout:?}; undelivered pushes are left in the queues");
        }
        for slot in self.dispatch.slots().iter() {
            let ledger = slot.ledger();
            tracing::info!(plugin = %slot.name(), "{ledger}");
        }
    }
}

impl StatusSource for HostHandle {
    fn plugins(&self) -> serde_json::Value {
        serde_json::to_value(self.plugins.status()).unwrap_or_default()
    }

    fn ingress(&self) -> serde_json::Value {
        serde_json::to_value(self.reception.ledger()).unwrap_or_default()
    }

    fn clients(&self, filter: &clients::ClientFilter) -> clients::ClientList {
        self.reception.clients(filter)
    }

    fn client(&self, id: InstanceId) -> Option<clients::ClientDescription> {
        self.reception.client(id)
    }

    fn ready(&self) -> Result<(), String> {
        // Only for the start: while a plugin that is added later is loading, the host stays ready for the clients of
        // the others.
        if self.plugins.is_started() {
            return Ok(());
        }
        match self.plugins.status().iter().find(|plugin| plugin.state == PluginState::Loading) {
            Some(plugin) => Err(format!("plugin `{}` is being loaded", plugin.name)),
            None => Err("the plugins are being loaded".into()),
        }
    }
}

#[allow(unused_imports, reason = "named in the documentation of `Host`")]
use Intake as _;
