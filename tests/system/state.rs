//! The state that a receiver stores in its slot: it survives instances and generations, and is limited by its grant.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use barnabas::config::raw::ListenerProtocol;
use barnabas_base::InstanceId;
use barnabas_runtime::capability::state::{SlotState, StateQuota, StateUsage};
use barnabas_storage::store::Store;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::raw::RawClient;
use barnabas_tests::vectors;

const PATIENCE: Duration = Duration::from_secs(60);
const GRANTED: &str = "[grants]\nstate = \"1KiB\"\nstate-keys = 2\n";
const ONE_BY_ONE: &str = "[batch]\npushes = 1\nlinger = \"0ms\"\n[rollout]\nself-test = false\n";

/// Pushes `times` times from each of `clients` concurrent clients.
async fn push(host: &RunningHost, clients: usize, times: usize) {
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..clients {
        all.spawn(push_from_one(host.kafka(), times));
    }
    all.join_all().await;
}

async fn push_from_one(kafka: SocketAddr, times: usize) {
    let vector = vectors::one("librdkafka-2.16-producer-cumulative.zstd");
    let mut client = RawClient::connect(kafka, "counted").await;
    let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
    for _ in 0..times {
        assert_eq!(client.push(&subscribed, vector.codec, &vector.wire, false).await, Some(0));
        // The host accepts at most ten pushes per second from a client.
        tokio::time::sleep(Duration::from_millis(110)).await;
    }
}

async fn delivered(host: &RunningHost, pushes: u64) {
    barnabas_tests::eventually("the pushes to be delivered", PATIENCE, || {
        (host.ledger("counts").delivered() == pushes).then_some(())
    })
    .await;
}

/// Stops the host, and reads the state of the slot from its store.
async fn kept(host: RunningHost) -> (Setup, StateUsage) {
    let setup = host.stop_into_setup().await;
    let store = Store::open(&setup.config.data_dir).unwrap();
    let usage = SlotState::for_slot(&store, "counts", StateQuota { bytes: 0, keys: 0 }).usage();
    (setup, usage)
}

fn totals(host: &RunningHost) -> Vec<u64> {
    let lines = host.log_lines("counts");
    lines.iter().filter_map(|line| line.strip_prefix("counted ")?.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn state_survives_a_trap() {
    let rest = format!("{GRANTED}[settings]\ntrap_once = true\n[limits]\ninstances = 1\n{ONE_BY_ONE}");
    let host = Setup::new().receiver("counts", "remembers", &rest).start().await;
    push(&host, 2, 1).await;
    delivered(&host, 2).await;
    let ledger = host.ledger("counts");
    assert_eq!(
        (ledger.redelivered(), ledger.dropped_total()),
        (1, 0),
        "retried once, because the state survived: {ledger}"
    );
    assert_eq!(totals(&host), [1, 2, 3], "the new instance continued the count");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_survives_a_restart() {
    let rest = format!("{GRANTED}{ONE_BY_ONE}");
    let host = Setup::new().receiver("counts", "remembers", &rest).start().await;
    push(&host, 3, 1).await;
    delivered(&host, 3).await;
    let (setup, usage) = kept(host).await;
    assert_eq!(usage, StateUsage { bytes: "pushes".len() + 1, keys: 1 });
    let host = setup.start().await;
    push(&host, 1, 1).await;
    delivered(&host, 1).await;
    assert_eq!(totals(&host), [4]);
    host.stop().await;
}

/// State is on disk by the time the receiver logs that it stored it, so it survives a kill of the host.
#[tokio::test(flavor = "multi_thread")]
async fn state_survives_a_kill() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = Setup::new().receiver("counts", "remembers", &format!("{GRANTED}{ONE_BY_ONE}"));
    let setup = setup.with(|written| {
        written.listeners.retain(|listener| listener.protocol == ListenerProtocol::KafkaPlaintext);
        written.listeners[0].bind = port;
    });
    let mut child = tokio::task::block_in_place(|| serve(&setup));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut heard = move |words: &str| {
        let mut lines = lines.by_ref().map(Result::unwrap);
        tokio::task::block_in_place(|| assert!(lines.any(|line| line.contains(words)), "no log line `{words}`"));
    };
    heard("bootstrap.servers");
    push_from_one(port, 2).await;
    heard("counted 2");
    child.kill().unwrap();
    child.wait().unwrap();
    let host = setup.start().await;
    push(&host, 1, 1).await;
    delivered(&host, 1).await;
    assert_eq!(totals(&host), [3]);
    host.stop().await;
}

fn serve(setup: &Setup) -> Child {
    let mut command = Command::new(barnabas_tests::command::path());
    command.args(["serve", "--config"]).arg(setup.write()).stderr(Stdio::piped()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_instances_lose_no_update() {
    let rest = format!("{GRANTED}[limits]\ninstances = 8\n{ONE_BY_ONE}");
    let host = Setup::new().receiver("counts", "remembers", &rest).start().await;
    push(&host, 16, 5).await;
    delivered(&host, 80).await;
    let mut totals = totals(&host);
    totals.sort_unstable();
    assert_eq!(totals, (1..=80).collect::<Vec<_>>(), "each count is logged once");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exceeding_the_grant_returns_full() {
    let rest = format!("{GRANTED}[settings]\nvalue_bytes = 1019\n{ONE_BY_ONE}");
    let host = Setup::new().receiver("counts", "remembers", &rest).start().await;
    push(&host, 1, 1).await;
    delivered(&host, 1).await;
    let lines = host.log_lines("counts");
    let wanted = "refused: full: the state is full: 1025 bytes of keys and values exceed the limit of 1024";
    assert_eq!(lines, [wanted]);
    assert_eq!(kept(host).await.1, StateUsage::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn state_without_a_grant_returns_unavailable() {
    let host = Setup::new().receiver("counts", "remembers", ONE_BY_ONE).start().await;
    assert_eq!(host.status("counts").failure, None, "a language runtime may import state without using it");
    push(&host, 1, 2).await;
    delivered(&host, 2).await;
    let said = "refused: unavailable: the state is not available: state is not granted: add `state = \"1MiB\"` to [grants] \
                in the plugin's manifest";
    assert_eq!(host.log_lines("counts"), [said, said]);
    assert_eq!(kept(host).await.1, StateUsage::default(), "nothing is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_can_be_used_by_only_one_host() {
    let first = Setup::new().start().await;
    let data_dir = first.folder().join("data");
    let second = Setup::new().with(|written| written.data_dir.clone_from(&data_dir));
    let config = barnabas::config::Config::resolve(&second.config).unwrap();
    let error = barnabas::app::App::build(config).await.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("another host uses this data directory; stop it, or give each host"), "{error}");
    first.stop().await;
}

#[test]
fn a_trial_run_provides_temporary_state() {
    let guest = barnabas_tests::guests::path("remembers").display().to_string();
    for _ in 0..2 {
        let said = barnabas_tests::command::stdout(&["plugin", "run", &guest]);
        assert!(said.contains("counted 1"), "{said}");
    }
}
