mod reference;

use std::time::Duration;

use super::*;

fn parse(text: &str) -> Result<Manifest, String> {
    Manifest::parse(Path::new("plugins.d/sink.toml"), text)
}

fn parse_error(text: &str) -> String {
    let error = parse(text).unwrap_err();
    assert!(error.starts_with("plugins.d/sink.toml: "), "{error}");
    assert!(!error.contains('\n'), "one sentence: {error}");
    error
}

#[test]
fn an_artifact_is_the_only_required_key() {
    let manifest = parse("artifact = \"sink.wasm\"").unwrap();
    assert_eq!(&*manifest.name, "sink");
    assert_eq!(manifest.artifact.as_deref(), Some(Path::new("plugins.d/sink.wasm")));
    assert_eq!((&*manifest.settings, manifest.grants.is_empty(), manifest.instances), ("{}", true, 2));
    assert_eq!(manifest.requests, 16);
    assert_eq!(manifest.limits, InstanceLimits::default());
    assert!(parse_error("").contains("`artifact` is missing"));
}

#[test]
fn every_table_is_read() {
    let manifest = parse(
        r#"
        artifact = "/opt/sink.wasm"
        digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        [settings]
        endpoint = "http://localhost:4318"
        since = 2026-01-01
        nested = { list = [1, 2.5, true] }
        [grants]
        http = ["localhost:4318"]
        state = "1MiB"
        state-keys = 10
        [limits]
        memory = "32MiB"
        cpu = "500ms"
        deadline = "10s"
        start = "3s"
        stop = "1s"
        instances = 4
        requests = 40
        [batch]
        pushes = 10
        bytes = 65536
        linger = "0ms"
        [queue]
        bytes = "1MiB"
        pushes = 100
        [want]
        client_id = "orders-.*"
        "#,
    )
    .unwrap();
    assert_eq!(manifest.artifact.as_deref(), Some(Path::new("/opt/sink.wasm")));
    let settings: serde_json::Value = serde_json::from_str(&manifest.settings).unwrap();
    let wanted = serde_json::json!({
        "endpoint": "http://localhost:4318", "since": "2026-01-01", "nested": { "list": [1, 2.5, true] }
    });
    assert_eq!(settings, wanted);
    assert_eq!((manifest.limits.memory, manifest.limits.cpu), (32 << 20, Duration::from_millis(500)));
    assert!(!manifest.grants.is_empty());
    assert_eq!((manifest.instances, manifest.requests), (4, 40));
    assert_eq!(manifest.state_quota, Some(StateQuota { bytes: 1 << 20, keys: 10 }));
    let slot = manifest.slot_config();
    assert_eq!((slot.batch_pushes, slot.batch_bytes, slot.linger), (10, 65_536, Duration::ZERO));
    assert_eq!((slot.max_bytes, slot.max_pushes), (1 << 20, 100));
}

#[test]
fn state_is_granted_in_bytes() {
    let state =
        |grants: &str| parse(&format!("artifact = \"a.wasm\"\n[grants]\n{grants}")).map(|found| found.state_quota);
    assert_eq!(state(""), Ok(None));
    assert_eq!(state("state = 4096"), Ok(Some(StateQuota { bytes: 4096, keys: 1_000 })));
    assert!(state("state-keys = 1").unwrap_err().contains("`grants.state-keys` needs `grants.state`"));
    assert!(state("state = 0").unwrap_err().contains("`grants.state` is 0; it must be at least 1"));
    assert!(state("state = \"2GiB\"").unwrap_err().contains("it may be at most 1073741824"));
    assert!(state("state = 1\nstate-keys = 0").unwrap_err().contains("`grants.state-keys` is 0; it must be"));
    assert!(state("stat = 1").unwrap_err().contains("did you mean `state`?"));
}

#[test]
fn the_hosts_own_listeners_need_their_own_grant() {
    let grants = |grants: &str| parse(&format!("artifact = \"a.wasm\"\n[grants]\n{grants}"));
    assert!(!grants("http = [\"sink:80\"]").unwrap().grants.own_listeners());
    let granted = grants("http = [\"sink:80\"]\nown-listeners = true").unwrap();
    assert!(granted.grants.own_listeners());
    assert_eq!(granted.grant_lines, ["http sink:80", "own-listeners"], "lines of changed grants");
    assert!(!grants("own-listeners = false").unwrap().grants.own_listeners());
    let alone = grants("own-listeners = true").unwrap_err();
    assert!(alone.contains("`grants.own-listeners` needs `grants.http`"), "{alone}");
    assert!(grants("http = []\nown-listeners = \"yes\"").unwrap_err().contains("line 4, `own-listeners`: "));
}

#[test]
fn errors_name_the_key_and_the_remedy() {
    let with = |text: &str| parse_error(&format!("artifact = \"a.wasm\"\n{text}"));
    assert!(with("artefact = 1").contains("`artefact` is not a key; did you mean `artifact`?"));
    assert!(with("[limits]\nmemry = 1").contains("`memry` is not a key in [limits]; did you mean `memory`?"));
    assert!(with("[limits]\nmemory = \"lots\"").contains("`limits.memory`: `lots` is not a size"));
    assert!(with("[limits]\nmemory = 1").contains("`limits.memory` is 1; it must be at least 65536"));
    assert!(with("[limits]\ncpu = \"0s\"").contains("`limits.cpu` is 0"));
    assert!(with("[limits]\ndeadline = \"2h\"").contains("`limits.deadline`: it must be at most one hour"));
    assert!(with("[limits]\ninstances = 0").contains("`limits.instances` is 0; it must be at least 1"));
    assert!(with("[limits]\ncpu = 1").contains("`limits.cpu`: `1` has no unit"));
    assert!(with("[limits]\nmemory = \"64\"").contains("`limits.memory`: `64` has no unit"));
    assert!(with("[batch]\nlinger = true").contains("line 3, `linger`: text with its unit, such as \"30s\""));
    assert!(with("[limits]\ninstances = \"two\"").contains("line 3, `instances`: "));
    assert!(with("[limits]\nrequests = 0").contains("`limits.requests` is 0; it must be at least 1"));
    assert!(with("[limits]\nrequests = 1025").contains("`limits.requests` is 1025; it may be at most 1024"));
    assert!(with("[limits]\nrequests = \"many\"").contains("line 3, `requests`: "));
    assert!(with("digest = \"md5:0\"").contains("`digest`: `md5:0` is not a digest"));
    assert!(with("[settings]\nx = nan").contains("`settings.x` is NaN"));
    assert!(with("[queue]\npushes = 1").contains("`queue.pushes` is 1; it must be at least 64"));
    assert!(with("[want]\ncolour = \"red\"").contains("`want`"));
    assert!(with("[want]\nclient_id = \"(\"").contains("`want`"));
    assert!(with("= 1").contains("line 2: "));
    assert!(with("limits = 3").contains("line 2, `limits`: "));
    assert!(!with("[settings]\ntoken = s3cret").contains("s3cret"), "a value may be a secret");
}

#[test]
fn a_key_is_guessed_only_where_it_is_similar_and_the_known_ones_are_listed() {
    let with = |text: &str| parse_error(&format!("artifact = \"a.wasm\"\n{text}"));
    let message = with("foo = 5");
    assert!(
        message.contains("`foo` is not a key; known are `artifact`, `digest`, ") && !message.contains("did you"),
        "{message}"
    );
    let message = with("[grants]\nhttps = []");
    assert!(message.contains("in [grants]; did you mean `http`? Known are `http`, `addresses`, "), "{message}");
    assert!(with("memory = \"1MiB\"").contains("`memory` is not a key: it belongs in [limits]"));
    assert!(with("[limits]\npaused = true").contains("`paused` is not a key in [limits]: it belongs at the top level"));
    let message = with("[self-test]\nreply = { statis = 200 }");
    assert!(message.contains("line 3, `reply`: ") && message.contains("did you mean `status`?"), "{message}");
}

#[test]
fn a_percentage_needs_its_sign() {
    let canary =
        |line: &str| parse(&format!("artifact = \"a.wasm\"\n[rollout]\n{line}")).map(|found| found.rollout.canary);
    assert_eq!(canary("canary = \"5%\""), Ok(0.05));
    for line in ["canary = \"5\"", "canary = 5", "canary = 5.0"] {
        let message = canary(line).unwrap_err();
        assert!(message.contains("`rollout.canary`: `5") && message.contains("%\"?"), "{line}: {message}");
    }
    assert!(canary("budget = 0.05").unwrap_err().contains("`0.05` has no `%`"));
    assert!(canary("canary = \"101%\"").unwrap_err().contains("at most 100%"));
}

#[test]
fn names_are_plain() {
    for good in ["a", "0", "otlp-http", "a-"] {
        assert_eq!(&*plugin_name(&Path::new("d").join(format!("{good}.toml"))).unwrap(), good);
    }
    for bad in ["", "-a", "A", "a_b", "a b", "ä", &"a".repeat(64)] {
        assert!(plugin_name(&Path::new("d").join(format!("{bad}.toml"))).is_err(), "{bad}");
    }
}

#[test]
fn normalising_is_a_switch_or_a_table() {
    let with = |line: &str| parse(&format!("artifact = \"a.wasm\"\n{line}"));
    let wanted = |line: &str| with(line).unwrap().normalise.is_some();
    assert!(!wanted("") && !wanted("normalise = false"));
    assert!(wanted("normalise = true") && wanted("normalise = {}"));
    assert!(wanted("normalise = { admin-clients = [\"tool-.*\"] }"));
    assert!(wanted("[normalise]\nadmin-clients = []"));
    let refused = |line: &str| parse_error(&format!("artifact = \"a.wasm\"\n{line}"));
    assert!(refused("normalize = true").contains("did you mean `normalise`?"));
    assert!(refused("[normalise]\nadmin-client = []").contains("in [normalise]; did you mean `admin-clients`?"));
    assert!(refused("normalise = 1").contains("true, false or a table"));
    assert!(refused("[normalise]\nadmin-clients = [\"(\"]").contains("`normalise.admin-clients`: the pattern `(`"));
}

#[test]
fn normalising_changes_the_fingerprint_and_comments_do_not() {
    let meaning = |line: &str| parse(&format!("artifact = \"a.wasm\"\n{line}")).unwrap().fingerprint;
    assert_ne!(meaning(""), meaning("normalise = true"));
    assert_eq!(meaning("normalise = true"), meaning("normalise = true # a comment"));
}
