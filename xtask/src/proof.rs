//! Proofs: tests with many rounds. The normal test run has only a few; `cargo xtask prove` runs the requested number with
//! the same code: a proof reads it from `BARNABAS_ROUNDS`, and prints the seed of a failed round.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::guests::{self, GuestSet};
use crate::project::Project;
use crate::step;
use crate::wasm_target::FetchPolicy;

struct Proof {
    name: &'static str,
    /// The property that it verifies.
    shows: &'static str,
    package: &'static str,
    /// The full path of the test.
    test: &'static str,
    /// Number of rounds of the full run.
    rounds: u64,
    /// Whether it runs receivers, and thus needs the command that compiles them.
    guests: bool,
    /// Whether it measures performance, and thus needs an optimised build.
    optimised: bool,
}

const PROOFS: [Proof; 6] = [
    Proof {
        name: "dispatch",
        shows: "random operations on a slot preserve the order of each client's pushes and lose none",
        package: "barnabas-pipeline",
        test: "dispatch::tests::model::random_lives_keep_order_and_lose_nothing",
        rounds: 100_000,
        guests: false,
        optimised: false,
    },
    Proof {
        name: "swap",
        shows: "swaps under load lose no push, preserve the order of each client's pushes, and delay none",
        package: "barnabas-tests",
        test: "swap_proof::swaps_lose_nothing",
        rounds: 1_000,
        guests: true,
        optimised: true,
    },
    Proof {
        name: "swap-failures",
        shows: "candidates that fail, in every way, delay no push, and the reason of the failure is reported",
        package: "barnabas-tests",
        test: "swap_proof::failing_candidates_disturb_nobody",
        rounds: 100,
        guests: true,
        optimised: true,
    },
    Proof {
        name: "swap-kill",
        shows: "a host that is killed during a swap serves the old or the new generation after a restart",
        package: "barnabas-tests",
        test: "kill_proof::a_host_that_is_killed_in_a_swap_serves_the_old_or_the_new",
        rounds: 100,
        guests: true,
        optimised: false,
    },
    Proof {
        name: "rollout",
        shows: "candidates of every kind lose no push, and a refused one serves only after an explicit request",
        package: "barnabas-lifecycle",
        test: "registry::tests::proof::a_candidate_loses_nothing_and_what_was_refused_serves_only_by_a_word",
        rounds: 2_000,
        guests: false,
        optimised: false,
    },
    Proof {
        name: "fleet",
        shows: "a host serves a fleet, and no client stops pushing for good; a round is a client instance",
        package: "barnabas-tests",
        test: "fleet_proof::a_fleet_is_served_and_none_falls_silent",
        rounds: 100_000,
        guests: true,
        optimised: true,
    },
];

pub(crate) fn prove(project: &Project, mut words: Vec<String>) -> Result<ExitCode> {
    let rounds = crate::take_value(&mut words, "--rounds")?;
    let Some(name) = words.first() else {
        PROOFS.iter().for_each(|proof| println!("{:<14} {} ({} rounds)", proof.name, proof.shows, proof.rounds));
        return Ok(ExitCode::SUCCESS);
    };
    let Some(proof) = PROOFS.iter().find(|proof| proof.name == name) else {
        bail!("unknown proof `{name}`; `cargo xtask prove` lists the proofs");
    };
    let rounds = match rounds {
        None => proof.rounds,
        Some(rounds) => rounds.parse().map_err(|_| anyhow::anyhow!("`--rounds {rounds}` is not a number"))?,
    };
    run(project, proof, rounds)
}

fn run(project: &Project, proof: &Proof, rounds: u64) -> Result<ExitCode> {
    refuse_missing(project, proof)?;
    if proof.guests {
        let mut build = cargo(project, proof, "build");
        // Together with the tests, so that both have the same features.
        build.args(["--package=barnabas-cli", "--package=barnabas-tests", "--bin=barnabas"]);
        step::run("build the command", &mut build)?;
    }
    let mut test = cargo(project, proof, "test");
    test.args(["--package", proof.package, proof.test, "--", "--exact", "--nocapture"]);
    test.env("BARNABAS_ROUNDS", rounds.to_string());
    if proof.guests {
        let built = guests::build(project, GuestSet::All, FetchPolicy::InstalledOnly)?;
        test.envs(built.first().map(|built| ("BARNABAS_GUESTS", &built.folder)));
    }
    step::run(&format!("prove {}, {rounds} rounds", proof.name), &mut test)?;
    Ok(ExitCode::SUCCESS)
}

/// If performance is measured, uses the bench profile: optimised like a release, but with a shorter link time.
fn cargo(project: &Project, proof: &Proof, verb: &str) -> Command {
    let mut cargo = project.cargo();
    cargo.arg(verb).args(if proof.optimised { &["--profile=bench"][..] } else { &[] });
    cargo
}

/// Fails if the test does not exist: cargo would run no test, and succeed.
fn refuse_missing(project: &Project, proof: &Proof) -> Result<()> {
    let mut list = cargo(project, proof, "test");
    list.args(["--quiet", "--package", proof.package, proof.test, "--", "--exact", "--list"]);
    let wanted = format!("{}: test", proof.test);
    if !step::output(&mut list)?.lines().any(|line| line == wanted) {
        bail!("{} has no test {}; update its name in xtask/src/proof.rs", proof.package, proof.test);
    }
    Ok(())
}
