//! The commands of `cargo xtask`. Each builds what it needs, prints its steps with their durations, and exits with the
//! status of the last program that it ran.

mod external;
mod guests;
mod project;
mod proof;
mod step;
mod wasm_target;

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use external::ExternalSuite;
use guests::GuestSet;
use project::Project;
use wasm_target::FetchPolicy;

const HELP: &str = "\
cargo xtask <command>

  demo [--for 20s] [...]        build host and receivers, run them with a real librdkafka producer and consumer and an
                                OTLP sink, and print what arrives; further arguments are passed to the demo
  test [--both-targets] [...]   build the receivers from source and run all tests of the workspace; further arguments are
                                passed to `cargo test`
  test <suite>                  run the tests that need additional software: `java` (Kafka's Java clients and commands),
                                `python` (Python's packages of librdkafka), `guests-py` and `guests-js` (receivers in
                                Python and JavaScript), `prometheus` (a real Prometheus as a sink)
  prove <name> [--rounds n]     run one proof in full; without a name, list the proofs and their rounds
  guests [--both-targets]       build the plugins and the test guests for each installed Wasm target
  plugins [--both-targets]      build only the plugins

Built guests are in <target>/guests/wasip2 and <target>/guests/unknown. --both-targets installs missing Wasm targets with
rustup, or from Debian's packages if it can install them.
";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut words: Vec<String>) -> Result<ExitCode> {
    if words.is_empty() || words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let command = words.remove(0);
    let project = Project::find()?;
    match command.as_str() {
        "demo" => demo(&project, &words),
        "test" => test(&project, words),
        "prove" => proof::prove(&project, words),
        "guests" => build_only(&project, GuestSet::All, words),
        "plugins" => build_only(&project, GuestSet::Plugins, words),
        other => bail!("unknown command `{other}`; run `cargo xtask --help`"),
    }
}

/// Removes a flag, and returns whether it was present.
fn take_flag(words: &mut Vec<String>, flag: &str) -> bool {
    let before = words.len();
    words.retain(|word| word != flag);
    words.len() < before
}

fn reach(words: &mut Vec<String>) -> FetchPolicy {
    if take_flag(words, "--both-targets") { FetchPolicy::Both } else { FetchPolicy::InstalledOnly }
}

fn build_only(project: &Project, which: GuestSet, mut words: Vec<String>) -> Result<ExitCode> {
    let reach = reach(&mut words);
    if let Some(word) = words.first() {
        bail!("unexpected argument `{word}`; run `cargo xtask --help`");
    }
    for built in guests::build(project, which, reach)? {
        built.print()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn demo(project: &Project, words: &[String]) -> Result<ExitCode> {
    let built = guests::build(project, GuestSet::Plugins, FetchPolicy::InstalledOnly)?;
    let guests = &built.first().context("no receivers were built")?.folder;
    let mut build = project.cargo();
    // The whole workspace, so that features are unified and nothing is compiled twice.
    step::run("build the host and the demo", build.args(["build", "--workspace", "--bins"]))?;
    let mut demo = command(project.target.join("debug/demo"), project);
    demo.args(words).env("BARNABAS_GUESTS", guests);
    // Replaces this process, so that the demo gets Ctrl-C and returns its exit status.
    step::exec(demo)
}

fn test(project: &Project, mut words: Vec<String>) -> Result<ExitCode> {
    if let Some(part) = words.first().and_then(|word| ExternalSuite::from_name(word)) {
        return part.test(project, &words.split_off(1));
    }
    let reach = reach(&mut words);
    let built = guests::build(project, GuestSet::All, reach)?;
    let mut build = project.cargo();
    // Builds commands and tests together, with the same features, since the tests run the command.
    build.args(["build", "--workspace", "--lib", "--bins", "--tests"]);
    step::run("build host, commands and tests", &mut build)?;
    let mut first = true;
    for built in &built {
        let mut test = project.cargo();
        // For the second target, only the tests that load guests run. Always for the whole workspace, so that features are
        // unified and nothing is compiled again.
        let which: &[&str] = if first { &["--workspace"] } else { &["--workspace", "--test=system"] };
        test.arg("test").args(which).args(&words).env("BARNABAS_GUESTS", &built.folder);
        step::run(&format!("cargo test {}, with guests for {}", which.join(" "), built.target.triple()), &mut test)?;
        first = false;
    }
    for part in external::ALL {
        println!("{}", part.skipped());
    }
    println!("all tests passed, with guests for {}", guests::names(&built));
    Ok(ExitCode::SUCCESS)
}

fn take_value(words: &mut Vec<String>, flag: &str) -> Result<Option<String>> {
    let Some(at) = words.iter().position(|word| word == flag) else { return Ok(None) };
    if at + 1 == words.len() {
        bail!("`{flag}` needs a value; run `cargo xtask --help`");
    }
    words.remove(at);
    Ok(Some(words.remove(at)))
}

/// A command that runs in the root of the workspace.
fn command(program: impl AsRef<std::ffi::OsStr>, project: &Project) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&project.root);
    command
}
