//! A fleet of simulated clients against one host: a tenth of them with a connection each, the others with several
//! clients per connection.
//!
//! The plain test run simulates a few clients. `cargo xtask prove fleet` simulates 100,000, of which 10,000 have a
//! connection each over several loopback addresses; `--rounds` sets the number. The host runs in this process and the
//! clients in others, so that their memory is measured separately. Prints the memory cost per connection and per
//! instance.

use std::collections::{BTreeMap, HashSet};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use barnabas_base::InstanceId;
use barnabas_base::units::HumanDuration;
use barnabas_pipeline::admission::Evictions;
use barnabas_pipeline::event::{EventData, Topic};
use barnabas_tests::eventually;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::waits::resident;
use serde_json::Value;

/// From this number of clients on, the run is a proof.
const PROOF: usize = 10_000;
/// Memory goals in bytes: per instance in the table, and per connection.
const GOALS: [u64; 2] = [256, 10 << 10];
/// Clients per shared connection.
const SHARED: usize = 90;
/// Clients of the warm-up, which fills buffers and pools.
const WARM: usize = 40;

/// Size of the fleet.
struct FleetScale {
    alone: usize,
    sharing: usize,
    interval: Duration,
    patience: Duration,
}

impl FleetScale {
    fn from_env() -> Self {
        let all = std::env::var("BARNABAS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
        let proves = all >= PROOF;
        let alone = all.div_ceil(10);
        let interval = Duration::from_secs(if proves { 30 } else { 1 });
        let patience = Duration::from_secs(if proves { 600 } else { 60 });
        Self { alone, sharing: all - alone, interval, patience }
    }

    fn shared_connections(&self) -> usize {
        self.sharing.div_ceil(SHARED)
    }

    fn ramp(&self, clients: usize) -> String {
        // The number of clients per second that a host with two small cores can answer in addition to the pushes.
        format!("{}s", clients.div_ceil(1_000))
    }

    async fn host(&self) -> RunningHost {
        let room = self.alone + self.shared_connections() + 2 * WARM;
        let setup = Setup::new().with(|written| {
            written.limits.clients = self.alone + self.sharing + 2 * WARM;
            written.limits.connections = room;
            // The admission limits exist to prevent many clients per connection; here all clients share a few source
            // addresses.
            written.limits.connection.new_clients = 2 * SHARED as u32;
            written.limits.connection.pushes = 60 * 2 * SHARED as u32;
            written.limits.source.new_clients *= 4;
            written.limits.source.pushes *= 4;
            written.subscriptions.iter_mut().for_each(|all| all.interval = HumanDuration(self.interval));
        });
        setup.receiver("sink", "taker", "").start().await
    }
}

/// `barnabas simulate` as a child process, which stops on SIGINT.
struct Fleet(Option<Child>);

impl Fleet {
    fn start(host: &RunningHost, clients: usize, connections: usize, ramp: &str, seed: u64) -> Self {
        let mut command = Command::new(barnabas_tests::command::path());
        command.args(["simulate", "--json", "--seconds", "3600", "--bootstrap-server", &host.bootstrap()]);
        command.args(["--sources", "127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.5", "--ramp", ramp]);
        for (flag, number) in [("--clients", clients), ("--connections", connections), ("--seed", seed as usize)] {
            command.args([flag, &number.to_string()]);
        }
        Self(Some(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()))
    }

    /// Sends SIGINT, like Ctrl-C.
    fn interrupt(&self) {
        let id = self.0.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }

    /// The report, after its clients have stopped. Fails if any client fell silent.
    async fn report(mut self) -> Value {
        let child = self.0.take().unwrap();
        let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {text}", output.status);
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn instances(host: &RunningHost) -> usize {
    host.host.reception.counts().instances
}

/// The memory of the host with `known` instances: the minimum of many samples, because buffers come and go.
async fn memory_with(host: &RunningHost, known: usize, patience: Duration) -> u64 {
    let what = format!("{known} instances");
    eventually(&what, patience, || (instances(host) >= known).then_some(())).await;
    let mut least = u64::MAX;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        least = least.min(resident());
    }
    least
}

/// Waits until every client has pushed since the call.
async fn until_all_have_pushed(host: &RunningHost, clients: usize, patience: Duration) {
    let pushed = Arc::<Mutex<HashSet<InstanceId>>>::default();
    let seen = pushed.clone();
    let _listening = host.host.events.listen(&[Topic::PushAccepted], move |event| {
        if let EventData::PushAccepted { client, .. } = &event.data {
            seen.lock().unwrap().extend(client.instance_id);
        }
    });
    eventually("a push of every client", patience, || (pushed.lock().unwrap().len() >= clients).then_some(())).await;
}

fn sum(reports: &[Value; 2], place: &str) -> u64 {
    reports.iter().map(|report| report.pointer(place).and_then(Value::as_u64).unwrap()).sum()
}

fn errors(reports: &[Value; 2]) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for (request, of) in reports.iter().flat_map(|report| report["errors"].as_object().unwrap()) {
        for (name, count) in of.as_object().unwrap() {
            *all.entry(format!("{request}: {name}")).or_default() += count.as_u64().unwrap();
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_served_and_no_client_falls_silent() {
    let scale = FleetScale::from_env();
    // Raises the file limit of the host; its clients raise theirs.
    barnabas_simulator::raise_open_files();
    let host = scale.host().await;
    let warm = Fleet::start(&host, WARM, WARM, "1s", 1);
    until_all_have_pushed(&host, WARM, scale.patience).await;
    let before = memory_with(&host, WARM, scale.patience).await;
    let alone = Fleet::start(&host, scale.alone, scale.alone, &scale.ramp(scale.alone), 2);
    let connected = memory_with(&host, WARM + scale.alone, scale.patience).await;
    let connections = scale.shared_connections();
    let sharing = Fleet::start(&host, scale.sharing, connections, &scale.ramp(scale.sharing), 3);
    let all = WARM + scale.alone + scale.sharing;
    let full = memory_with(&host, all, scale.patience).await;
    until_all_have_pushed(&host, all, scale.patience).await;
    let (received, since) = (host.host.reception.ledger().received, Instant::now());
    tokio::time::sleep(scale.interval).await;
    let rate = (host.host.reception.ledger().received - received) as f64 / since.elapsed().as_secs_f64();
    let counts = host.host.reception.counts();
    let reports = [alone, sharing].map(|fleet| {
        fleet.interrupt();
        fleet.report()
    });
    let [first, second] = reports;
    let (first, second) = tokio::join!(first, second);
    let reports = [first, second];
    warm.interrupt();
    warm.report().await;

    let per_connection = connected.saturating_sub(before) / scale.alone as u64;
    let of_connections = per_connection * connections as u64;
    let per_instance = full.saturating_sub(connected).saturating_sub(of_connections) / scale.sharing as u64;
    let kb = |bytes: u64| bytes / 1024;
    println!("{} clients with a connection each, {} on {connections} (multiplexed)", scale.alone, scale.sharing);
    println!("memory:      {} kB, {} kB with connections, {} kB with all", kb(before), kb(connected), kb(full));
    println!("an instance: {per_instance} B (goal {})", GOALS[0]);
    println!("a connection with its instance: {per_connection} B (goal {})", GOALS[1]);
    println!("pushes:      {rate:.0}/s at an interval of {:?}; {} accepted", scale.interval, sum(&reports, "/pushes"));
    println!("errors:      {:?}", errors(&reports));
    println!("instances:   {}, {:?}", counts.instances, counts.evicted);
    for report in &reports {
        println!("latency:     get {}, push {}", report["get_latency"], report["push_latency"]);
    }
    assert_eq!((counts.instances, counts.evicted), (all, Evictions::default()));
    let clients = (scale.alone + scale.sharing) as u64;
    assert_eq!((sum(&reports, "/clients"), sum(&reports, "/silent")), (clients, 0));
    assert_eq!(errors(&reports), BTreeMap::new());
    let zero = ["/silencing_errors", "/lost", "/refused", "/never_connected"].map(|place| sum(&reports, place));
    assert_eq!(zero, [0; 4], "{reports:?}");
    let kinds = reports.iter().flat_map(|report| report["kinds"].as_object().unwrap().values());
    assert_eq!(kinds.map(|kind| kind["pushed"].as_u64().unwrap()).sum::<u64>(), clients);
    assert!(host.host.reception.ledger().is_balanced());
    host.stop().await;
}
