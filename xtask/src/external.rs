//! Test suites that need additional software: Kafka's Java clients and commands, Python's packages of librdkafka, the
//! toolchains of receivers in other languages, Prometheus.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Result, bail};

use crate::guests::{self, GuestSet};
use crate::project::Project;
use crate::step;
use crate::wasm_target::FetchPolicy;

/// One suite.
#[derive(Clone, Copy)]
pub(crate) struct ExternalSuite {
    /// The argument of `cargo xtask test`. The module of the tests has the same name, with `_` instead of `-`.
    pub(crate) name: &'static str,
    /// Commands that must succeed if the software is installed.
    programs: &'static [&'static [&'static str]],
    /// The required software, for messages.
    needs: &'static str,
}

/// All suites.
pub(crate) const ALL: [ExternalSuite; 5] = [
    ExternalSuite {
        name: "java",
        programs: &[&["java", "--version"], &["mvn", "--version"]],
        needs: "a JDK of 17 or later, and Maven with its registry",
    },
    ExternalSuite { name: "python", programs: &[PIP], needs: "python3 with pip and its registry" },
    ExternalSuite {
        name: "guests-py",
        programs: &[PIP, &["python3", "-c", "import ensurepip, venv"]],
        needs: "python3 with venv and pip, and its registry",
    },
    ExternalSuite {
        name: "guests-js",
        programs: &[&["node", "--version"], &["npm", "--version"]],
        needs: "Node.js of 20 or later, and npm with its registry",
    },
    ExternalSuite {
        name: "prometheus",
        programs: &[&["go", "version"]],
        needs: "Go of 1.26 or later, and its module proxy",
    },
];

const PIP: &[&str] = &["python3", "-m", "pip", "--version"];

impl ExternalSuite {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        ALL.into_iter().find(|part| part.name == name)
    }

    /// Runs the tests. Fails if software is missing.
    pub(crate) fn test(self, project: &Project, words: &[String]) -> Result<ExitCode> {
        if let Some(missing) = self.programs.iter().find(|program| !succeeds(program)) {
            bail!("`{}` fails: `cargo xtask test {}` needs {}", missing.join(" "), self.name, self.needs);
        }
        let built = guests::build(project, GuestSet::All, FetchPolicy::InstalledOnly)?;
        let mut build = project.cargo();
        build.args(["build", "--workspace", "--lib", "--bins", "--tests"]);
        step::run("build host, commands and tests", &mut build)?;
        self.refuse_missing(project)?;
        for built in built.iter().take(1) {
            let mut test = project.cargo();
            // Prints the output of passed tests, too.
            test.args(["test", "--workspace", "--test=system", &self.module(), "--", "--ignored", "--show-output"]);
            test.args(words).env("BARNABAS_GUESTS", &built.folder);
            step::run(&format!("run the tests of the suite {}", self.name), &mut test)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Fails if the module does not exist: cargo would run no test, and succeed.
    fn refuse_missing(self, project: &Project) -> Result<()> {
        let mut list = project.cargo();
        let module = self.module();
        list.args(["test", "--quiet", "--workspace", "--test=system", &module, "--", "--list"]);
        if !step::output(&mut list)?.lines().any(|line| line.starts_with(&module)) {
            bail!("the system tests have no module {module}; update its name in xtask/src/external.rs");
        }
        Ok(())
    }

    /// The prefix of the names of its tests.
    fn module(self) -> String {
        format!("{}::", self.name.replace('-', "_"))
    }

    /// The message that the suite was skipped.
    pub(crate) fn skipped(self) -> String {
        format!("skipped: `cargo xtask test {}` needs {}", self.name, self.needs)
    }
}

fn succeeds(command: &[&str]) -> bool {
    let Some((program, words)) = command.split_first() else { return true };
    let mut command = Command::new(program);
    let command = command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
