use serde_json::json;

use super::*;

const SINCE: f64 = 1_795_333_500.0;

fn plugin() -> Value {
    json!({
        "name": "sink", "file": "plugins.d/sink.toml", "state": "serving", "paused": false,
        "desired": { "digest": "sha256:aa", "problem": null, "runs": true },
        "failure": null, "failed": null,
        "serving": {
            "generation": 3, "digest": "sha256:aa", "contract": "0.1.0", "since_unix_seconds": SINCE,
            "instances": 2, "normalised": false, "cpu_seconds": 0.042_225_333, "memory_peak": 13_041_664, "live": 2,
            "batches": 96, "crashes": 0, "rejected_points": 0, "not_normalised": 0,
            "last_error": { "at_unix_seconds": SINCE + 60.0, "text": "503\u{1b}[2J" },
            "misconfigured": null, "log_losses": [0, 0],
        },
        "kept": [{ "generation": 2, "digest": "sha256:bb", "since_unix_seconds": SINCE - 60.0 }],
        "refused": null, "rollout": null, "state_usage": { "bytes": 2048, "keys": 1 },
        "queue": {
            "ledger": {
                "accepted": { "pushes": 110, "bytes": 9 }, "queued": { "pushes": 12, "bytes": 1_258_291 },
                "in_flight": { "pushes": 1, "bytes": 12 }, "delivered": { "pushes": 94, "bytes": 3_145_728 },
                "dropped": { "rejected": { "pushes": 2, "bytes": 9 } },
                "shed": { "queue-full": { "pushes": 1, "bytes": 9 } },
                "redelivered": { "pushes": 1, "bytes": 9 }, "notices_dropped": 0,
            },
            "serving": true, "leased_lanes": 1, "waiting_lanes": 0, "oldest_seconds": 3.21,
            "next_retry_seconds": null, "notices": 0,
        },
        "terms": {
            "settings": { "endpoint": "http://a/b", "token": "(hidden)", "headers": { "x": 1 }, "labels": ["a", "b"] },
            "grants": ["http a:1", "state 1MiB"],
            "limits": { "memory": "64MiB", "instances": 2 }, "batch": { "pushes": 64 }, "queue": { "bytes": "64MiB" },
            "want": {}, "normalise": false,
        },
    })
}

fn set(plugin: &mut Value, path: &str, value: Value) {
    *plugin.pointer_mut(path).unwrap() = value;
}

#[test]
fn a_page_starts_with_status_and_health_and_has_units() {
    insta::assert_snapshot!(render(&plugin(), SINCE + 90.0));
}

#[test]
fn health_is_the_most_important_problem() {
    let health = |edit: &dyn Fn(&mut Value)| {
        let mut plugin = plugin();
        edit(&mut plugin);
        let page = render(&plugin, SINCE);
        page.lines().find_map(|line| line.strip_prefix("health ")).unwrap().trim().to_owned()
    };
    let waits = |plugin: &mut Value| {
        set(plugin, "/queue/waiting_lanes", json!(3));
        set(plugin, "/queue/next_retry_seconds", json!(2.1));
    };
    assert_eq!(health(&waits), "retrying: the last batches of 3 lanes were not accepted; next retry in 2.1 s");
    let wrong = |plugin: &mut Value| {
        waits(plugin);
        set(plugin, "/serving/misconfigured", json!("check `token`"));
    };
    assert_eq!(health(&wrong), "misconfigured: check `token`");
    assert!(health(&|plugin| set(plugin, "/serving/live", json!(0))).starts_with("no instance is running"));
    assert!(health(&|plugin| set(plugin, "/paused", json!(true))).starts_with("paused: "));
    let failed = |plugin: &mut Value| {
        set(plugin, "/serving", Value::Null);
        set(plugin, "/failure", json!("no `artifact`"));
    };
    assert_eq!(health(&failed), "no generation serves: no `artifact`");
    assert_eq!(health(&|plugin| set(plugin, "/serving", Value::Null)), "no generation serves yet");
}

#[test]
fn a_desired_generation_that_does_not_serve_has_stage_and_time() {
    let mut plugin = plugin();
    set(&mut plugin, "/desired/runs", json!(false));
    set(&mut plugin, "/failure", json!("it failed 8 of 8 pushes"));
    set(&mut plugin, "/failed", json!({ "stage": "canary", "reason": "", "at_unix_seconds": SINCE }));
    let wanted = |plugin: &Value| {
        let page = render(plugin, SINCE + 1.0);
        page.lines().find_map(|line| line.strip_prefix("desired ")).map(|line| line.trim().to_owned())
    };
    assert_eq!(
        wanted(&plugin).unwrap(),
        "the same artifact with other settings (not serving; failed at canary (2026-11-22T07:45:00Z, 1.0 s ago): \
         it failed 8 of 8 pushes)"
    );
    set(&mut plugin, "/desired/digest", json!("sha256:cc"));
    assert!(wanted(&plugin).unwrap().starts_with("sha256:cc (not serving; "));
    set(&mut plugin, "/desired/runs", json!(true));
    assert_eq!(wanted(&plugin), None);
}

#[test]
fn missing_values_are_left_out() {
    assert_eq!(
        render(&json!({ "name": "sink" }), SINCE),
        "plugin  sink\nstate   unknown\nhealth  no generation serves yet\n"
    );
    let mut crashed = plugin();
    set(&mut crashed, "/serving/crashes", json!(1));
    crashed["serving"]["replaced"] = json!(2);
    crashed["serving"]["last_error"]["recovered_at_unix_seconds"] = json!(SINCE + 90.0);
    set(&mut crashed, "/serving/log_losses", json!([1, 3]));
    let page = render(&crashed, SINCE);
    assert!(page.contains("2 of 2 running; 1 crash; 2 replaced"), "{page}");
    assert!(page.contains("; recovered: a batch was accepted 2026-11-22T07:46:30Z, "), "{page}");
    assert!(page.contains("1 line truncated, 3 dropped"), "{page}");
}
