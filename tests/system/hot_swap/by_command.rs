//! Rollouts with the `barnabas` command, whose exit status is the outcome.

use std::fs;
use std::path::{Path, PathBuf};

use barnabas_lifecycle::change::SwapStage;
use barnabas_tests::command::run;
use barnabas_tests::eventually;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::load::Load;

use super::{PATIENCE, RATE, audit, audited_actions, put, start_rollout, taker, until, variant, write_manifest};

/// Runs the command against a host in this process; returns its exit status and output.
struct HostCommand(PathBuf);

impl HostCommand {
    fn for_host(host: &RunningHost) -> Self {
        Self(host.addresses.admin_socket.clone().unwrap())
    }

    fn run(&self, words: &[&str]) -> (i32, String) {
        let words = [words, &["--admin", self.0.to_str().unwrap()]].concat();
        // Blocks without stopping this runtime, which runs the host.
        let output = tokio::task::block_in_place(|| run(&words));
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    /// Asserts the exit status and the parts of the output.
    fn expect_output(&self, words: &[&str], status: i32, all: &[&str]) {
        let (code, said) = self.run(words);
        assert_eq!(code, status, "{words:?}: {said}");
        for part in all {
            assert!(said.contains(part), "{words:?}: `{said}` should contain `{part}`");
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_load_to_remove() {
    let host = Setup::new().start().await;
    let barnabas = HostCommand::for_host(&host);
    let (a, b) = (put(&host, "a.wasm", variant("taker", "a")), put(&host, "b.wasm", variant("taker", "b")));
    barnabas.expect_output(
        &["plugin", "load", "sink", text(&a), "--set", "name=one"],
        0,
        &["self-test", "generation 1 serves"],
    );
    barnabas.expect_output(&["plugin", "load", "sink", text(&a)], 1, &["there is a plugin `sink`; `swap` replaces it"]);
    barnabas.expect_output(&["plugin", "swap", "sink", text(&b)], 0, &["compiled", "retire", "generation 2 serves"]);
    barnabas.expect_output(&["plugin", "swap", "sink", text(&b)], 0, &["it is what serves already"]);
    barnabas.expect_output(&["plugin", "swap", "sonk", text(&b)], 1, &["no plugin is called `sonk`; there is `sink`"]);
    barnabas.expect_output(
        &["plugin", "swap", "sink", "--set", "name=two", "--grant-http", "a.example:80"],
        0,
        &["generation 3 serves", "+ http a.example:80"],
    );
    barnabas.expect_output(&["plugin", "rollback", "sink"], 0, &["generation 4 serves", "- http a.example:80"]);
    barnabas.expect_output(&["plugin", "rollback", "sink", "--to", "1"], 0, &["generation 5 serves"]);
    barnabas.expect_output(
        &["plugin", "rollback", "sink", "--to", "77"],
        1,
        &["cannot go back to generation 77: kept are"],
    );
    barnabas.expect_output(&["plugin", "pause", "sink"], 0, &["no batches"]);
    barnabas.expect_output(&["plugin", "list"], 0, &["paused", "sink"]);
    barnabas.expect_output(&["plugin", "resume", "sink"], 0, &["it is given batches"]);
    barnabas.expect_output(&["plugin", "abort", "sink"], 1, &["no swap of `sink` is under way"]);
    barnabas.expect_output(&["plugin", "describe", "sink"], 0, &["generation", "retained"]);
    barnabas.expect_output(&["plugin", "logs", "sink"], 0, &["one started"]);
    barnabas.expect_output(&["reconcile"], 0, &["1 manifest looked at, 0 plugins changed, 0 not as wanted"]);
    barnabas.expect_output(&["plugin", "remove", "sink"], 0, &["it is gone"]);
    barnabas.expect_output(&["audit"], 0, &["load", "swap", "rollback", "pause", "resume", "remove", "4 → 5", "uid "]);
    let who = audit(&host, "sink").pop().unwrap().who;
    assert!(who.starts_with("uid ") && who.contains("(pid "), "{who}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_serve_ends_with_one_and_changes_nothing() {
    let host = Setup::new().manifest("sink", &taker("a", "")).start().await;
    let barnabas = HostCommand::for_host(&host);
    let nonsense = put(&host, "nonsense", "#!/bin/sh");
    let written = || fs::read_to_string(host.folder().join("plugins.d/sink.toml")).unwrap();
    barnabas.expect_output(&["plugin", "swap", "sink", text(&nonsense)], 1, &["it is not WebAssembly"]);
    barnabas.expect_output(
        &["plugin", "swap", "sink", "--set", "nome=1"],
        1,
        &["the receiver refused to start", "nome"],
    );
    barnabas.expect_output(&["plugin", "load", "other", text(&nonsense)], 1, &["it is not WebAssembly"]);
    assert_eq!(written(), taker("a", ""));
    assert!(host.host.plugins.describe("other").is_none(), "it never came to be");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_outcome_of_a_canary_has_its_status() {
    let few = "[rollout]\nbatches = 10\nstep = \"30s\"\n";
    let sound = super::manifest("falters", few);
    let host = Setup::new()
        .manifest("sink", &sound)
        .manifest("quiet", &taker("a", "[want]\nclient_id = \"none\"\n"))
        .start()
        .await;
    let barnabas = HostCommand::for_host(&host);
    let load = Load::start(host.kafka(), RATE).await;
    let swap = |set: &'static str| ["plugin", "swap", "sink", "--set", set, "--canary", "25%"];
    barnabas.expect_output(&swap("percent=1"), 0, &["canary", "8 of 32 lanes", "generation 2 serves"]);
    barnabas.expect_output(&swap("percent=30"), 3, &["it failed ", "the serving generation"]);
    barnabas.expect_output(&["plugin", "list"], 0, &["desired sha256:", ", running sha256:", ", because "]);
    barnabas.expect_output(
        &["plugin", "retry", "sink"],
        3,
        &["it was refused at canary", "now it is tried under `--canary 25%`"],
    );
    barnabas.expect_output(&["plugin", "rollback", "sink"], 0, &["generation 2 serves and is what its manifest wants"]);
    barnabas.expect_output(&["plugin", "keep", "sink"], 0, &["generation 2 serves and is what its manifest wants"]);
    barnabas.expect_output(&swap("percent=30"), 3, &["it was refused at canary"]);
    barnabas.expect_output(&["plugin", "keep", "sink"], 0, &["generation 2 serves", "which was refused at canary"]);
    barnabas.expect_output(&swap("percent=30"), 3, &["it failed "]);
    barnabas.expect_output(
        &["plugin", "retry", "sink", "--canary", "100%"],
        0,
        &["generation 7 serves", "was refused at canary"],
    );
    write_manifest(&host, "quiet", &taker("a", "[want]\nclient_id = \"none\"\n[rollout]\nstep = \"1s\"\n"));
    barnabas.expect_output(
        &["plugin", "swap", "quiet", "--set", "name=b", "--canary", "5%"],
        4,
        &["0 batches", "rollout.step"],
    );
    load.stop().await;

    start_rollout(&host, "quiet", &taker("c", super::ENDLESS), SwapStage::Canary).await;
    barnabas.expect_output(&["plugin", "describe", "quiet"], 0, &["rollout", "at stage canary"]);
    barnabas.expect_output(&["plugin", "abort", "quiet"], 0, &["nothing is under way any more"]);
    let aborted = std::thread::spawn({
        let socket = barnabas.0.clone();
        let words = ["plugin", "retry", "quiet", "--admin"].map(str::to_owned);
        move || {
            let words: Vec<&str> = words.iter().map(String::as_str).chain([socket.to_str().unwrap()]).collect();
            run(&words)
        }
    });
    until(&host, "quiet", "the canary", |status| {
        status.rollout.as_ref().is_some_and(|rollout| rollout.stage == Some(SwapStage::Canary))
    })
    .await;
    barnabas.expect_output(&["plugin", "abort", "quiet"], 0, &[]);
    eventually("the end of it", PATIENCE, || aborted.is_finished().then_some(())).await;
    let output = aborted.join().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(audited_actions(&host, "quiet").contains(&"retry Aborted".into()));
    host.stop().await;
}
