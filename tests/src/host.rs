//! A host in a folder of its own: in this process for tests that inspect its state, as a child process for tests that
//! kill it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ledger::LedgerView;
use barnabas::app::{App, HostAddresses, HostHandle};
use barnabas::config::Config;
use barnabas::config::raw::{ListenerProtocol, RawConfig};
use barnabas_base::units::HumanDuration;
use barnabas_lifecycle::PluginStatus;
use barnabas_runtime::compiler::{CompileChild, CompileLimits, Compiler};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A host that is not started yet: its folder, configuration and receivers.
pub struct Setup {
    folder: TempDir,
    /// The configuration; unless a test changes it, ports are 0 and the push interval is 100 ms.
    pub config: RawConfig,
    /// The compiler process; the `barnabas` command if `program` is empty.
    pub compiler: CompileChild,
}

/// A host that runs in this process.
pub struct RunningHost {
    /// The addresses of its listeners.
    pub addresses: HostAddresses,
    /// Handles to its modules.
    pub host: HostHandle,
    folder: Option<TempDir>,
    config: RawConfig,
    compiler: CompileChild,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// Loopback listeners on free ports; the subscription requests all metrics every 100 ms.
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut written = RawConfig {
            plugins_dir: folder.path().join("plugins.d"),
            data_dir: folder.path().join("data"),
            ..RawConfig::default()
        };
        written.admin.bind.set_port(0);
        for listener in &mut written.listeners {
            listener.bind.set_port(0);
        }
        for subscription in &mut written.subscriptions {
            subscription.metrics = vec!["*".into()];
            subscription.interval = HumanDuration(Duration::from_millis(100));
        }
        std::fs::create_dir_all(&written.plugins_dir).unwrap();
        Self {
            folder,
            config: written,
            compiler: CompileChild { program: PathBuf::new(), limits: CompileLimits::default() },
        }
    }

    /// Edits the configuration.
    pub fn with(mut self, edit: impl FnOnce(&mut RawConfig)) -> Self {
        edit(&mut self.config);
        self
    }

    /// Adds a manifest with this exact text.
    pub fn manifest(self, name: &str, text: &str) -> Self {
        std::fs::write(self.config.plugins_dir.join(format!("{name}.toml")), text).unwrap();
        self
    }

    /// Adds a receiver built from source; `rest` is appended to its manifest.
    pub fn receiver(self, name: &str, guest: &str, rest: &str) -> Self {
        let artifact = crate::guests::path(guest);
        self.manifest(name, &format!("artifact = {:?}\n{rest}", artifact.display().to_string()))
    }

    /// Adds `plugins/otlp-http` that posts to `url`, with `push_id` among its labels so that a sink can count pushes.
    pub fn forwarding(self, name: &str, url: &str) -> Self {
        let authority = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        let labels = r#"["client_instance_id", "client_id", "client_software_name", "client_software_version", "node_id", "push_id"]"#;
        let rest = format!(
            "[settings]\nendpoint = {url:?}\nlabels = {labels}\n[grants]\nhttp = [{authority:?}]\n[batch]\nlinger = \"50ms\"\n"
        );
        self.receiver(name, "otlp-http", &rest)
    }

    /// Adds `plugins/otlp-http` that posts to `url`, with the default queue, batches, linger and labels.
    pub fn forwarding_as_shipped(self, name: &str, url: &str) -> Self {
        self.receiver(name, "otlp-http", &Self::destination(url))
    }

    /// Settings and grants for `plugins/otlp-http` that posts to `url`.
    pub fn destination(url: &str) -> String {
        let authority = url.trim_start_matches("http://").split('/').next().unwrap();
        format!("[settings]\nendpoint = {url:?}\n[grants]\nhttp = [{authority:?}]\n")
    }

    /// The configured address of the first listener with this protocol.
    pub fn address(&self, protocol: ListenerProtocol) -> SocketAddr {
        self.config.listeners.iter().find(|listener| listener.protocol == protocol).unwrap().bind
    }

    /// The folder with the host's files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the folder on disk, for inspection after the run.
    pub fn into_folder(self) -> PathBuf {
        self.folder.keep()
    }

    /// Starts the host in this process.
    pub async fn start(self) -> RunningHost {
        // Receivers check whether a level is enabled before they log; this enables `info` and discards the output.
        let _ = tracing_subscriber::fmt().with_env_filter("info").with_writer(std::io::sink).try_init();
        let mut config = Config::resolve(&self.config).unwrap();
        let mut compiler = self.compiler.clone();
        if compiler.program.as_os_str().is_empty() {
            compiler.program = crate::command::path();
        }
        config.plugins.compiler = Compiler::Child(compiler);
        let app = App::build(config).await.unwrap();
        let (addresses, host) = (app.addresses(), app.host());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        let (folder, written, compiler) = (Some(self.folder), self.config, self.compiler);
        RunningHost { addresses, host, folder, config: written, compiler, stop: Some(stop), task }
    }

    /// Writes the configuration to a file for `barnabas serve --config`.
    pub fn write(&self) -> PathBuf {
        let path = self.folder.path().join("barnabas.toml");
        std::fs::write(&path, to_toml(&self.config)).unwrap();
        path
    }
}

fn to_toml(written: &RawConfig) -> String {
    // `barnabas config` prints with the same code and parses its own output.
    barnabas::config::print(written).unwrap()
}

impl RunningHost {
    /// Address of the first Kafka listener.
    pub fn kafka(&self) -> SocketAddr {
        self.addresses.kafka[0]
    }

    /// `bootstrap.servers` for a client.
    pub fn bootstrap(&self) -> String {
        self.kafka().to_string()
    }

    /// Address of the first OTLP/HTTP listener.
    pub fn otlp(&self) -> SocketAddr {
        self.addresses.otlp[0]
    }

    /// Address of the admin endpoint.
    pub fn admin(&self) -> SocketAddr {
        self.addresses.admin.unwrap()
    }

    /// The folder with its files.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("the folder is present until the host stops").path()
    }

    /// The ledger of a slot; panics if it does not balance.
    pub fn ledger(&self, slot: &str) -> LedgerView {
        let slot = self.host.dispatch.slot(slot).unwrap_or_else(|| panic!("no slot {slot}"));
        LedgerView::new(slot.ledger())
    }

    /// The status of a plugin.
    pub fn status(&self, name: &str) -> PluginStatus {
        let all = self.host.plugins.status();
        all.into_iter().find(|status| status.name == name).unwrap_or_else(|| panic!("no plugin {name}"))
    }

    /// The newest log lines of a plugin.
    pub fn log_lines(&self, name: &str) -> Vec<String> {
        let lines = self.host.plugins.log(name).unwrap_or_default();
        lines.into_iter().map(|line| line.text).collect()
    }

    /// Stops the host gracefully and waits for it.
    pub async fn stop(self) {
        self.stop_into_setup().await;
    }

    /// Stops the host gracefully and returns its setup with all files in place, to inspect them or to start the host
    /// again.
    pub async fn stop_into_setup(mut self) -> Setup {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        (&mut self.task).await.unwrap().unwrap();
        let folder = self.folder.take().expect("the folder is taken only here");
        Setup { folder, config: self.config.clone(), compiler: self.compiler.clone() }
    }
}

impl Drop for RunningHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}
