//! Proofs: tests that need many rounds. The plain test run takes few of them, `cargo xtask prove` as many as asked, by the
//! same code: a proof reads its count from `BARNABAS_ROUNDS` and prints the seed of a round that failed.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::guests::{self, Which};
use crate::project::Project;
use crate::step;
use crate::wasm_target::Reach;

struct Proof {
    name: &'static str,
    /// What it shows.
    shows: &'static str,
    package: &'static str,
    /// The test's whole path.
    test: &'static str,
    /// The full run.
    rounds: u64,
    /// Whether it runs receivers.
    guests: bool,
}

const PROOFS: [Proof; 2] = [
    Proof {
        name: "dispatch",
        shows: "random lives of a slot keep the order of each client and lose nothing",
        package: "barnabas-host",
        test: "dispatch::tests::model::random_lives_keep_order_and_lose_nothing",
        rounds: 100_000,
        guests: false,
    },
    Proof {
        name: "swap-kill",
        shows: "a host that is killed in the middle of a swap serves the old generation or the new one",
        package: "barnabas-tests",
        test: "kill_proof::a_host_that_is_killed_in_a_swap_serves_the_old_or_the_new",
        rounds: 100,
        guests: true,
    },
];

pub(crate) fn prove(project: &Project, mut words: Vec<String>) -> Result<ExitCode> {
    let rounds = crate::take_value(&mut words, "--rounds")?;
    let Some(name) = words.first() else {
        PROOFS.iter().for_each(|proof| println!("{:<12} {} ({} rounds)", proof.name, proof.shows, proof.rounds));
        return Ok(ExitCode::SUCCESS);
    };
    let Some(proof) = PROOFS.iter().find(|proof| proof.name == name) else {
        bail!("no proof is called `{name}`; `cargo xtask prove` lists them");
    };
    let rounds = match rounds {
        None => proof.rounds,
        Some(rounds) => rounds.parse().map_err(|_| anyhow::anyhow!("`--rounds {rounds}` is not a number"))?,
    };
    run(project, proof, rounds)
}

fn run(project: &Project, proof: &Proof, rounds: u64) -> Result<ExitCode> {
    refuse_missing(project, proof)?;
    let mut test = project.cargo();
    test.args(["test", "--package", proof.package, proof.test, "--", "--exact", "--nocapture"]);
    test.env("BARNABAS_ROUNDS", rounds.to_string());
    if proof.guests {
        // They are run by the command. The whole workspace at once, so that its packages agree on features.
        let mut build = project.cargo();
        step::run("build the host", build.args(["build", "--workspace", "--bins"]))?;
        let built = guests::build(project, Which::All, Reach::WhatIsThere)?;
        test.envs(built.first().map(|built| ("BARNABAS_GUESTS", &built.folder)));
    }
    step::run(&format!("prove {}, {rounds} rounds", proof.name), &mut test)?;
    Ok(ExitCode::SUCCESS)
}

/// A test that was renamed would match nothing, and pass.
fn refuse_missing(project: &Project, proof: &Proof) -> Result<()> {
    let mut list = project.cargo();
    list.args(["test", "--quiet", "--package", proof.package, proof.test, "--", "--exact", "--list"]);
    let wanted = format!("{}: test", proof.test);
    if !step::output(&mut list)?.lines().any(|line| line == wanted) {
        bail!("{} has no test {}; name the right one in xtask/src/proof.rs", proof.package, proof.test);
    }
    Ok(())
}
