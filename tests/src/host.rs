//! A host in its own folder: in this process for tests that look inside, as a process for those that kill it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ledger::LedgerView;
use barnabas::app::{App, HostAddresses, HostHandle};
use barnabas::config::Config;
use barnabas::config::raw::{ListenerProtocol, RawConfig};
use barnabas::plugin::Status;
use barnabas::plugin::compiler::{Child, Compiler, Limits};
use barnabas::units::HumanDuration;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A host to be: its folder, its configuration, its receivers.
pub struct Setup {
    folder: TempDir,
    /// What is written; ports are 0 and the interval 100 ms unless a test says otherwise.
    pub config: RawConfig,
    /// Who compiles; the command where no program is named.
    pub compiler: Child,
}

/// A host that runs in this process.
pub struct RunningHost {
    /// Where it can be reached.
    pub addresses: HostAddresses,
    /// Its rooms.
    pub host: HostHandle,
    folder: Option<TempDir>,
    config: RawConfig,
    compiler: Child,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// Loopback listeners on free ports; everything is asked for, ten times a second.
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
        Self { folder, config: written, compiler: Child { program: PathBuf::new(), limits: Limits::default() } }
    }

    /// Changes what is written.
    pub fn with(mut self, edit: impl FnOnce(&mut RawConfig)) -> Self {
        edit(&mut self.config);
        self
    }

    /// Adds a manifest as it is.
    pub fn manifest(self, name: &str, text: &str) -> Self {
        std::fs::write(self.config.plugins_dir.join(format!("{name}.toml")), text).unwrap();
        self
    }

    /// Adds a receiver built from source; `rest` are further lines of its manifest.
    pub fn receiver(self, name: &str, guest: &str, rest: &str) -> Self {
        let artifact = crate::guests::path(guest);
        self.manifest(name, &format!("artifact = {:?}\n{rest}", artifact.display().to_string()))
    }

    /// Adds `plugins/otlp-http` posting to `url`, with every push's id as a label so that a sink can count pushes.
    pub fn forwarding(self, name: &str, url: &str) -> Self {
        let authority = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        let labels = r#"["client_instance_id", "client_id", "client_software_name", "client_software_version", "node_id", "push_id"]"#;
        let rest = format!(
            "[settings]\nendpoint = {url:?}\nlabels = {labels}\n[grants]\nhttp = [{authority:?}]\n[batch]\nlinger = \"50ms\"\n"
        );
        self.receiver(name, "otlp-http", &rest)
    }

    /// Adds `plugins/otlp-http` posting to `url`, with all else as an operator finds it: queue, batches, linger, labels.
    pub fn forwarding_as_shipped(self, name: &str, url: &str) -> Self {
        self.receiver(name, "otlp-http", &Self::destination(url))
    }

    /// The settings and grants of `plugins/otlp-http` that posts to `url`.
    pub fn destination(url: &str) -> String {
        let authority = url.trim_start_matches("http://").split('/').next().unwrap();
        format!("[settings]\nendpoint = {url:?}\n[grants]\nhttp = [{authority:?}]\n")
    }

    /// Where the first listener of a protocol is to listen.
    pub fn address(&self, protocol: ListenerProtocol) -> SocketAddr {
        self.config.listeners.iter().find(|listener| listener.protocol == protocol).unwrap().bind
    }

    /// Where the host's files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder where it is, for somebody to look at.
    pub fn into_folder(self) -> PathBuf {
        self.folder.keep()
    }

    /// Starts it in this process.
    pub async fn start(self) -> RunningHost {
        // Receivers ask whether a level is kept before they write a line; here `info` is, and goes nowhere.
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
    // `barnabas config` prints this and reads it back: one piece of code for both.
    barnabas::config::print(written).unwrap()
}

impl RunningHost {
    /// The first Kafka listener.
    pub fn kafka(&self) -> SocketAddr {
        self.addresses.kafka[0]
    }

    /// `bootstrap.servers` for a client.
    pub fn bootstrap(&self) -> String {
        self.kafka().to_string()
    }

    /// The first OTLP/HTTP listener.
    pub fn otlp(&self) -> SocketAddr {
        self.addresses.otlp[0]
    }

    /// The admin endpoint.
    pub fn admin(&self) -> SocketAddr {
        self.addresses.admin.unwrap()
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("only its end takes it away").path()
    }

    /// A slot's ledger, which must balance whenever it is looked at.
    pub fn ledger(&self, slot: &str) -> LedgerView {
        let slot = self.host.dispatch.slot(slot).unwrap_or_else(|| panic!("no slot {slot}"));
        LedgerView::new(slot.ledger())
    }

    /// What the host says of a plugin.
    pub fn status(&self, name: &str) -> Status {
        let all = self.host.plugins.status();
        all.into_iter().find(|status| status.name == name).unwrap_or_else(|| panic!("no plugin {name}"))
    }

    /// The newest log lines of a plugin.
    pub fn log_lines(&self, name: &str) -> Vec<String> {
        let lines = self.host.plugins.log(name).unwrap_or_default();
        lines.into_iter().map(|line| line.text).collect()
    }

    /// Ends it on purpose and waits for it.
    pub async fn stop(self) {
        self.stop_into_setup().await;
    }

    /// Likewise, and gives what it was made from, its files as they are, to look at them or to start it again.
    pub async fn stop_into_setup(mut self) -> Setup {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        (&mut self.task).await.unwrap().unwrap();
        let folder = self.folder.take().expect("only this takes it away");
        Setup { folder, config: self.config.clone(), compiler: self.compiler.clone() }
    }
}

impl Drop for RunningHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}
