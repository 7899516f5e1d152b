//! The librdkafka of Python's `confluent-kafka` packages, in old and new versions.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::process::ClientProcess;

/// Serialises pip runs.
static PIP: Mutex<()> = Mutex::new(());

/// The folder of this version of `confluent-kafka`, installed on first use.
fn package(version: &str) -> PathBuf {
    let _alone = PIP.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let kept = crate::command::path().with_file_name("python").join(version);
    if !kept.join("confluent_kafka").is_dir() {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target"]);
        let output = pip.arg(&kept).arg(format!("confluent-kafka=={version}")).output();
        let output = output.unwrap_or_else(|error| panic!("cannot run Python: {error}; install python3 with pip"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pip cannot fetch confluent-kafka {version}:\n{said}");
    }
    kept
}

/// A client that runs until its standard input is closed; `kind` is `producer`, `consumer` or `admin`.
pub fn client(version: &str, kind: &str, bootstrap: &str, client_id: &str) -> ClientProcess {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/push.py");
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", package(version)).env("PYTHONDONTWRITEBYTECODE", "1").arg(script);
    ClientProcess::start(python.args([kind, bootstrap, client_id]))
}
