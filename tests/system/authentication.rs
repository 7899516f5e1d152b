//! Client authentication against a users file that the command wrote.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use barnabas::config::raw::ListenerProtocol;
use barnabas::config::sasl::RawSasl;
use barnabas_auth::SaslMechanism;
use barnabas_base::units::HumanDuration;
use barnabas_tests::command::{path, stderr, stdout};
use barnabas_tests::host::Setup;
use barnabas_tests::librdkafka;

const PATIENCE: Duration = Duration::from_secs(40);

/// Runs `barnabas user set` and pipes the password to it.
fn set(file: &Path, name: &str, password: &str, more: &[&str]) {
    let mut command = Command::new(path());
    command.args(["user", "set", name, "--password-file", "-", "--file"]).arg(file).args(more);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn users_are_added_changed_and_removed() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users.toml");
    let name = file.to_str().unwrap();
    assert!(stderr(&["user", "list", "--file", name]).contains("barnabas user set NAME"));
    set(&file, "alice", "secret\n", &[]);
    set(&file, "bob", "secret", &["--mechanism", "SCRAM-SHA-256", "--iterations", "4096"]);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&file, format!("# ours\n{text}")).unwrap();
    let listed = stdout(&["user", "list", "--file", name]);
    assert!(listed.contains("alice  scram-sha-256 (8192), scram-sha-512 (8192)"), "{listed}");
    assert!(listed.contains("bob    scram-sha-256 (4096)\n"), "{listed}");
    stdout(&["user", "remove", "alice", "--file", name]);
    assert!(stderr(&["user", "remove", "alice", "--file", name]).contains("no user `alice`"));
    assert!(!stdout(&["user", "list", "--file", name]).contains("alice"));
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("# ours\n"));
    assert!(stderr(&["user", "set", "bob", "--file", name, "--iterations", "4095"]).contains("4096..=16384"));
}

#[test]
fn concurrent_user_set_commands_lose_no_user() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users.toml");
    let asked = |n: usize| {
        let mut command = Command::new(path());
        command.args(["user", "set", &format!("user-{n}"), "--password-file", "-", "--iterations", "4096", "--file"]);
        command.arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    };
    // All commands wait for their passwords before the first password is written.
    let mut children: Vec<_> = (0..8).map(asked).collect();
    children.iter_mut().for_each(|child| child.stdin.take().unwrap().write_all(b"secret\n").unwrap());
    let written = format!("wrote {}\n", std::fs::canonicalize(folder.path()).unwrap().join("users.toml").display());
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stdout), written);
    }
    let listed = stdout(&["user", "list", "--file", file.to_str().unwrap()]);
    assert!((0..8).all(|n| listed.contains(&format!("user-{n} "))), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn librdkafka_pushes_as_its_authenticated_principal() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users.toml");
    set(&users, "alice", "secret", &[]);
    let sasl = RawSasl {
        mechanisms: vec![SaslMechanism::ScramSha512, SaslMechanism::Plain],
        users: Some(users),
        plain_without_tls: true,
        max_session: None,
        failure_delay: HumanDuration(Duration::from_millis(1)),
        oauth: None,
    };
    let setup = Setup::new().receiver("facts", "facts", "").with(|written| {
        written.listeners[0].protocol = ListenerProtocol::KafkaSaslPlaintext;
        written.listeners[0].sasl = Some(sasl);
    });
    let host = setup.start().await;
    let (alice, ear) = librdkafka::producer_as(&host.bootstrap(), "good", "alice", "secret");
    let (mallory, refused) = librdkafka::producer_as(&host.bootstrap(), "bad", "alice", "guess");
    barnabas_tests::eventually("acknowledged pushes", PATIENCE, || {
        alice.poll(Duration::ZERO);
        mallory.poll(Duration::ZERO);
        Some(()).filter(|()| ear.snapshot().acknowledged >= 2)
    })
    .await;
    let lines = barnabas_tests::eventually("a line of the receiver", PATIENCE, || {
        let lines = host.log_lines("facts");
        lines.iter().any(|line| line.contains("User:alice")).then_some(lines)
    })
    .await;
    assert!(lines.iter().all(|line| !line.contains("\"bad\"")), "{lines:?}");
    let said = barnabas_tests::eventually("the rejected authentication", PATIENCE, || {
        mallory.poll(Duration::ZERO);
        Some(refused.snapshot()).filter(|said| said.lines.iter().any(|line| line.contains("authentication failed")))
    })
    .await;
    assert_eq!(said.acknowledged, 0);
    tokio::task::spawn_blocking(move || drop((alice, mallory))).await.unwrap();
    host.stop().await;
}
