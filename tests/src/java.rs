//! Kafka's own Java parts, as Maven fetches them: stock clients and stock commands.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use crate::process::ClientProcess;

/// Where the sources and the list of what they need are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("java")
}

/// Asked once at a time: Maven's local repository is not made for more.
static MAVEN: Mutex<()> = Mutex::new(());

/// Where Java finds what this version of the clients needs, and of Kafka's commands if `tools`.
fn class_path(version: &str, tools: bool) -> String {
    let _alone = MAVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let out = tempfile::NamedTempFile::new().unwrap();
    let mut maven = Command::new("mvn");
    maven.current_dir(folder()).args(["-q", "-B", "dependency:build-classpath"]);
    maven.arg(format!("-Dkafka.version={version}")).arg(format!("-Dmdep.outputFile={}", out.path().display()));
    if tools {
        maven.arg("-Dtools");
    }
    let output = maven.output().unwrap_or_else(|error| panic!("Maven does not run: {error}; install a JDK and Maven"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "Maven cannot fetch Kafka {version}:\n{said}");
    std::fs::read_to_string(out.path()).unwrap()
}

/// A client that is there until it is closed; `kind` is `producer`, `consumer`, `group` or `admin`. `settings` are
/// further ones, by name.
pub fn client(version: &str, kind: &str, bootstrap: &str, client_id: &str, settings: &[(&str, &str)]) -> ClientProcess {
    let mut java = Command::new("java");
    java.args(["-Xmx192m", "-cp", &class_path(version, false)]).arg(folder().join("Push.java"));
    let settings = settings.iter().map(|(name, value)| format!("{name}={value}"));
    ClientProcess::start(java.args([kind, bootstrap, client_id]).args(settings))
}

/// Runs one of Kafka's commands to its end.
pub fn command(version: &str, class: &str, words: &[&str]) -> Output {
    let mut java = Command::new("java");
    java.args(["-Xmx192m", "-cp", &class_path(version, true), class]).args(words);
    java.output().unwrap()
}
