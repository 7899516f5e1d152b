//! An unusable data directory aborts startup; a host without one must be requested explicitly.

use std::process::{Command, Stdio};
use std::time::Duration;

use barnabas_tests::command::{path, run, stderr};
use barnabas_tests::eventually;
use barnabas_tests::host::Setup;

/// A host whose data directory cannot be created, not even by root.
fn without_a_disk() -> Setup {
    let setup = Setup::new().receiver("taker", "taker", "").with(|written| {
        written.admin.bind = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    });
    let file = setup.folder().join("file");
    std::fs::write(&file, "").unwrap();
    setup.with(|written| {
        written.data_dir = file.join("data");
        written.admin.socket = Some(file.with_file_name("here.sock"));
    })
}

#[test]
fn an_unusable_data_directory_aborts_startup_with_an_explanation() {
    let setup = without_a_disk();
    let said = stderr(&["serve", "--config", setup.write().to_str().unwrap()]);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 1, "{said}");
    for word in ["barnabas: ", "file/data/barnabas.redb: cannot open the store", "`data-dir`", "--ephemeral"] {
        assert!(said.contains(word), "`{said}` should contain `{word}`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_host_serves_from_memory_and_logs_it() {
    let setup = without_a_disk();
    let config = setup.write().display().to_string();
    let mut command = Command::new(path());
    let mut host = command.args(["serve", "--ephemeral", "--config", &config]).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the receiver to serve", Duration::from_secs(60), || {
        assert_eq!(host.try_wait().unwrap(), None, "the host exited");
        let listed = run(&["plugin", "list", "--config", &config]);
        String::from_utf8_lossy(&listed.stdout).contains("serving").then_some(())
    })
    .await;
    let paused = run(&["plugin", "pause", "taker", "--config", &config]);
    assert!(paused.status.success(), "the socket in the log accepts commands: {paused:?}");
    assert!(Command::new("kill").arg(host.id().to_string()).status().unwrap().success());
    assert!(host.wait().unwrap().success());
    let said = std::io::read_to_string(host.stderr.take().unwrap()).unwrap();
    assert!(said.contains("this host is ephemeral"), "{said}");
    assert!(!said.contains("ERROR") && !said.contains("WARN"), "{said}");
}
