//! Every command ends quietly if the reader of its output closes the pipe: `barnabas config | head -1`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{PipeWriter, pipe};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use barnabas_lifecycle::change::SwapStage;
use barnabas_tests::command::{path, run, stdout};
use barnabas_tests::eventually;
use barnabas_tests::guests;
use barnabas_tests::host::{RunningHost, Setup};

/// The exit status that a shell reports for a command that died of SIGPIPE.
const CLOSED: i32 = 141;

/// A pipe whose reading end is closed.
fn unread() -> PipeWriter {
    pipe().unwrap().1
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(path());
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command whose output is closed, and asserts that it ends like other tools then do.
fn ends_quietly(arguments: &[&str]) {
    let Output { status, stderr, .. } = command(arguments).stdout(unread()).output().unwrap();
    let said = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(CLOSED), "barnabas {arguments:?}: {said}");
    // The progress of `simulate` is written to standard error, but no message about the closed output.
    assert!(!said.contains("panicked") && !said.contains("barnabas:"), "barnabas {arguments:?}: {said}");
}

/// The names of all commands according to `--help`, including those of command groups like `plugin`.
fn commands(under: &[&str]) -> BTreeSet<String> {
    let help = stdout(&[under, &["--help"]].concat());
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut names = BTreeSet::new();
    if help.contains("\nCommands:\n") {
        for line in lines {
            let name = line.split_whitespace().next().unwrap();
            // A more deeply indented line continues the description above it.
            if name != "help" && line.starts_with("  ") && !line.starts_with("   ") {
                names.extend(commands(&[under, &[name]].concat()));
            }
        }
    } else {
        names.insert(under.join(" "));
    }
    names
}

/// Runs commands with a closed output and records their names.
#[derive(Default)]
struct CheckedCommands(BTreeSet<String>);

impl CheckedCommands {
    /// `verb` is the name of the command: one word, or two for a command of a group.
    fn check(&mut self, verb: &str, rest: &[&str]) {
        let words: Vec<_> = verb.split(' ').chain(rest.iter().copied()).collect();
        ends_quietly(&words);
        self.0.insert(verb.to_owned());
    }

    /// Like `quiet`, on a thread of its own, because the threads of the test run the host.
    async fn check_with_host(&mut self, verb: &'static str, rest: &[&str]) {
        let rest: Vec<String> = rest.iter().map(ToString::to_string).collect();
        let words = move || ends_quietly(&verb.split(' ').chain(rest.iter().map(String::as_str)).collect::<Vec<_>>());
        tokio::task::spawn_blocking(words).await.unwrap();
        self.0.insert(verb.to_owned());
    }
}

fn without_a_host(tried: &mut CheckedCommands) {
    let folder = tempfile::tempdir().unwrap();
    let (users, secret) = (folder.path().join("users.toml"), folder.path().join("password"));
    let (users, guest) = (users.to_str().unwrap(), guests::path("taker").display().to_string());
    std::fs::write(&secret, "secret\n").unwrap();
    tried.check("config", &[]);
    tried.check("plugin list", &[]);
    tried.check("plugin check", &[&guest]);
    tried.check("plugin run", &[&guest]);
    tried.check("user set", &["alice", "--file", users, "--password-file", secret.to_str().unwrap()]);
    tried.check("user list", &["--file", users]);
    tried.check("user remove", &["alice", "--file", users]);
}

async fn serves(host: &RunningHost, generation: u64) {
    eventually("the serving generation", Duration::from_secs(60), || {
        let serving = host.host.plugins.describe("console")?.serving?;
        (serving.generation >= generation).then_some(())
    })
    .await;
}

async fn with_a_host(tried: &mut CheckedCommands) {
    let setup = Setup::new();
    let config = setup.write().display().to_string();
    let host = setup.start().await;
    let (config, bootstrap) = (["--config", config.as_str()], host.bootstrap());
    let (console, taker) = (guests::path("console"), guests::path("taker"));
    let (console, taker) = (console.to_str().unwrap(), taker.to_str().unwrap());

    tried.check_with_host("plugin load", &[&["console", console], config.as_slice()].concat()).await;
    serves(&host, 1).await;
    let broker = ["--bootstrap-server", bootstrap.as_str()];
    tried
        .check_with_host("simulate", &[&["--clients", "1", "--seconds", "1", "--ramp", "0s"], &broker[..]].concat())
        .await;
    eventually("lines", Duration::from_secs(60), || host.log_lines("console").first().map(drop)).await;

    let alter = [&["basic", "--metrics", "*", "--match", "client_id=.*"], broker.as_slice()].concat();
    tried.check_with_host("subscription alter", &alter).await;
    tried.check_with_host("subscription list", &broker).await;
    tried.check_with_host("subscription describe", &[&["basic"], broker.as_slice()].concat()).await;
    tried.check_with_host("subscription delete", &[&["basic"], broker.as_slice()].concat()).await;

    tried.check_with_host("client list", &config).await;
    let client = host.host.reception.clients(&barnabas_pipeline::clients::ClientFilter::default()).clients.remove(0);
    let id = client.id;
    tried.check_with_host("client describe", &[&[id.as_str()], config.as_slice()].concat()).await;

    let named = [&["console"], config.as_slice()].concat();
    tried.check_with_host("plugin describe", &named).await;
    tried.check_with_host("plugin logs", &named).await;
    tried.check_with_host("plugin swap", &[&["console", taker], config.as_slice()].concat()).await;
    serves(&host, 2).await;
    tried.check_with_host("plugin rollback", &named).await;
    serves(&host, 3).await;
    tried.check_with_host("plugin retry", &named).await;
    tried.check_with_host("plugin pause", &named).await;
    tried.check_with_host("plugin resume", &named).await;
    tried.check_with_host("plugin keep", &named).await;
    let shadow = [&["console", taker, "--shadow", "10m"], config.as_slice()].concat();
    tried.check_with_host("plugin swap", &shadow).await;
    eventually("the shadow", Duration::from_secs(60), || {
        let stage = host.host.plugins.describe("console")?.rollout?.stage;
        (stage == Some(SwapStage::Shadow)).then_some(())
    })
    .await;
    tried.check_with_host("plugin abort", &named).await;
    tried.check_with_host("reconcile", &config).await;
    tried.check_with_host("audit", &config).await;
    tried.check_with_host("plugin remove", &named).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_ends_quietly_when_its_output_is_closed() {
    let mut tried = CheckedCommands::default();
    without_a_host(&mut tried);
    with_a_host(&mut tried).await;
    // `serve` prints nothing on standard output; its log is tested below.
    let expected: BTreeSet<_> = commands(&[]).into_iter().filter(|name| name != "serve").collect();
    assert_eq!(tried.0, expected, "add new commands to this test");
}

#[test]
fn an_output_without_space_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = command(&["config"]).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("barnabas: cannot write to standard output: "), "{said}");
}

#[test]
fn an_error_with_closed_standard_error_is_still_a_failure() {
    let status = command(&["config", "--config", "/nowhere.toml"]).stderr(unread()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_survives_the_reader_of_its_log() {
    let setup = Setup::new();
    let config = setup.write().display().to_string();
    let mut host = command(&["serve", "--config", &config]).stderr(unread()).spawn().unwrap();
    eventually("the host", Duration::from_secs(60), || {
        assert_eq!(host.try_wait().unwrap(), None, "the host exited");
        let listed = run(&["plugin", "list", "--config", &config]);
        (!String::from_utf8_lossy(&listed.stdout).contains("no host is running")).then_some(())
    })
    .await;
    assert!(Command::new("kill").arg(host.id().to_string()).status().unwrap().success());
    assert!(host.wait().unwrap().success());
}
