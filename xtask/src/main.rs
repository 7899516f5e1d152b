//! The project's own commands. Each builds what it needs, says what it does and how long it took, and ends with the
//! status of the last thing it ran.

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

  demo [--for 20s] [...]        builds host and receivers, starts them with a real librdkafka producer and consumer and
                                an OTLP sink, and shows what arrives; further words go to the demo itself
  test [--both-targets] [...]   builds the receivers from source and runs every test of the workspace; further words go
                                to `cargo test`
  test <part>                   runs the tests that need a part which not every machine has: `java` (Kafka's own Java
                                programs), `python` (its packages of librdkafka), `guests-py` and `guests-js` (receivers
                                in Python and JavaScript), `prometheus` (a real one, as a sink)
  prove <name> [--rounds n]     runs one proof in full; without a name lists the proofs and their rounds
  guests [--both-targets]       builds the plugins and the tests' guests for each Wasm target that is present
  plugins [--both-targets]      builds the plugins alone

Built guests stand in <target>/guests/wasip2 and <target>/guests/unknown. With --both-targets a Wasm target that is
missing is fetched: by rustup, else from Debian's packages where we may install them.
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
        other => bail!("there is no command `{other}`; run `cargo xtask --help`"),
    }
}

/// Whether a word stands among the others, taken out.
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
        bail!("`{word}` is not understood here; run `cargo xtask --help`");
    }
    for built in guests::build(project, which, reach)? {
        built.print()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn demo(project: &Project, words: &[String]) -> Result<ExitCode> {
    let built = guests::build(project, GuestSet::Plugins, FetchPolicy::InstalledOnly)?;
    let guests = &built.first().context("at least one Wasm target was built for")?.folder;
    let mut build = project.cargo();
    // The whole workspace at once, so that its packages agree on features and nothing is compiled twice.
    step::run("build the host and the demo", build.args(["build", "--workspace", "--bins"]))?;
    let mut demo = command(project.target.join("debug/demo"), project);
    demo.args(words).env("BARNABAS_GUESTS", guests);
    // The demo takes our place, so that Ctrl-C reaches it and its exit status is ours.
    step::exec(demo)
}

fn test(project: &Project, mut words: Vec<String>) -> Result<ExitCode> {
    if let Some(part) = words.first().and_then(|word| ExternalSuite::from_name(word)) {
        return part.test(project, &words.split_off(1));
    }
    let reach = reach(&mut words);
    let built = guests::build(project, GuestSet::All, reach)?;
    let mut build = project.cargo();
    // Commands and tests together: the tests run the command, with the same features.
    build.args(["build", "--workspace", "--lib", "--bins", "--tests"]);
    step::run("build host, commands and tests", &mut build)?;
    let mut first = true;
    for built in &built {
        let mut test = project.cargo();
        // What does not load guests need not run again for the second target. Always the whole workspace, so that the
        // features agree and nothing is compiled again.
        let which: &[&str] = if first { &["--workspace"] } else { &["--workspace", "--test=system"] };
        test.arg("test").args(which).args(&words).env("BARNABAS_GUESTS", &built.folder);
        step::run(&format!("cargo test {}, guests of {}", which.join(" "), built.target.triple()), &mut test)?;
        first = false;
    }
    for part in external::ALL {
        println!("{}", part.skipped());
    }
    println!("all tests passed, with guests of {}", guests::names(&built));
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

/// A command in the project's folder.
fn command(program: impl AsRef<std::ffi::OsStr>, project: &Project) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&project.root);
    command
}
