//! Tests with parts that not every machine has: Kafka's own Java programs, and Python's packages of librdkafka.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Result, bail};

use crate::guests::{self, Which};
use crate::project::Project;
use crate::step;
use crate::wasm_target::Reach;

/// One kind of them.
#[derive(Clone, Copy)]
pub(crate) struct RealPart {
    /// What one says after `cargo xtask test`, and the module of the tests.
    pub(crate) name: &'static str,
    /// Programs that must run.
    programs: &'static [&'static str],
    /// In words.
    needs: &'static str,
}

/// All kinds.
pub(crate) const ALL: [RealPart; 2] = [
    RealPart { name: "java", programs: &["java", "mvn"], needs: "a JDK of 17 or later, and Maven with its registry" },
    RealPart { name: "python", programs: &["python3"], needs: "python3 with pip and its registry" },
];

impl RealPart {
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        ALL.into_iter().find(|part| part.name == name)
    }

    /// Runs its tests; plainly fails where something is missing.
    pub(crate) fn test(self, project: &Project, words: &[String]) -> Result<ExitCode> {
        if let Some(missing) = self.programs.iter().find(|program| !runs(program)) {
            bail!("`{missing}` does not run: `cargo xtask test {}` needs {}", self.name, self.needs);
        }
        let built = guests::build(project, Which::All, Reach::WhatIsThere)?;
        let mut build = project.cargo();
        build.args(["build", "--workspace", "--lib", "--bins", "--tests"]);
        step::run("build host, commands and tests", &mut build)?;
        self.refuse_missing(project)?;
        for built in built.iter().take(1) {
            let mut test = project.cargo();
            test.args(["test", "--workspace", "--test=system", &format!("{}::", self.name), "--", "--ignored"]);
            test.args(words).env("BARNABAS_GUESTS", &built.folder);
            step::run(&format!("tests with real {} parts", self.name), &mut test)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// A module that was renamed must not pass for one whose tests all passed.
    fn refuse_missing(self, project: &Project) -> Result<()> {
        let mut list = project.cargo();
        list.args(["test", "--quiet", "--workspace", "--test=system", &format!("{}::", self.name), "--", "--list"]);
        if !step::output(&mut list)?.contains(&format!("{}::", self.name)) {
            bail!("the system tests have no module {}; name the right one in xtask/src/real_parts.rs", self.name);
        }
        Ok(())
    }

    /// One line for those who ran the other tests.
    pub(crate) fn skipped(self) -> String {
        format!("not run: `cargo xtask test {}`, which needs {}", self.name, self.needs)
    }
}

fn runs(program: &str) -> bool {
    let mut version = Command::new(program);
    let version = version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}
