//! Every command ends quietly where nobody reads what it prints: `barnabas config | head -1`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{PipeWriter, pipe};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use barnabas::plugin::change::Stage;
use barnabas_tests::command::{path, run, stdout};
use barnabas_tests::eventually;
use barnabas_tests::guests;
use barnabas_tests::host::{RunningHost, Setup};

/// What a shell reports of a command that SIGPIPE ended.
const CLOSED: i32 = 141;

/// A pipe that nobody reads.
fn unread() -> PipeWriter {
    pipe().unwrap().1
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(path());
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command whose output nobody reads, and sees to it that it ends as other tools do then.
fn ends_quietly(arguments: &[&str]) {
    let Output { status, stderr, .. } = command(arguments).stdout(unread()).output().unwrap();
    let said = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(CLOSED), "barnabas {arguments:?}: {said}");
    // The progress of `simulate` stands here, and nothing about this end.
    assert!(!said.contains("panicked") && !said.contains("barnabas:"), "barnabas {arguments:?}: {said}");
}

/// The names of all commands, those under `plugin` and so on with it, as `--help` lists them.
fn commands(under: &[&str]) -> BTreeSet<String> {
    let help = stdout(&[under, &["--help"]].concat());
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut names = BTreeSet::new();
    if help.contains("\nCommands:\n") {
        for line in lines {
            let name = line.split_whitespace().next().unwrap();
            // What is indented further goes on with the description of the line above.
            if name != "help" && line.starts_with("  ") && !line.starts_with("   ") {
                names.extend(commands(&[under, &[name]].concat()));
            }
        }
    } else {
        names.insert(under.join(" "));
    }
    names
}

/// Runs commands with an output that nobody reads, and remembers which.
#[derive(Default)]
struct CheckedCommands(BTreeSet<String>);

impl CheckedCommands {
    /// `verb` is one word, or two for the commands of a group.
    fn check(&mut self, verb: &str, rest: &[&str]) {
        let words: Vec<_> = verb.split(' ').chain(rest.iter().copied()).collect();
        ends_quietly(&words);
        self.0.insert(verb.to_owned());
    }

    /// The same as a task beside the host of the test, whose threads must not wait for it.
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
    eventually("the generation that serves", Duration::from_secs(60), || {
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
    let client = host.host.reception.clients(&barnabas::clients::ClientFilter::default()).clients.remove(0);
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
        (stage == Some(Stage::Shadow)).then_some(())
    })
    .await;
    tried.check_with_host("plugin abort", &named).await;
    tried.check_with_host("reconcile", &config).await;
    tried.check_with_host("audit", &config).await;
    tried.check_with_host("plugin remove", &named).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_ends_quietly_where_nobody_reads_its_output() {
    let mut tried = CheckedCommands::default();
    without_a_host(&mut tried);
    with_a_host(&mut tried).await;
    // It prints nothing: what it says goes to its log, see below.
    let expected: BTreeSet<_> = commands(&[]).into_iter().filter(|name| name != "serve").collect();
    assert_eq!(tried.0, expected, "a command that is new belongs into this test");
}

#[test]
fn an_output_that_takes_nothing_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = command(&["config"]).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("barnabas: cannot write to standard output: "), "{said}");
}

#[test]
fn an_error_that_nobody_reads_is_still_a_failure() {
    let status = command(&["config", "--config", "/nowhere.toml"]).stderr(unread()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_outlives_the_reader_of_its_log() {
    let setup = Setup::new();
    let config = setup.write().display().to_string();
    let mut host = command(&["serve", "--config", &config]).stderr(unread()).spawn().unwrap();
    eventually("the host", Duration::from_secs(60), || {
        assert_eq!(host.try_wait().unwrap(), None, "it ended");
        let listed = run(&["plugin", "list", "--config", &config]);
        (!String::from_utf8_lossy(&listed.stdout).contains("no host answers")).then_some(())
    })
    .await;
    assert!(Command::new("kill").arg(host.id().to_string()).status().unwrap().success());
    assert!(host.wait().unwrap().success());
}
