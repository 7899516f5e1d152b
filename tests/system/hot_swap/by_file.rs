//! Rollouts by manifest: the plugins follow the directory, however its files are changed.

use std::fs;
use std::os::unix::fs::symlink;

use barnabas_base::digest::Digest;
use barnabas_lifecycle::change::{ChangeOutcome, PluginChange};
use barnabas_tests::eventually;
use barnabas_tests::host::Setup;
use barnabas_tests::load::{Counter, Load};

use super::{
    PATIENCE, RATE, audited_actions, change, digest, forwarding, generation, put, taker, until, until_done,
    until_serves, variant, write_manifest,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_manifest_is_applied_including_a_pause() {
    let host = Setup::new().manifest("sink", &taker("a", "")).start().await;
    write_manifest(&host, "sink", &taker("b", ""));
    until_serves(&host, "sink", 2).await;
    assert!(host.log_lines("sink").contains(&"b started".into()));
    write_manifest(&host, "sink", &format!("# by night\npaused = true\n{}", taker("b", "")));
    until(&host, "sink", "the pause", |status| status.paused).await;
    write_manifest(&host, "sink", &taker("b", ""));
    let status = until(&host, "sink", "the plugin to be resumed", |status| !status.paused).await;
    assert_eq!(generation(&status), Some(2), "a pause needs no new generation");
    write_manifest(&host, "new", &taker("c", ""));
    until_serves(&host, "new", 1).await;
    until_done(&host, "sink", &["load Done", "swap Done", "pause Done", "resume Done"]).await;
    until_done(&host, "new", &["load Done"]).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_artifact_is_a_new_generation() {
    let setup = Setup::new();
    let file = setup.folder().join("sink.wasm");
    fs::write(&file, variant("taker", "a")).unwrap();
    let host = setup.manifest("sink", &super::of_file(&file, "")).start().await;
    put(&host, "sink.wasm", variant("taker", "b"));
    let status = until_serves(&host, "sink", 2).await;
    assert_eq!(digest(&status), Some(Digest::compute(&variant("taker", "b"))));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retargeted_symlink_is_a_changed_manifest() {
    let setup = Setup::new();
    let plugins = setup.config.plugins_dir.clone();
    let versions = setup.folder().join("versions");
    fs::create_dir(&versions).unwrap();
    for name in ["a", "b"] {
        fs::write(versions.join(name), taker(name, "")).unwrap();
    }
    symlink(versions.join("a"), plugins.join("sink.toml")).unwrap();
    let host = setup.start().await;
    until_serves(&host, "sink", 1).await;
    symlink(versions.join("b"), plugins.join(".fresh")).unwrap();
    fs::rename(plugins.join(".fresh"), plugins.join("sink.toml")).unwrap();
    until_serves(&host, "sink", 2).await;
    // Also if the target of the link is written.
    fs::write(versions.join("b"), taker("c", "")).unwrap();
    until_serves(&host, "sink", 3).await;
    assert!(host.log_lines("sink").contains(&"c started".into()));
    host.stop().await;
}

/// The layout of a mounted Kubernetes ConfigMap: links to files through a link to a folder, which is atomically
/// replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_is_replaced_atomically() {
    let setup = Setup::new();
    let plugins = setup.config.plugins_dir.clone();
    for (folder, name) in [("..1", "a"), ("..2", "b")] {
        fs::create_dir(plugins.join(folder)).unwrap();
        for plugin in ["one", "two"] {
            fs::write(plugins.join(folder).join(format!("{plugin}.toml")), taker(name, "")).unwrap();
        }
    }
    symlink("..1", plugins.join("..data")).unwrap();
    for plugin in ["one.toml", "two.toml"] {
        symlink(format!("..data/{plugin}"), plugins.join(plugin)).unwrap();
    }
    let host = setup.start().await;
    symlink("..2", plugins.join("..data_tmp")).unwrap();
    fs::rename(plugins.join("..data_tmp"), plugins.join("..data")).unwrap();
    for plugin in ["one", "two"] {
        until_serves(&host, plugin, 2).await;
        assert!(host.log_lines(plugin).contains(&"b started".into()));
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_directory_changes_nothing() {
    let host = Setup::new().manifest("sink", &taker("a", "")).start().await;
    let (here, away) = (host.folder().join("plugins.d"), host.folder().join("away.d"));
    fs::rename(&here, &away).unwrap();
    let ending = change(&host, PluginChange::Reconcile).await;
    assert_eq!(ending.verdict, ChangeOutcome::Failed);
    assert!(ending.message.contains("restore it"), "{}", ending.message);
    assert_eq!(generation(&host.status("sink")), Some(1));
    fs::rename(&away, &here).unwrap();
    assert_eq!(change(&host, PluginChange::Reconcile).await.verdict, ChangeOutcome::Done);
    assert_eq!(audited_actions(&host, "sink"), ["load Done"], "nothing was removed");
    write_manifest(&host, "sink", &taker("b", ""));
    until_serves(&host, "sink", 2).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_manifest_removes_its_plugin_once_all_pushes_are_delivered() {
    let sink = Counter::start().await;
    // The pushes wait for the long linger until the queue is drained.
    let waits = forwarding(&sink.url(), "", "").replace("10ms", "1h");
    let host = Setup::new().manifest("sink", &waits).manifest("other", &taker("a", "")).start().await;
    let load = Load::start(host.kafka(), RATE).await;
    eventually("some pushes", PATIENCE, || (load.acknowledged() > 100).then_some(())).await;
    let pushed = load.stop().await;
    assert!(host.ledger("sink").held() > 0);
    fs::remove_file(host.folder().join("plugins.d/sink.toml")).unwrap();
    eventually("the plugin to be removed", PATIENCE, || host.host.plugins.describe("sink").is_none().then_some(()))
        .await;
    let arrived = eventually("all pushes", PATIENCE, || {
        Some(sink.arrived()).filter(|arrived| arrived.pushes == pushed.acknowledged)
    })
    .await;
    assert_eq!(arrived.missing, 0);
    assert_eq!(generation(&host.status("other")), Some(1));
    until_done(&host, "sink", &["load Done", "remove Done"]).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typo_leaves_the_old_generation_serving_and_is_reported() {
    let host = Setup::new().manifest("sink", &taker("a", "")).start().await;
    write_manifest(&host, "sink", &taker("b", "[limit]\ncpu = \"1s\"\n"));
    let status = until(&host, "sink", "the problem", |status| status.desired.problem.is_some()).await;
    let problem = status.desired.problem.clone().unwrap();
    assert!(problem.contains("sink.toml") && problem.contains("did you mean `limits`"), "{problem}");
    assert_eq!((generation(&status), status.desired.runs), (Some(1), false));
    assert_eq!(change(&host, PluginChange::Reconcile).await.verdict, ChangeOutcome::Failed);
    write_manifest(&host, "sink", &taker("b", ""));
    let status = until_serves(&host, "sink", 2).await;
    assert_eq!((status.desired.problem, status.failure), (None, None));
    host.stop().await;
}
