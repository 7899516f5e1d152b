//! The recipes of the README and of the SDK's tutorial, followed word for word from an empty folder outside of the
//! workspace: their `Cargo.toml`, their `src/lib.rs`, their commands.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the recipes find this repository: the one thing that differs on each machine.
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
                // Rustdoc hides these lines, and whoever copies the block does not get them.
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

    /// Writes the files into an empty folder and runs the commands there; gives what each printed.
    fn run_steps(&self, folder: &Path) -> Vec<String> {
        std::fs::create_dir(folder.join("src")).unwrap();
        let manifest = self.block("toml");
        assert!(manifest.contains(REPOSITORY), "the dependency is found at `{REPOSITORY}`: {manifest}");
        let manifest = manifest.replace(REPOSITORY, root().to_str().unwrap());
        std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        std::fs::write(folder.join("src/lib.rs"), self.block("rust")).unwrap();
        // The versions that are on this machine already, and a folder that outlives the test: it is built once.
        std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        let built = barnabas_tests::command::path().parent().unwrap().join("recipe");
        std::fs::create_dir_all(&built).unwrap();
        std::os::unix::fs::symlink(built, folder.join("target")).unwrap();
        // `rustup target add` reaches the network; rust-toolchain.toml has seen to the target.
        let commands = self.block("sh").lines().filter(|line| !line.starts_with("rustup "));
        commands.map(|line| run(line, folder)).collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// As somebody would type it, without the network, with this workspace's toolchain and command.
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

/// Follows the recipe; gives what `plugin check` and `plugin run` printed, and the size of what was built.
fn build_and_run(recipe: &PageSection) -> (String, String, u64) {
    let folder = tempfile::tempdir().unwrap();
    let printed = recipe.run_steps(folder.path());
    let [_, check, run] = printed.as_slice() else { panic!("build, check and run: {printed:?}") };
    let built = folder.path().join("target/wasm32-wasip2/release/tally.wasm");
    (check.clone(), run.clone(), std::fs::metadata(built).unwrap().len())
}

/// The two share a target folder, so one after the other.
#[test]
fn the_recipes_make_a_receiver_that_runs() {
    let readme = PageSection::read("README.md", "\n## Write a receiver\n");
    let (check, run, size) = build_and_run(&readme);
    assert!(check.contains("kafka-telemetry:receiver@0.1.0") && check.contains("no problem found"), "{check}");
    for line in readme.block("text").lines() {
        assert!(run.lines().any(|printed| printed == line), "the README shows `{line}`: {run}");
    }
    assert!(size < 110_000, "the profile makes it small: {size} bytes");

    let tutorial = PageSection::read("guest-sdk/TUTORIAL.md", "\n# A receiver\n");
    let (check, again, size) = build_and_run(&tutorial);
    assert!(check.contains("no problem found"), "{check}");
    for line in readme.block("text").lines() {
        assert!(again.lines().any(|printed| printed == line), "the same receiver as the README's: {again}");
    }
    assert!(size < 110_000, "the profile makes it small: {size} bytes");
}

/// What is published holds the contract, a page and no path outside of itself. Needs no network.
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
    assert_eq!(contract("guest-sdk/wit"), contract("wit"), "one contract");
}
