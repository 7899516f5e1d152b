//! The command line, as operators and receiver authors use it.

use std::time::Duration;

use barnabas_tests::command::{path, run, stderr, stdout};
use barnabas_tests::host::Setup;
use barnabas_tests::sink::OtlpSink;

fn guest(name: &str) -> String {
    barnabas_tests::guests::path(name).display().to_string()
}

#[test]
fn the_effective_configuration_parses_to_itself() {
    let printed = stdout(&["config"]);
    assert!(printed.contains("advertises 127.0.0.1:9092"), "{printed}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("again.toml");
    let moved = |text: &str| {
        text.replace("plugins.d", "/p").replace("\"data\"", "\"/d\"").replace("\"data/admin.sock\"", "\"/d/a.sock\"")
    };
    assert!(moved(&printed).contains("socket = \"/d/a.sock\""), "{printed}");
    std::fs::write(&file, moved(&printed)).unwrap();
    let again = stdout(&["config", "--config", file.to_str().unwrap()]);
    assert_eq!(again, moved(&printed));
}

#[test]
fn wrong_settings_are_rejected_with_place_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("b.toml");
    for (text, words) in [
        ("node_id = 1", ["b.toml:1", "did you mean `node-id`"]),
        ("[limits]\npush-bytes = \"1 elephant\"", ["b.toml:2", "64MiB"]),
        ("[[subscription]]\nname = \"a\"\nmetrics = []\ninterval = \"1ms\"", ["subscription `a`", "100"]),
        ("[[subscription]]\nname = \"a\"\nmetrics = []\ninterval = \"30m\"", ["subscription `a`", "5m"]),
        ("[[subscription]]\nname = \"a\"\nmetrics = []\nmatch = { colour = \"red\" }", ["colour", "client_id"]),
        (
            "[[subscription]]\nname = \"a\"\nmetrics = []\nmatch = { client_id = \"(\" }",
            ["subscription `a`", "client_id"],
        ),
        (
            "[[listener]]\nname = \"k\"\nprotocol = \"kafka-plaintext\"\nbind = \"0.0.0.0:9092\"\nadvertised = \"0.0.0.0:9092\"",
            ["listener `k`", "0.0.0.0"],
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = stderr(&["config", "--config", file.to_str().unwrap()]);
        for word in words {
            assert!(said.contains(word), "`{said}` should contain `{word}`");
        }
    }
    assert!(stderr(&["config", "--config", "/nowhere.toml"]).contains("/nowhere.toml"));
}

#[test]
fn check_prints_imports_and_errors() {
    let said = stdout(&["plugin", "check", &guest("otlp-http")]);
    for word in ["kafka-telemetry:receiver@0.1.0", "granted", "wasi:http/outgoing-handler", "sha256:"] {
        assert!(said.contains(word), "`{said}` should contain `{word}`");
    }
    let said = stdout(&["plugin", "check", &guest("remembers")]);
    let import = said.lines().find(|line| line.contains("kafka-telemetry:receiver/state@0.1.0")).unwrap_or_default();
    assert!(import.contains("denied unless the operator grants it"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("core.wasm");
    std::fs::write(&file, b"\0asm\x01\0\0\0").unwrap();
    let output = run(&["plugin", "check", file.to_str().unwrap()]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("core module"));
}

#[test]
fn run_shows_outcome_logs_requests_cpu_and_memory() {
    let said = stdout(&["plugin", "run", &guest("console"), "--sample", "librdkafka"]);
    for word in ["outcome: taken", "org.apache.kafka.", "cpu", "memory"] {
        assert!(said.contains(word), "`{said}` should contain `{word}`");
    }
    let endpoint = "endpoint=http://collector.example:4318/v1/metrics";
    let said = stdout(&["plugin", "run", &guest("otlp-http"), "--sample", "java", "--set", endpoint]);
    for word in ["outcome: taken", "POST http://collector.example:4318/v1/metrics"] {
        assert!(said.contains(word), "`{said}` should contain `{word}`");
    }
    let output = run(&["plugin", "run", &guest("traps")]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("trap"));
}

#[tokio::test(flavor = "multi_thread")]
async fn run_sends_requests_on_demand() {
    let sink = OtlpSink::start().await;
    let endpoint = format!("endpoint={}", sink.url());
    let said = tokio::task::spawn_blocking(move || {
        stdout(&["plugin", "run", &guest("otlp-http"), "--set", &endpoint, "--egress", "send"])
    })
    .await
    .unwrap();
    assert!(said.contains("outcome: taken"), "{said}");
    assert_eq!(sink.received().len(), 1);
    assert!(
        said.contains("request: POST ") && said.contains("answer:  200 OK"),
        "the request is printed as well: {said}"
    );
}

#[test]
fn run_normalises_the_push_on_demand() {
    let points = |more: &[&str]| {
        let guest = guest("facts");
        let said = stdout(&[&["plugin", "run", &guest, "--sample", "java"], more].concat());
        let line = said.lines().find(|line| line.contains("\"points\"")).unwrap_or_default().to_owned();
        let facts: serde_json::Value = serde_json::from_str(&line[line.find('{').unwrap()..]).unwrap();
        facts["points"].as_u64().unwrap()
    };
    assert_eq!((points(&[]), points(&["--normalise"])), (86, 72), "14 of them are NaN");
    assert_eq!(points(&["--admin-client", "sample"]), 72);
    assert!(stderr(&["plugin", "run", &guest("facts"), "--admin-client", "("]).contains("`--admin-client`"));
}

#[test]
fn run_reads_a_recorded_push_from_a_file() {
    let push = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/java-3.7-producer-cumulative.none-0.bin");
    let said = stdout(&["plugin", "run", &guest("taker"), "--push", push]);
    assert!(said.contains("7670 bytes"), "{said}");
}

#[test]
fn run_shows_bodies_and_hides_credentials() {
    let endpoint = "endpoint=http://collector.example:4318/v1/metrics";
    let settings = ["--set", endpoint, "--set", "compression=none", "--set", "headers.authorization=Bearer s3cret"];
    let guest = guest("otlp-http");
    let said = |more: &[&str]| stdout(&[&["plugin", "run", &guest], settings.as_slice(), more].concat());
    let hidden = said(&["--show-body=12"]);
    for word in [
        "| resource {",
        "org.apache.kafka.producer.",
        "authorization: Bearer (hidden; use --show-secrets",
        "more lines",
    ] {
        assert!(hidden.contains(word), "`{hidden}` should contain `{word}`");
    }
    assert!(!hidden.contains("s3cret"), "{hidden}");
    assert!(said(&["--show-secrets"]).contains("authorization: Bearer s3cret"));
    assert!(!said(&[]).contains("| resource"), "bodies are printed only on demand");
}

#[test]
fn run_sends_the_configured_response_and_exits_by_the_outcome() {
    let guest = guest("otlp-http");
    let endpoint = "endpoint=http://collector.example:4318/v1/metrics";
    let run = |more: &[&str]| {
        let output = run(&[&["plugin", "run", &guest, "--set", endpoint], more].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (status, said) = run(&["--reply", "429,retry-after=3"]);
    assert!(status == Some(3) && said.contains("outcome: unavailable:") && said.contains("after 3s"), "{said}");
    let (status, said) = run(&["--reply", "503", "--reply", "200", "--repeat", "3"]);
    let taken = said.contains("batch 2: taken") && said.contains("batch 3: taken");
    assert!(status == Some(3) && said.contains("batch 1: unavailable:") && taken, "{said}");
    assert!(
        said.contains("outcome: 2 taken, 1 unavailable") && said.contains("first:   batch 1: unavailable"),
        "{said}"
    );
    let (status, _) = run(&["--reply", "413"]);
    assert_eq!(status, Some(4));
}

#[test]
fn run_repeats_with_one_instance_and_replaces_it_after_a_trap() {
    let guest = guest("falters");
    let output = run(&["plugin", "run", &guest, "--set", "percent=34", "--set", "trap=true", "--repeat", "100"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(8), "{said}");
    for word in ["batch 2: taken", "batch 3: broke (trap): ", "started a new instance", "outcome: 67 taken, 33 trap"] {
        assert!(said.contains(word), "`{said}` should contain `{word}`");
    }
    assert!(said.contains("first:   batch 3: broke (trap): "), "{said}");
}

#[test]
fn run_applies_a_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sink.toml");
    let endpoint = "http://collector.example:4318/v1/metrics";
    let text = format!("[settings]\nendpoint = {endpoint:?}\n[self-test]\nreply = {{ status = 503 }}\n");
    std::fs::write(&file, &text).unwrap();
    let guest = guest("otlp-http");
    let run = |more: &[&str]| {
        let manifest = file.to_str().unwrap();
        let output = run(&[&["plugin", "run", &guest, "--manifest", manifest], more].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (status, said) = run(&[]);
    assert!(status == Some(3) && said.contains("grant") && !said.contains("request: POST"), "no grants: {said}");
    let (status, said) = run(&["--grant-http", "collector.example:4318"]);
    assert!(status == Some(3) && said.contains("503") && said.contains("request: POST"), "{said}");
    let (status, said) = run(&["--grant-http", "collector.example:4318", "--reply", "200", "--limit", "memory=64KiB"]);
    assert!(status == Some(1) && said.contains("never got the batch"), "{said}");
    assert!(
        !said.lines().any(|line| line.starts_with("start:") || line.starts_with("export:")),
        "no measurements: {said}"
    );
    let wrong = stderr(&["plugin", "run", &guest, "--limit", "memory=1"]);
    assert!(wrong.contains("`limits.memory` is 1; it must be at least 65536") && !wrong.contains(".toml"), "{wrong}");
}

#[test]
fn run_reads_several_pushes_as_json_or_recorded() {
    let vector = |name: &str| format!("{}/vectors/{name}.bin", env!("CARGO_MANIFEST_DIR"));
    let (zstd, snappy) =
        (vector("java-4.0-producer-cumulative.zstd-0"), vector("librdkafka-2.16-producer-cumulative.snappy-0"));
    let guest = guest("taker");
    let pushes = ["plugin", "run", guest.as_str(), "--push", zstd.as_str(), "--push", snappy.as_str()];
    let said = stdout(&pushes);
    assert!(said.contains("outcome: taken") && said.contains("2 pushes"), "{said}");
    let said = stdout(&[pushes.as_slice(), &["--pushes-per-batch", "1"]].concat());
    assert!(said.contains("batch 2: taken") && said.contains("outcome: 2 taken"), "{said}");
}

#[test]
fn run_prints_the_output_of_a_guest_that_trapped() {
    let output = run(&["plugin", "run", &guest("writes_why")]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(8), "{said}");
    // A guest for `wasm32-unknown-unknown` has no standard error.
    if barnabas_tests::guests::path("writes_why").display().to_string().contains("wasip2") {
        assert!(said.contains("broke (trap): KeyError: 'x' (wasm `unreachable` instruction executed"), "{said}");
    }
}

#[test]
fn a_missing_artifact_error_explains_how_to_build_one() {
    for verb in ["check", "run"] {
        let said = stderr(&["plugin", verb, "/nowhere/tally.wasm"]);
        assert!(said.contains("/nowhere/tally.wasm") && said.contains("rustup target add wasm32-wasip2"), "{said}");
    }
}

#[test]
fn list_shows_manifests_while_no_host_runs() {
    let setup = Setup::new().receiver("taker", "taker", "").manifest("broken", "artefact = \"x\"");
    let config = setup.write();
    let said = stdout(&["plugin", "list", "--config", config.to_str().unwrap()]);
    for word in ["taker", "broken", "did you mean `artifact`"] {
        assert!(said.contains(word), "`{said}` should contain `{word}`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_starts_responds_and_stops_on_a_signal() {
    let setup = Setup::new().receiver("taker", "taker", "").with(|written| {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        written.admin.bind = free;
    });
    let admin = setup.config.admin.bind;
    let mut child = std::process::Command::new(path())
        .args(["serve", "--config", setup.write().to_str().unwrap()])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    barnabas_tests::eventually("readiness", Duration::from_secs(60), || ready(admin)).await;
    let list = setup.folder().join("barnabas.toml");
    let said = stdout(&["plugin", "list", "--config", list.to_str().unwrap()]);
    assert!(said.contains("serving"), "{said}");
    assert!(std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let status = tokio::task::spawn_blocking(move || {
        let status = child.wait().unwrap();
        (status, std::io::read_to_string(child.stderr.take().unwrap()).unwrap())
    })
    .await
    .unwrap();
    assert!(status.0.success(), "{status:?}");
    assert!(status.1.contains("Kafka clients: bootstrap.servers="), "{}", status.1);
}

/// Waits for a 200 from `/readyz`.
fn ready(admin: std::net::SocketAddr) -> Option<()> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(admin).ok()?;
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.starts_with("HTTP/1.1 200").then_some(())
}
