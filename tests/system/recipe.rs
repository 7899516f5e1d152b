//! The instructions of the README and of the SDK's tutorial, followed literally in an empty folder outside of the
//! workspace: their `Cargo.toml`, their `src/lib.rs`, their commands.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The path of this repository in the instructions: the only part that differs between machines.
const REPOSITORY: &str = "../barnabas";

/// A code block: its language and its lines.
type CodeBlock = (String, String);

/// The code blocks of a page under one heading.
struct PageSection(Vec<CodeBlock>);

impl PageSection {
    fn read(page: &str, heading: &str) -> Self {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let section = text.split_once(heading).unwrap_or_else(|| panic!("{page} has no `{heading}`")).1;
        let level = heading.chars().take_while(|&c| c == '#').collect::<String>() + " ";
        let mut blocks: Vec<CodeBlock> = Vec::new();
        let mut open: Option<CodeBlock> = None;
        for line in section.lines() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(language)) => open = Some((language.to_owned(), String::new())),
                (Some(_), Some(_)) => blocks.extend(open.take()),
                // Rustdoc hides these lines, so they are not part of a copied block.
                (Some((language, _)), None) if language == "rust" && line.starts_with("# ") => {}
                (Some((_, body)), None) => *body += &format!("{line}\n"),
                (None, None) if line.starts_with(&level) => break,
                (None, None) => {}
            }
        }
        Self(blocks)
    }

    /// The first block in this language.
    fn block(&self, language: &str) -> &str {
        let found = self.0.iter().find(|(name, _)| name == language);
        &found.unwrap_or_else(|| panic!("no block of `{language}`")).1
    }

    /// Writes the files into an empty folder and runs the commands there; returns their output.
    fn run_steps(&self, folder: &Path) -> Vec<String> {
        std::fs::create_dir(folder.join("src")).unwrap();
        let manifest = self.block("toml");
        assert!(manifest.contains(REPOSITORY), "the dependency is found at `{REPOSITORY}`: {manifest}");
        let manifest = manifest.replace(REPOSITORY, root().to_str().unwrap());
        std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        std::fs::write(folder.join("src/lib.rs"), self.block("rust")).unwrap();
        // Uses the dependency versions of the workspace's lock file, and a target folder that outlives the test, so
        // that dependencies are built once.
        std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        let built = barnabas_tests::command::path().parent().unwrap().join("recipe");
        std::fs::create_dir_all(&built).unwrap();
        std::os::unix::fs::symlink(built, folder.join("target")).unwrap();
        // Skips `rustup target add`, which needs the network; rust-toolchain.toml installs the target.
        let commands = self.block("sh").lines().filter(|line| !line.starts_with("rustup "));
        commands.map(|line| run(line, folder)).collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs a command line offline, with this workspace's toolchain and `barnabas` command.
fn run(line: &str, folder: &Path) -> String {
    let command = barnabas_tests::command::path();
    let path = format!("{}:{}", command.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-ec", line]).current_dir(folder).env("PATH", path).env("CARGO_NET_OFFLINE", "true");
    shell.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    if let Some(toolchain) = option_env!("RUSTUP_TOOLCHAIN") {
        shell.env("RUSTUP_TOOLCHAIN", toolchain);
    }
    let output = shell.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "`{line}`: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// Follows the instructions; returns the output of `plugin check` and `plugin run`, and the size of the artifact.
fn build_and_run(recipe: &PageSection) -> (String, String, u64) {
    let folder = tempfile::tempdir().unwrap();
    let printed = recipe.run_steps(folder.path());
    let [_, check, run] = printed.as_slice() else { panic!("build, check and run: {printed:?}") };
    let built = folder.path().join("target/wasm32-wasip2/release/tally.wasm");
    (check.clone(), run.clone(), std::fs::metadata(built).unwrap().len())
}

/// Both use the same target folder, so they run one after the other.
#[test]
fn the_instructions_produce_a_working_receiver() {
    let readme = PageSection::read("README.md", "\n## Write a receiver\n");
    let (check, run, size) = build_and_run(&readme);
    assert!(check.contains("kafka-telemetry:receiver@0.1.0") && check.contains("no problem found"), "{check}");
    for line in readme.block("text").lines() {
        assert!(run.lines().any(|printed| printed == line), "the README shows `{line}`: {run}");
    }
    assert!(size < 110_000, "the release profile keeps it small: {size} bytes");

    let tutorial = PageSection::read("guest-sdk/TUTORIAL.md", "\n# A receiver\n");
    let (check, again, size) = build_and_run(&tutorial);
    assert!(check.contains("no problem found"), "{check}");
    for line in readme.block("text").lines() {
        assert!(again.lines().any(|printed| printed == line), "the same receiver as the README's: {again}");
    }
    assert!(size < 110_000, "the release profile keeps it small: {size} bytes");
}

/// The package contains the WIT files and the README, and refers to no path outside of itself. Needs no network.
#[test]
fn the_sdk_can_be_packaged() {
    let listed = run("cargo package -p barnabas-sdk --no-verify --list --allow-dirty", &root());
    let files: Vec<_> = listed.lines().collect();
    for wanted in ["wit/world.wit", "wit/export-metrics.wit", "TUTORIAL.md", "src/lib.rs", "examples/smallest.rs"] {
        assert!(files.contains(&wanted), "{wanted} is missing: {listed}");
    }
    let contract = |folder: &str| -> Vec<(String, String)> {
        let mut files: Vec<_> = std::fs::read_dir(root().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().is_file())
            .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    };
    assert_eq!(contract("guest-sdk/wit"), contract("wit"), "identical WIT files");
}
