//! A host that is killed during swaps: after each restart either the old or the new generation serves.
//!
//! `BARNABAS_ROUNDS` sets the number of kills, 3 by default; `BARNABAS_SEED` repeats the random sequence of a run.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use barnabas_base::digest::Digest;
use barnabas_lifecycle::{Manifest, manifest};
use barnabas_tests::command::{path, run, stdout};
use barnabas_tests::eventually;
use barnabas_tests::host::Setup;
use barnabas_tests::vectors;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
/// Interval of the light background load.
const PACE: Duration = Duration::from_millis(20);

fn env_or<T: FromStr>(variable: &str, otherwise: T) -> T {
    std::env::var(variable).map_or(otherwise, |text| text.parse().ok().expect("a number"))
}

/// A random sequence that is determined by the seed (SplitMix64).
struct KillRng(u64);

impl KillRng {
    fn below(&mut self, most: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        most.mul_f64((mixed >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

/// Durations of a swap.
struct SwapDurations {
    by_command: Duration,
    by_file: Duration,
    /// Additional time for compilation.
    compile: Duration,
}

/// `barnabas serve` in a folder, restarted after each kill.
struct KilledHost {
    setup: Setup,
    config: PathBuf,
    child: Option<Child>,
}

impl Drop for KilledHost {
    fn drop(&mut self) {
        self.kill();
    }
}

impl KilledHost {
    async fn start() -> Self {
        let setup = Setup::new().with(|written| {
            written.admin.bind = free();
            written.listeners.iter_mut().for_each(|listener| listener.bind = free());
        });
        let config = setup.write();
        let mut victim = Self { setup, config, child: None };
        victim.artifact(0);
        victim.swap_by_manifest(0);
        victim.serve().await;
        victim
    }

    /// Starts the host and waits until it is ready.
    async fn serve(&mut self) {
        let log = fs::File::create(self.setup.folder().join("log")).unwrap();
        let mut command = Command::new(path());
        let child = command.args(["serve", "--config"]).arg(&self.config).stderr(log).spawn().unwrap();
        self.child = Some(child);
        let (admin, log) = (self.setup.config.admin.bind, self.setup.folder().join("log"));
        eventually("readiness", PATIENCE, || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "the host exited by itself: {}", fs::read_to_string(&log).unwrap());
            ready(admin)
        })
        .await;
    }

    /// Sends SIGKILL to the host process.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The `n`th version of the receiver: the same code with another digest.
    fn artifact(&self, n: usize) -> PathBuf {
        let path = self.setup.folder().join(format!("{n}.wasm"));
        if !path.exists() {
            let mut bytes = fs::read(barnabas_tests::guests::path("taker")).unwrap();
            let name = n.to_string();
            let length = u8::try_from(name.len()).unwrap();
            bytes.extend([0, length + 1, length]);
            bytes.extend(name.as_bytes());
            fs::write(&path, bytes).unwrap();
        }
        path
    }

    fn digest(&self, n: usize) -> String {
        Digest::compute(&fs::read(self.artifact(n)).unwrap()).to_string()
    }

    fn manifest(&self) -> PathBuf {
        self.setup.config.plugins_dir.join("sink.toml")
    }

    /// Swaps by editing the manifest.
    fn swap_by_manifest(&self, n: usize) {
        let fresh = self.setup.folder().join("fresh");
        fs::write(&fresh, format!("artifact = {:?}\n[batch]\nlinger = \"10ms\"\n", self.artifact(n))).unwrap();
        fs::rename(fresh, self.manifest()).unwrap();
    }

    /// Swaps with the command, which is killed with the host.
    fn swap_by_command(&self, n: usize) -> Child {
        let (artifact, config) = (self.artifact(n), &self.config);
        let mut command = Command::new(path());
        command.args(["plugin", "swap", "sink"]).arg(artifact).arg("--config").arg(config);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn described(&self) -> Value {
        let config = self.config.to_str().unwrap();
        serde_json::from_str(&stdout(&["plugin", "describe", "sink", "--json", "--config", config])).unwrap()
    }

    fn serving(&self) -> Option<String> {
        self.described().pointer("/serving/digest")?.as_str().map(str::to_owned)
    }

    /// Measures an undisturbed swap; the first version serves before and after.
    async fn times(&self) -> SwapDurations {
        let by_command = || {
            let begun = Instant::now();
            assert!(self.swap_by_command(1).wait().unwrap().success());
            begun.elapsed()
        };
        let cold = by_command();
        let by_file = self.back().await;
        let by_command = by_command();
        self.back().await;
        SwapDurations { compile: cold.saturating_sub(by_command), by_command, by_file }
    }

    async fn back(&self) -> Duration {
        let begun = Instant::now();
        self.swap_by_manifest(0);
        self.until_serves(&self.digest(0)).await;
        begun.elapsed()
    }

    /// The digest in the manifest, no matter who wrote it last.
    fn wanted(&self) -> String {
        let wanted = Manifest::read(&self.manifest()).unwrap();
        let of_file = |path: &Path| Digest::compute(&fs::read(path).unwrap());
        wanted.digest.unwrap_or_else(|| of_file(wanted.artifact.as_deref().unwrap())).to_string()
    }

    async fn until_serves(&self, digest: &str) {
        eventually("the wanted generation to serve", PATIENCE, || {
            let described = self.described();
            let serves = described.pointer("/serving/digest")?.as_str()? == digest;
            (serves && described.get("rollout").is_none_or(Value::is_null)).then_some(())
        })
        .await;
    }

    /// Asserts that all persistent state is intact after a restart.
    fn check_consistent(&self) {
        for file in manifest::list_files(&self.setup.config.plugins_dir).unwrap() {
            Manifest::read(&file).unwrap();
        }
        let config = self.config.to_str().unwrap();
        assert!(stdout(&["plugin", "list", "--config", config]).contains("serving"));
        let audit: Value =
            serde_json::from_str(&stdout(&["audit", "--last", "10000", "--json", "--config", config])).unwrap();
        let entries = audit.get("entries").and_then(Value::as_array).unwrap();
        assert!(!entries.is_empty() && entries.iter().all(|entry| entry["action"] != "unreadable"), "{audit}");
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn ready(admin: SocketAddr) -> Option<()> {
    let mut stream = TcpStream::connect(admin).ok()?;
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.starts_with("HTTP/1.1 200").then_some(())
}

/// Sends OTLP/HTTP pushes to the host's listener until it is dropped.
struct BackgroundPushes {
    stop: Arc<AtomicBool>,
    taken: JoinHandle<u64>,
}

impl BackgroundPushes {
    fn start(door: SocketAddr) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let taken = thread::spawn({
            let stop = stop.clone();
            move || {
                let body = vectors::one("java-3.7-producer-cumulative.none").wire;
                let mut taken = 0;
                while !stop.load(Ordering::Relaxed) {
                    taken += u64::from(push(door, &body).unwrap_or(false));
                    thread::sleep(PACE);
                }
                taken
            }
        });
        Self { stop, taken }
    }

    /// Number of accepted pushes.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.taken.join().unwrap()
    }
}

/// Whether the push was accepted; an error if no host listens or the connection breaks.
fn push(door: SocketAddr, body: &[u8]) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(door)?;
    let length = body.len();
    let kind = "content-type: application/x-protobuf";
    write!(
        stream,
        "POST /v1/metrics HTTP/1.1\r\nhost: {door}\r\nconnection: close\r\n{kind}\r\ncontent-length: {length}\r\n\r\n"
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_during_a_swap_serves_the_old_or_the_new_generation() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let (rounds, seed) = (env_or("BARNABAS_ROUNDS", 3), env_or("BARNABAS_SEED", now.as_nanos() as u64));
    println!("BARNABAS_SEED={seed}");
    let (mut dice, mut victim) = (KillRng(seed), KilledHost::start().await);
    let pushes = BackgroundPushes::start(victim.setup.address(barnabas::config::raw::ListenerProtocol::OtlpHttp));

    let times = victim.times().await;

    let (mut serving, mut interrupted, mut fresh) = (0, 0, 1);
    for round in 0..rounds {
        // Alternates between two versions, with a version that was never compiled from time to time.
        let next = if serving == 0 { 1 + round / 4 } else { 0 };
        let (old, new) = (victim.digest(serving), victim.digest(next));
        let asked = (round % 2 == 0).then(|| victim.swap_by_command(next));
        if asked.is_none() {
            victim.swap_by_manifest(next);
        }
        let compiled = if next > fresh { times.compile } else { Duration::ZERO };
        fresh = fresh.max(next);
        let swap = if asked.is_some() { times.by_command } else { times.by_file };
        tokio::time::sleep(dice.below(swap + compiled)).await;
        victim.kill();
        asked.into_iter().for_each(|mut asked| drop(asked.wait()));

        victim.serve().await;
        let (first, wanted) = (victim.serving(), victim.wanted());
        assert!(first.as_ref() == Some(&old) || first.as_ref() == Some(&new), "round {round}: {first:?} serves");
        assert!(wanted == old || wanted == new, "round {round}: the manifest has {wanted}");
        victim.check_consistent();
        victim.until_serves(&wanted).await;
        interrupted += u32::from(first.as_ref() == Some(&old));
        if wanted == new {
            serving = next;
        }
    }
    let taken = pushes.stop();
    println!("{rounds} kills; after {interrupted} the old generation served, after the others the new one");
    println!("{taken} pushes were accepted");
    assert!(taken > 0);
    let config = victim.config.to_str().unwrap();
    assert!(run(&["plugin", "remove", "sink", "--config", config]).status.success());
}
