//! Kafka's Java clients and command-line tools, unmodified, fetched by Maven.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use crate::process::ClientProcess;

/// The folder with the Java sources and their `pom.xml`.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("java")
}

/// Serialises Maven runs: its local repository does not support concurrent writers.
static MAVEN: Mutex<()> = Mutex::new(());

/// The class path for this version of the clients, including Kafka's command-line tools if `tools`.
fn class_path(version: &str, tools: bool) -> String {
    let _alone = MAVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let out = tempfile::NamedTempFile::new().unwrap();
    let mut maven = Command::new("mvn");
    maven.current_dir(folder()).args(["-q", "-B", "dependency:build-classpath"]);
    maven.arg(format!("-Dkafka.version={version}")).arg(format!("-Dmdep.outputFile={}", out.path().display()));
    if tools {
        maven.arg("-Dtools");
    }
    let output = maven.output().unwrap_or_else(|error| panic!("cannot run Maven: {error}; install a JDK and Maven"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "Maven cannot fetch Kafka {version}:\n{said}");
    std::fs::read_to_string(out.path()).unwrap()
}

/// A client that runs until its standard input is closed; `kind` is `producer`, `consumer`, `group` or `admin`.
/// `settings` are additional client settings.
pub fn client(version: &str, kind: &str, bootstrap: &str, client_id: &str, settings: &[(&str, &str)]) -> ClientProcess {
    let mut java = Command::new("java");
    java.args(["-Xmx192m", "-cp", &class_path(version, false)]).arg(folder().join("Push.java"));
    let settings = settings.iter().map(|(name, value)| format!("{name}={value}"));
    ClientProcess::start(java.args([kind, bootstrap, client_id]).args(settings))
}

/// Runs one of Kafka's command-line tools until it exits.
pub fn command(version: &str, class: &str, words: &[&str]) -> Output {
    let mut java = Command::new("java");
    java.args(["-Xmx192m", "-cp", &class_path(version, true), class]).args(words);
    java.output().unwrap()
}
