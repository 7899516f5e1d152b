//! Proofs: tests that need many rounds. The plain test run takes few of them, `cargo xtask prove` as many as asked, by the
//! same code: a proof reads its count from `BARNABAS_ROUNDS` and prints the seed of a round that failed.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::guests::{self, GuestSet};
use crate::project::Project;
use crate::step;
use crate::wasm_target::FetchPolicy;

struct Proof {
    name: &'static str,
    /// What it shows.
    shows: &'static str,
    package: &'static str,
    /// The test's whole path.
    test: &'static str,
    /// The full run.
    rounds: u64,
    /// Whether it runs receivers, and so the command that compiles them.
    guests: bool,
    /// Whether it claims a speed, and so runs as what is released does.
    optimised: bool,
}

const PROOFS: [Proof; 6] = [
    Proof {
        name: "dispatch",
        shows: "random lives of a slot keep the order of each client and lose nothing",
        package: "barnabas-host",
        test: "dispatch::tests::model::random_lives_keep_order_and_lose_nothing",
        rounds: 100_000,
        guests: false,
        optimised: false,
    },
    Proof {
        name: "swap",
        shows: "swaps under load lose nothing, keep the order of each client, and make no push wait",
        package: "barnabas-tests",
        test: "swap_proof::swaps_lose_nothing",
        rounds: 1_000,
        guests: true,
        optimised: true,
    },
    Proof {
        name: "swap-failures",
        shows: "candidates that fail, in every way there is, make no push wait, and it is said why they failed",
        package: "barnabas-tests",
        test: "swap_proof::failing_candidates_disturb_nobody",
        rounds: 100,
        guests: true,
        optimised: true,
    },
    Proof {
        name: "swap-kill",
        shows: "a host that is killed in the middle of a swap serves the old generation or the new one",
        package: "barnabas-tests",
        test: "kill_proof::a_host_that_is_killed_in_a_swap_serves_the_old_or_the_new",
        rounds: 100,
        guests: true,
        optimised: false,
    },
    Proof {
        name: "rollout",
        shows: "candidates of every kind lose nothing, and what was refused serves only by somebody's own word",
        package: "barnabas-host",
        test: "plugin::registry::tests::proof::a_candidate_loses_nothing_and_what_was_refused_serves_only_by_a_word",
        rounds: 2_000,
        guests: false,
        optimised: false,
    },
    Proof {
        name: "fleet",
        shows: "one host serves a fleet, of which none falls silent; a round is a client instance",
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
    if proof.guests {
        let mut build = cargo(project, proof, "build");
        // Beside the tests, so that both agree on features and the command fits them.
        build.args(["--package=barnabas-host", "--package=barnabas-tests", "--bin=barnabas"]);
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

/// By the profile of what is released where speed is claimed, less the link time.
fn cargo(project: &Project, proof: &Proof, verb: &str) -> Command {
    let mut cargo = project.cargo();
    cargo.arg(verb).args(if proof.optimised { &["--profile=bench"][..] } else { &[] });
    cargo
}

/// A test that was renamed would match nothing, and pass.
fn refuse_missing(project: &Project, proof: &Proof) -> Result<()> {
    let mut list = cargo(project, proof, "test");
    list.args(["--quiet", "--package", proof.package, proof.test, "--", "--exact", "--list"]);
    let wanted = format!("{}: test", proof.test);
    if !step::output(&mut list)?.lines().any(|line| line == wanted) {
        bail!("{} has no test {}; name the right one in xtask/src/proof.rs", proof.package, proof.test);
    }
    Ok(())
}
