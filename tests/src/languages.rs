//! Receivers in languages other than Rust, built with the tools of those languages. The tools are installed once, with
//! pip and npm, and cached in cargo's target folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::doc_page::repository;

/// The sources of the test guests, by language.
fn sources(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests").join(language)
}

/// The folder for the tools of a language and their output.
fn build_folder(language: &str) -> PathBuf {
    let folder = crate::command::path().with_file_name("languages").join(language);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The tested release of `componentize-py`, as a pip requirement.
pub fn componentize_py() -> String {
    let text = std::fs::read_to_string(sources("python").join("requirements.txt")).unwrap();
    text.trim().to_owned()
}

/// The tested releases of `componentize-js` and its dependencies, as npm specifiers.
pub fn componentize_js() -> String {
    let text = std::fs::read_to_string(sources("javascript").join("package.json")).unwrap();
    let package: serde_json::Value = serde_json::from_str(&text).unwrap();
    let needed = package["dependencies"].as_object().unwrap().iter();
    let written: Vec<String> = needed.map(|(name, release)| format!("{name}@{}", release.as_str().unwrap())).collect();
    written.join(" ")
}

/// The component of `tests/guests/python/answers.py`, built once per test run.
pub fn python() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let (kept, sources) = (build_folder("python"), sources("python"));
        let tools = kept.join("venv");
        run(Command::new("python3").args(["-m", "venv"]).arg(&tools), "python3 with its modules venv and pip");
        let mut pip = Command::new(tools.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(sources.join("requirements.txt"));
        run(&mut pip, "pip, and its registry");
        // Built from a copy, because the build leaves compiled modules next to the source.
        std::fs::copy(sources.join("answers.py"), kept.join("answers.py")).unwrap();
        let mut build = Command::new(tools.join("bin/componentize-py"));
        build.current_dir(&kept).arg("-d").arg(repository().join("wit")).args(["-w", "receiver"]);
        run(build.args(["componentize", "answers", "-o", "answers.wasm"]), "componentize-py");
        kept.join("answers.wasm")
    })
}

/// The component of `tests/guests/javascript/answers.js`, built once per test run.
pub fn javascript() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let (kept, sources) = (build_folder("javascript"), sources("javascript"));
        for file in ["package.json", "build.mjs", "answers.js"] {
            std::fs::copy(sources.join(file), kept.join(file)).unwrap();
        }
        let mut npm = Command::new("npm");
        npm.current_dir(&kept).args(["install", "--no-audit", "--no-fund", "--no-package-lock"]);
        run(&mut npm, "npm, and its registry");
        let component = kept.join("answers.wasm");
        let mut build = Command::new("node");
        build.current_dir(&kept).arg("build.mjs").arg(repository().join("wit")).arg("answers.js").arg(&component);
        run(&mut build, "node");
        component
    })
}

/// Runs a tool until it exits; `needs` names the prerequisite that is missing on a machine where it cannot run.
fn run(command: &mut Command, needs: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; this test needs {needs}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}; this test needs {needs}\n{out}\n{err}", output.status);
}
