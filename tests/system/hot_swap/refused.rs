//! A candidate that fails its canary is rolled back and remembered by the host.

use std::fs;
use std::time::Duration;

use barnabas_base::digest::Digest;
use barnabas_lifecycle::change::{ChangeOutcome, PluginChange, RolloutOverride, SwapStage};
use barnabas_tests::command::stdout;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::load::Load;

use super::{
    CANARY, RATE, audit, audited_actions, change, digest, generation, manifest, of_file, put, until, until_serves,
    variant, write_manifest,
};

/// Fails this percentage of its batches.
fn percent(percent: u32, rest: &str) -> String {
    format!("[settings]\npercent = {percent}\n{rest}")
}

fn listed(host: &RunningHost) -> String {
    let socket = host.addresses.admin_socket.clone().unwrap();
    tokio::task::block_in_place(|| stdout(&["plugin", "list", "--admin", socket.to_str().unwrap()]))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_rolled_back_automatically_and_retried_only_on_request() {
    let host = Setup::new().manifest("sink", &manifest("falters", &percent(0, ""))).start().await;
    let a = digest(&host.status("sink")).unwrap();
    let (file, b) = (put(&host, "b.wasm", variant("falters", "b")), Digest::compute(&variant("falters", "b")));
    let load = Load::start(host.kafka(), RATE).await;
    let text = of_file(&file, &percent(30, CANARY));
    let written = write_manifest(&host, "sink", &text);
    let status = until(&host, "sink", "the rollback", |status| status.refused.is_some()).await;
    assert_eq!((digest(&status), generation(&status)), (Some(a), Some(1)));
    assert_eq!((status.desired.digest, status.desired.runs), (Some(b), false));
    let refused = status.refused.unwrap();
    assert_eq!((refused.digest, refused.stage), (b, SwapStage::Canary));
    for words in ["the serving generation 0 of ", "; its last error: it falters"] {
        assert!(refused.reason.contains(words), "{}", refused.reason);
    }
    assert_eq!(fs::read_to_string(&written).unwrap(), text, "the host does not change the manifest");
    load.stop().await;

    let host = host.stop_into_setup().await.start().await;
    let status = until(&host, "sink", "the recorded failure", |status| status.failure.is_some()).await;
    let failure = status.failure.unwrap();
    assert!(failure.contains("it was refused at canary: "), "{failure}");
    let ending = change(&host, PluginChange::Reconcile).await;
    assert_eq!((ending.verdict, digest(&host.status("sink"))), (ChangeOutcome::Failed, Some(a)));
    let said = listed(&host);
    let short = |digest: Digest| digest.to_string()[..19].to_owned();
    let words = format!("desired {}, running {}, because ", short(b), short(a));
    assert!(said.contains(&words) && said.contains("`retry` tries it again"), "{said}");
    assert_eq!(audited_actions(&host, "sink"), ["load Done", "swap RolledBack", "restore Done"], "no further attempt");

    let load = Load::start(host.kafka(), RATE).await;
    let ending = change(&host, PluginChange::Retry("sink".into(), RolloutOverride::default())).await;
    assert_eq!(
        (ending.verdict, ending.stage),
        (ChangeOutcome::RolledBack, Some(SwapStage::Canary)),
        "{}",
        ending.message
    );
    let numbers = audit(&host, "sink").into_iter().map(|entry| entry.to.unwrap().generation);
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 1, 3], "no generation number is reused");
    write_manifest(&host, "sink", &of_file(&file, &percent(0, CANARY)));
    let status = until(&host, "sink", "the edited candidate", |status| digest(status) == Some(b)).await;
    assert!(status.refused.is_none() && status.failure.is_none(), "{status:?}");
    load.stop().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_traps_is_rolled_back_and_its_pushes_are_delivered() {
    let host = Setup::new().manifest("sink", &manifest("falters", &percent(0, ""))).start().await;
    let load = Load::start(host.kafka(), RATE).await;
    let text = manifest("falters", &format!("[settings]\npercent = 30\ntrap = true\n{CANARY}"));
    let ending = change(&host, super::swap("sink", &text, RolloutOverride::default())).await;
    assert_eq!((ending.verdict, ending.serving), (ChangeOutcome::RolledBack, Some(1)), "{}", ending.message);
    load.stop().await;
    let ledger = barnabas_tests::eventually("the queue to be empty", Duration::from_secs(60), || {
        Some(host.ledger("sink")).filter(|ledger| ledger.held() == 0)
    })
    .await;
    assert_eq!(ledger.delivered() + ledger.dropped_total(), ledger.accepted(), "{ledger}");
    // The manifest still has the candidate; a manual rollback to the serving generation updates the manifest.
    let back =
        change(&host, super::swap("sink", &manifest("falters", &percent(0, "")), RolloutOverride::default())).await;
    assert_eq!(back.verdict, ChangeOutcome::Unchanged);
    until_serves(&host, "sink", 1).await;
    host.stop().await;
}
