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
                "dead_lettered": { "rejected": { "pushes": 2, "bytes": 9 } },
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
fn what_a_person_wants_to_know_stands_first_in_words_and_units() {
    assert_eq!(
        render(&plugin(), SINCE + 90.0),
        "plugin      sink\n\
         state       serving: generation 3 since 2026-11-22T07:45:00Z, for 1 min 30 s\n\
         health      healthy\n\
         backlog     12 pushes (1.2 MiB) queued, the oldest for 3.2 s; 1 push (12 B) with the receiver\n\
         delivered   94 pushes (3.0 MiB); 1 push offered more than once\n\
         given up    3 pushes: 2 rejected (dead letter), 1 queue-full (shed)\n\
         last error  2026-11-22T07:46:00Z, 30.0 s ago: 503\\u{1b}[2J\n\
         cost        42.2 ms of CPU for 96 batches (440 µs a batch); at most 12.4 MiB of memory in one instance \
         (64MiB allowed)\n\
         instances   2 of 2 run\n\
         state kept  1 key, 2.0 KiB\n\
         contract    0.1.0\n\
         digest      sha256:aa\n\
         manifest    plugins.d/sink.toml\n\
         kept        generation 2, sha256:bb, which served from 2026-11-22T07:44:00Z\n\
         \n\
         settings\n\
         \u{20} endpoint   http://a/b\n\
         \u{20} headers.x  1\n\
         \u{20} labels     [\"a\",\"b\"]\n\
         \u{20} token      (hidden)\n\
         \n\
         grants\n\
         \u{20} http   a:1\n\
         \u{20} state  1MiB\n\
         \n\
         limits\n\
         \u{20} instances  2\n\
         \u{20} memory     64MiB\n\
         \n\
         batches\n\
         \u{20} pushes  64\n\
         \n\
         queue\n\
         \u{20} bytes  64MiB\n\
         \n\
         wants\n\
         \u{20} every push\n"
    );
}

#[test]
fn health_is_the_first_thing_that_is_wrong() {
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
    assert_eq!(
        health(&waits),
        "its last batches were not taken: 3 lanes are offered again after a wait, first in 2.1 s"
    );
    let wrong = |plugin: &mut Value| {
        waits(plugin);
        set(plugin, "/serving/misconfigured", json!("check `token`"));
    };
    assert_eq!(health(&wrong), "misconfigured: check `token`");
    assert!(health(&|plugin| set(plugin, "/serving/live", json!(0))).starts_with("no instance runs"));
    assert!(health(&|plugin| set(plugin, "/paused", json!(true))).starts_with("paused: "));
    let failed = |plugin: &mut Value| {
        set(plugin, "/serving", Value::Null);
        set(plugin, "/failure", json!("no `artifact`"));
    };
    assert_eq!(health(&failed), "nothing serves: no `artifact`");
    assert_eq!(health(&|plugin| set(plugin, "/serving", Value::Null)), "nothing serves yet");
}

#[test]
fn what_is_wanted_and_does_not_run_is_told_with_stage_and_time() {
    let mut plugin = plugin();
    set(&mut plugin, "/desired/runs", json!(false));
    set(&mut plugin, "/failure", json!("it failed 8 of 8 pushes"));
    set(&mut plugin, "/failed", json!({ "stage": "canary", "reason": "", "at_unix_seconds": SINCE }));
    let wanted = |plugin: &Value| {
        let page = render(plugin, SINCE + 1.0);
        page.lines().find_map(|line| line.strip_prefix("wanted ")).map(|line| line.trim().to_owned())
    };
    assert_eq!(
        wanted(&plugin).unwrap(),
        "the same artifact with other settings, which does not run; it ended at canary (2026-11-22T07:45:00Z, 1.0 s ago): \
         it failed 8 of 8 pushes"
    );
    set(&mut plugin, "/desired/digest", json!("sha256:cc"));
    assert!(wanted(&plugin).unwrap().starts_with("sha256:cc, which does not run; "));
    set(&mut plugin, "/desired/runs", json!(true));
    assert_eq!(wanted(&plugin), None);
}

#[test]
fn a_host_that_tells_less_is_shown_as_far_as_it_does() {
    assert_eq!(
        render(&json!({ "name": "sink" }), SINCE),
        "plugin  sink\nstate   unknown\nhealth  nothing serves yet\n"
    );
    let mut crashed = plugin();
    set(&mut crashed, "/serving/crashes", json!(1));
    crashed["serving"]["replaced"] = json!(2);
    crashed["serving"]["last_error"]["recovered_at_unix_seconds"] = json!(SINCE + 90.0);
    set(&mut crashed, "/serving/log_losses", json!([1, 3]));
    let page = render(&crashed, SINCE);
    assert!(page.contains("2 of 2 run; 1 crash so far; 2 replaced so far"), "{page}");
    assert!(page.contains("; recovered: a batch was taken 2026-11-22T07:46:30Z, "), "{page}");
    assert!(page.contains("1 line cut, 3 dropped"), "{page}");
}
