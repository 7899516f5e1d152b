use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use barnabas_admin::client::AdminAddress;
use barnabas_lifecycle::change::{PluginChangeResult, SwapStage};
use barnabas_lifecycle::manifest;
use barnabas_lifecycle::manifest::Manifest;
use clap::{CommandFactory as _, Parser as _};
use serde_json::json;

use super::*;

#[derive(clap::Parser)]
struct ChangeCli {
    #[command(flatten)]
    wanted: ManifestArgs,
    #[command(flatten)]
    plan: RolloutArgs,
    #[command(flatten)]
    host: host::HostArgs,
}

fn parse(flags: &[&str]) -> Result<ChangeCli, clap::Error> {
    ChangeCli::try_parse_from(["x"].iter().chain(flags))
}

fn ending(verdict: ChangeOutcome) -> ChangeStep {
    ChangeStep::Ended(PluginChangeResult {
        plugin: "sink".into(),
        verdict,
        serving: Some(2),
        stage: Some(SwapStage::Canary),
        message: "more errors\u{1b}[2J than before".into(),
        grants: vec!["+ http localhost:4318".into()],
    })
}

/// Runs `wait_for_outcome` against a host that sends this response.
fn wait_for_response(answer: String) -> Result<ExitCode> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = AdminClient::new(vec![AdminAddress::for_bound(listener.local_addr().unwrap(), None)]);
    let host = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = Vec::new();
        // Reads the whole request, whose body is `{}`: closing a connection with unread data discards the response.
        while !heard.ends_with(b"{}") {
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).unwrap();
            heard.extend_from_slice(&piece[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let code = wait_for_outcome(&parse(&[]).unwrap().host, &client, "/v1/plugins/sink/swap", &json!({}));
    host.join().unwrap();
    code
}

fn response_of(steps: &[ChangeStep]) -> String {
    let lines: String = steps.iter().map(|step| serde_json::to_string(step).unwrap() + "\n").collect();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{lines}", lines.len())
}

#[test]
fn each_verdict_has_its_exit_status() {
    for (verdict, code) in [
        (ChangeOutcome::Done, 0),
        (ChangeOutcome::Unchanged, 0),
        (ChangeOutcome::Failed, 1),
        (ChangeOutcome::RolledBack, 3),
        (ChangeOutcome::Inconclusive, 4),
        (ChangeOutcome::Aborted, 5),
    ] {
        let code = ExitCode::from(code);
        assert_eq!(
            format!("{:?}", wait_for_response(response_of(&[ending(verdict)])).unwrap()),
            format!("{code:?}"),
            "{verdict:?}"
        );
    }
}

#[test]
fn a_response_without_an_outcome_and_a_refusal_are_errors() {
    let news = ChangeStep::News { plugin: "sink".into(), stage: SwapStage::Canary, text: "5 of 20".into() };
    let error = wait_for_response(response_of(&[ending(ChangeOutcome::Done), news])).unwrap_err().to_string();
    assert!(error.contains("did not report the outcome"), "{error}");
    let body = json!({ "error": { "code": "unknown-plugin", "message": "there is no plugin `sink`" } }).to_string();
    let error =
        wait_for_response(format!("HTTP/1.1 404 no\r\ncontent-length: {}\r\n\r\n{body}", body.len())).unwrap_err();
    assert_eq!(error.to_string(), "there is no plugin `sink`");
}

#[test]
fn steps_are_formatted_as_aligned_lines_and_a_final_message() {
    let took = Duration::from_millis(1_234);
    let passed = |note: Option<&str>| ChangeStep::Passed {
        plugin: "sink".into(),
        generation: 3,
        stage: SwapStage::Compile,
        took,
        note: note.map(Into::into),
    };
    assert_eq!(show::format_step(&passed(Some("from the cache")), false), "compile       1.2 s  from the cache\n");
    assert_eq!(show::format_step(&passed(None), true), "sink            compile       1.2 s\n");
    let news = ChangeStep::News { plugin: "sink".into(), stage: SwapStage::Shadow, text: "7 batches".into() };
    assert_eq!(show::format_step(&news, false), "shadow            …  7 batches\n");
    let end = show::format_step(&ending(ChangeOutcome::RolledBack), true);
    assert_eq!(end, "sink: more errors\\u{1b}[2J than before\n  + http localhost:4318\n");
}

#[test]
fn flags_become_overrides_of_manifest_and_rollout() {
    let flags = ["--set", "a.b=1", "--set", "c=null", "--grant-http", "localhost:4318"];
    let plan = ["--shadow", "60s", "--canary", "5%", "--no-self-test"];
    let line = parse(&[flags.as_slice(), &plan].concat()).unwrap();
    let wanted = line.wanted.to_overrides(None).unwrap();
    assert_eq!(Value::Object(wanted.settings), json!({ "a": { "b": 1 }, "c": null }));
    assert_eq!(wanted.grant_http, ["localhost:4318"]);
    let shadow = Some(HumanDuration(Duration::from_secs(60)));
    assert_eq!(line.plan.to_rollout(), RolloutOverride { self_test: Some(false), shadow, canary: Some(5.0) });
}

/// A sample value for each key of `[grants]` that has a value. A new key needs a flag of its own.
fn sample_grant(key: &str) -> Option<&'static str> {
    match key {
        "http" => Some("localhost:4318"),
        "addresses" => Some("10.0.0.0/8"),
        "own-listeners" => None,
        "state" => Some("1KiB"),
        "state-keys" => Some("5"),
        new => panic!("`grants.{new}` has no flag on `plugin load` and `plugin swap`: add one"),
    }
}

#[test]
fn every_grant_has_a_flag() {
    let keys = manifest::keys("grants");
    let flag = |key: &str| [Some(format!("--grant-{key}")), sample_grant(key).map(str::to_owned)].into_iter().flatten();
    let flags: Vec<_> = keys.iter().copied().flat_map(flag).collect();
    let line = parse(&flags.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let wanted = line.wanted.to_overrides(None).unwrap();
    let manifest = Manifest::with_patch(Path::new("sink.toml"), "artifact = \"a.wasm\"", &wanted).unwrap();
    let line = |key: &&str| sample_grant(key).map_or_else(|| (*key).to_owned(), |value| format!("{key} {value}"));
    let expected: Vec<_> = keys.iter().map(line).collect();
    assert_eq!(manifest.grant_lines, expected);
    for verb in ["load", "swap"] {
        let command = crate::Cli::command();
        let command = command.find_subcommand("plugin").and_then(|plugin| plugin.find_subcommand(verb)).unwrap();
        let named = |key: &str| {
            let flag = format!("grant-{key}");
            command.get_arguments().any(|argument| {
                let aliases = argument.get_all_aliases().unwrap_or_default();
                argument.get_long() == Some(&flag) || aliases.contains(&flag.as_str())
            })
        };
        assert!(keys.iter().all(|key| named(key)), "{verb}");
    }
}

#[test]
fn every_limit_can_be_set() {
    let limits = ["memory=32MiB", "cpu=2s", "deadline=3s", "start=4s", "stop=5s", "instances=6", "requests=7"];
    let flags: Vec<_> = limits.iter().flat_map(|limit| ["--limit", limit]).collect();
    assert_eq!(limits.map(|limit| limit.split_once('=').unwrap().0), manifest::keys("limits"));
    let wanted = parse(&flags).unwrap().wanted.to_overrides(None).unwrap();
    let of = |wanted: &ManifestPatch| Manifest::with_patch(Path::new("sink.toml"), "artifact = \"a.wasm\"", wanted);
    let manifest = of(&wanted).unwrap();
    assert_eq!((manifest.limits.memory, manifest.instances, manifest.requests), (32 << 20, 6, 7));
    let seconds = |limit: Duration| limit.as_secs();
    let limits = &manifest.limits;
    assert_eq!([limits.cpu, limits.deadline, limits.start, limits.stop].map(seconds), [2, 3, 4, 5]);
    let wrong = parse(&["--limit", "memory=1"]).unwrap().wanted.to_overrides(None).unwrap();
    assert!(of(&wrong).unwrap_err().contains("`limits.memory` is 1; it must be at least 65536"));
}

#[test]
fn flags_that_are_not_given_are_not_sent() {
    let line = parse(&[]).unwrap();
    assert_eq!(line.wanted.to_overrides(None).unwrap(), ManifestPatch::default());
    assert_eq!(line.plan.to_rollout(), RolloutOverride::default());
    for wrong in [["--canary", "101%"], ["--canary", "5"], ["--canary", "some"], ["--shadow", "soon"]] {
        assert!(self::parse(&wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_plugin_name_is_exactly_one_segment_of_a_path() {
    assert_eq!(plugin_path("sink-2", "/load").unwrap(), "/v1/plugins/sink-2/load");
    for name in ["", "a/b", "..", "a?b", "A", "a b"] {
        assert!(plugin_path(name, "").is_err(), "{name}");
    }
}
