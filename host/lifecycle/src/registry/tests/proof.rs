//! Random histories of a plugin: candidates that accept, reject, crash and spin, changes of every kind, and hosts that
//! are killed. Whatever happens, a candidate loses nothing, and a refused candidate serves only on explicit request.
//!
//! Runs `BARNABAS_ROUNDS` histories, 6 by default; `BARNABAS_SEED` repeats the same choices. Threads and the disk make
//! the timing of a replay differ.

use std::collections::BTreeMap;

use super::rollouts::{ALL, QUARTER, again, artifacts};
use super::*;
use crate::change::RolloutOverride;
use barnabas_base::units::HumanDuration;

/// Lives at the same time: most of each is spent on waiting.
const AT_ONCE: usize = 16;
/// Changes in a life.
const CHANGES: usize = 8;
const PATIENCE: Duration = Duration::from_secs(120);

/// The same numbers for the same seed (SplitMix64).
struct ProofRng(u64);

impl ProofRng {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn plan(&mut self) -> RolloutOverride {
        let shadow = Some(HumanDuration(Duration::from_millis(200)));
        match self.below(6) {
            0 => ALL,
            1 => RolloutOverride { shadow, ..RolloutOverride::default() },
            2 => RolloutOverride { shadow, ..QUARTER },
            3 => RolloutOverride { self_test: Some(true), ..QUARTER },
            4 => RolloutOverride::default(),
            _ => QUARTER,
        }
    }
}

/// What was heard of the slot's generations.
#[derive(Default)]
struct ObservedPhases {
    /// Stages that the candidate passed which is under way.
    stages: Vec<&'static str>,
    /// What came to serve, with the stages that it passed.
    served: Vec<(u64, Vec<&'static str>)>,
}

/// An artifact with the settings of its manifest, as far as they differ here.
type ArtifactVariant = (Digest, usize);

struct ProofLife {
    seed: u64,
    dice: ProofRng,
    fixture: RegistryFixture,
    digests: Vec<Digest>,
    /// Those that take everything.
    sound: Vec<Digest>,
    /// What was refused and has not served since, and at which stage.
    refused: BTreeMap<ArtifactVariant, &'static str>,
    heard: Arc<Mutex<ObservedPhases>>,
    _listening: ListenerGuard,
    log: Vec<String>,
}

impl ProofLife {
    async fn begin(seed: u64) -> (Self, rollouts::Traffic) {
        let (fixture, traffic) = RegistryFixture::serving("100ms").await;
        let (mut digests, mut sound) = (Vec::new(), vec![fixture.runs().1.unwrap()]);
        for (guest, takes) in artifacts() {
            let digest = fixture.kept(&guest).await;
            digests.push(digest);
            if takes {
                sound.push(digest);
            }
        }
        let heard = Arc::<Mutex<ObservedPhases>>::default();
        let notes = heard.clone();
        let listening = fixture.events.listen(&[Topic::PluginPhase, Topic::PluginStage], move |event| {
            let mut heard = notes.lock().unwrap();
            match &event.data {
                EventData::PluginPhase { phase: "loading", .. } => heard.stages.clear(),
                EventData::PluginStage { stage, .. } => heard.stages.push(stage),
                EventData::PluginPhase { phase: "serving", generation, .. } => {
                    let stages = heard.stages.clone();
                    heard.served.push((*generation, stages));
                }
                _ => {}
            }
        });
        let (dice, refused, log) = (ProofRng(seed), BTreeMap::new(), Vec::new());
        (Self { seed, dice, fixture, digests, sound, refused, heard, _listening: listening, log }, traffic)
    }

    fn instances(&self) -> usize {
        Manifest::read(&self.fixture.dir.path().join("sink.toml")).unwrap().instances
    }

    /// What is asked next, and whether it is a word for what was refused.
    fn change(&mut self) -> (PluginChange, bool) {
        let name: Arc<str> = "sink".into();
        let of_all = |plan: RolloutOverride| plan.canary == Some(100.0);
        match self.dice.below(12) {
            0..6 => {
                let (digest, plan) = (self.digests[self.dice.below(self.digests.len())], self.dice.plan());
                let wanted = ManifestPatch { digest: Some(digest), ..ManifestPatch::default() };
                (PluginChange::Swap(name, wanted, plan), of_all(plan))
            }
            6 | 7 => {
                let plan = if self.dice.below(8) == 0 { ALL } else { RolloutOverride::default() };
                (PluginChange::Retry(name, plan), of_all(plan))
            }
            8 => {
                let force = self.dice.below(4) == 0;
                (PluginChange::Rollback(name, None, force), force)
            }
            9 => (PluginChange::Keep(name), false),
            10 => {
                // Somebody edits the file.
                let (text, instances) = (self.fixture.written(), 1 + self.dice.below(3));
                let text = text.lines().filter(|line| !line.starts_with("instances"));
                let text = text.collect::<Vec<_>>().join("\n");
                let _ = self
                    .fixture
                    .manifest("sink", &text.replace("[limits]", &format!("[limits]\ninstances = {instances}")));
                (PluginChange::Reconcile, false)
            }
            _ => (PluginChange::Reconcile, false),
        }
    }

    async fn step(mut self) -> Self {
        let before = (self.fixture.runs().1, self.dropped());
        let refused_before = self.fixture.status("sink").refused.map(|refused| refused.at);
        self.heard.lock().unwrap().served.clear();
        let (change, word) = self.change();
        let how = self.dice.below(6);
        self.log.push(format!("{change:?} {how}, of {before:?}"));
        match how {
            // The host is killed meanwhile.
            0 => {
                let observed = self.fixture.plugins.begin_change(Actor::Embedder, change);
                tokio::time::sleep(Duration::from_millis(self.dice.below(250) as u64)).await;
                drop(observed);
                self.fixture.plugins.0.guests.kill();
                self.fixture = again(self.fixture, false).await;
                self.fixture.idle().await;
            }
            // Somebody aborts it meanwhile.
            1 => {
                let observed = self.fixture.plugins.begin_change(Actor::Embedder, change);
                tokio::time::sleep(Duration::from_millis(self.dice.below(250) as u64)).await;
                let _ = self.fixture.plugins.change_and_wait(Actor::Embedder, PluginChange::Abort("sink".into())).await;
                if let Ok(mut steps) = observed {
                    while steps.recv().await.is_some() {}
                }
            }
            _ => drop(self.fixture.plugins.change_and_wait(Actor::Embedder, change).await),
        }
        self.judge(before, refused_before, word);
        self
    }

    fn judge(&mut self, (before, dead): (Option<Digest>, u64), known: Option<std::time::SystemTime>, word: bool) {
        let (serving, digest) = self.fixture.runs();
        let status = self.fixture.status("sink");
        let (serving, digest) = (serving.unwrap_or_else(|| panic!("{self}: nothing serves")), digest.unwrap());
        let running = (digest, status.serving.as_ref().unwrap().instances);
        let served = std::mem::take(&mut self.heard.lock().unwrap().served);
        if let Some((_, stages)) = served.iter().rfind(|(number, _)| *number == serving) {
            let stage = self.refused.remove(&running);
            let restored = served.len() == 1 && before == Some(digest);
            if let Some(stage) = stage.filter(|_| !word && !restored) {
                assert!(stages.contains(&stage), "{self}: what was refused at {stage} serves after {stages:?}");
            }
        }
        let news = |at: std::time::SystemTime| Some(at) != known;
        if let Some(refused) =
            status.refused.filter(|refused| news(refused.at) && refused.verdict != ChangeOutcome::Aborted)
        {
            self.refused.insert((refused.digest, self.instances()), refused.stage.as_str());
        }
        let sound = |digest: Option<Digest>| digest.is_some_and(|digest| self.sound.contains(&digest));
        if sound(before) && sound(Some(digest)) && served.len() <= 1 {
            assert_eq!(self.dropped(), dead, "{self}: only a candidate could have given a push up");
        }
        let ledger = self.fixture.dispatch.slot("sink").unwrap().ledger();
        assert!(ledger.is_balanced() && ledger.shed.is_empty(), "{self}: {ledger}");
    }

    fn dropped(&self) -> u64 {
        let ledger = self.fixture.dispatch.slot("sink").unwrap().ledger();
        ledger.dropped.values().map(|tally| tally.pushes).sum()
    }

    /// A sound version takes all that is left.
    async fn end(self, traffic: rollouts::Traffic) -> (u64, u64, usize) {
        drop(traffic);
        let last = self.sound[0];
        let mut ending = self.fixture.swap_to(last, ALL).await;
        // A host that was just started makes what its files want, and that may end the first of them.
        for _ in 0..20 {
            if ending.verdict == ChangeOutcome::Aborted {
                ending = self.fixture.swap_to(last, ALL).await;
            }
        }
        assert!(matches!(ending.verdict, ChangeOutcome::Done | ChangeOutcome::Unchanged), "{self}: {ending:?}");
        let slot = self.fixture.dispatch.slot("sink").unwrap();
        slot.retry_now();
        assert!(slot.drain(Instant::now() + PATIENCE).await, "{self}: still held: {}", slot.ledger());
        let (ledger, dead) = (slot.ledger(), self.dropped());
        assert_eq!(ledger.delivered.pushes + dead, ledger.accepted.pushes, "{self}: {ledger}");
        let refused = self.refused.len();
        self.fixture.plugins.shutdown(Duration::from_secs(10)).await;
        (ledger.delivered.pushes, dead, refused)
    }
}

impl std::fmt::Display for ProofLife {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BARNABAS_SEED={}: {:#?}", self.seed, self.log)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_loses_nothing_and_a_refused_one_serves_only_on_explicit_request() {
    let variable_value = |variable: &str| std::env::var(variable).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = variable_value("BARNABAS_ROUNDS").unwrap_or(6);
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let seed = variable_value("BARNABAS_SEED").unwrap_or(now.as_nanos() as u64);
    println!("BARNABAS_SEED={seed}");
    let (mut lives, mut sums) = (tokio::task::JoinSet::new(), (0, 0, 0));
    let mut add = |(delivered, dead, refused): (u64, u64, usize)| {
        sums = (sums.0 + delivered, sums.1 + dead, sums.2 + refused);
    };
    for round in 0..rounds {
        if lives.len() >= AT_ONCE {
            add(lives.join_next().await.unwrap().unwrap());
        }
        lives.spawn(async move {
            let (mut life, traffic) = ProofLife::begin(seed.wrapping_add(round)).await;
            for _ in 0..CHANGES {
                life = life.step().await;
            }
            life.end(traffic).await
        });
    }
    while let Some(life) = lives.join_next().await {
        add(life.unwrap());
    }
    let (delivered, dead, refused) = sums;
    println!("{rounds} lives: {delivered} delivered, {dead} given up by generations that served, {refused} refused");
    assert!(delivered > 0 && refused > 0, "the lives were dull: {sums:?}");
}
