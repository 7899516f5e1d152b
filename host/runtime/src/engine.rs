//! The two wasmtime engines that all receivers share.
//!
//! In: nothing. Out: [`Engines`]: a pooling engine (for fast instantiation) and an on-demand engine with the same
//! tunables, so that the same compiled code loads into both. Bounded by the pool's sizes below. Never runs a guest; the
//! ticker thread ends with the engines.

use std::hash::{Hash as _, Hasher};
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

/// The interval of epoch ticks: CPU and wall limits are enforced with this precision.
pub const TICK: Duration = Duration::from_millis(10);
/// Stack size of a guest call, the same for all receivers since it is part of the engine. Deeper recursion traps.
pub const WASM_STACK_BYTES: usize = 1 << 20;
/// Stack size of the fiber of a call: the guest's stack and as much again for host functions.
const FIBER_STACK_BYTES: usize = 2 << 20;
/// Maximum number of instances in the pool; further ones use the on-demand engine.
const POOL_INSTANCES: u32 = 256;
/// Core instances, memories and tables per component that the pool is sized for (a component made by `wit-component`
/// has three or four core instances, one memory and two tables).
const PER_COMPONENT: u32 = 4;
/// Elements of a pooled table; a component with a larger one uses the on-demand engine.
const TABLE_ELEMENTS: usize = 64 * 1024;

/// Both engines. Cheap to clone.
#[derive(Clone)]
pub struct Engines {
    /// `None` if the system did not reserve the address space.
    pub pooling: Option<Engine>,
    /// Always available.
    pub on_demand: Engine,
}

impl Engines {
    /// Creates both engines and starts their ticker. Only the on-demand engine is required.
    pub fn new() -> wasmtime::Result<Self> {
        let on_demand = Engine::new(&tunables())?;
        let pooling = match Engine::new(tunables().allocation_strategy(pooling_strategy())) {
            Ok(engine) => Some(engine),
            Err(error) => {
                tracing::warn!(
                    "cannot create the pooling allocator, so starting an instance will take a little longer: \
                     {error:#}; raise the limit on address space (`ulimit -v`, vm.max_map_count)"
                );
                None
            }
        };
        spawn_ticker(pooling.iter().chain([&on_demand]).map(Engine::weak).collect())?;
        Ok(Self { pooling, on_demand })
    }

    /// The on-demand engine alone, without a ticker: it compiles for both and runs nothing. For a process with little
    /// memory.
    pub(super) fn for_compiling() -> wasmtime::Result<Self> {
        Ok(Self { pooling: None, on_demand: Engine::new(&tunables())? })
    }

    /// Identifies everything that compiled code depends on besides the component itself.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = FingerprintHasher(Sha256::new());
        self.on_demand.precompile_compatibility_hash().hash(&mut hasher);
        hasher.0.finalize().into()
    }
}

/// The configuration that both engines share. All of it affects the compiled code or its ABI.
fn tunables() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        .memory_init_cow(true);
    config
}

fn pooling_strategy() -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(POOL_INSTANCES)
        .total_stacks(POOL_INSTANCES)
        .total_memories(POOL_INSTANCES)
        .total_core_instances(POOL_INSTANCES * PER_COMPONENT)
        .total_tables(POOL_INSTANCES * PER_COMPONENT)
        .max_tables_per_module(PER_COMPONENT)
        .table_elements(TABLE_ELEMENTS);
    InstanceAllocationStrategy::Pooling(pool)
}

/// Starts a thread that advances the epoch of these engines until the last of them is dropped.
fn spawn_ticker(engines: Vec<EngineWeak>) -> wasmtime::Result<()> {
    let beat = move || {
        loop {
            thread::sleep(TICK);
            let mut alive = false;
            for engine in engines.iter().filter_map(EngineWeak::upgrade) {
                engine.increment_epoch();
                alive = true;
            }
            if !alive {
                return;
            }
        }
    };
    thread::Builder::new().name("barnabas-epoch".into()).spawn(beat)?;
    Ok(())
}

/// A hasher with 256 bits that is stable across releases, as a cache key needs; `std`'s hashers are neither.
struct FingerprintHasher(Sha256);

impl Hasher for FingerprintHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_for_one_engine_is_code_for_the_other() {
        let engines = Engines::new().unwrap();
        let pooling = engines.pooling.clone().expect("this machine has the address space");
        let swapped = Engines { pooling: None, on_demand: pooling };
        assert_eq!(engines.fingerprint(), swapped.fingerprint());
        assert_eq!(engines.fingerprint(), Engines::for_compiling().unwrap().fingerprint());
    }

    #[test]
    fn the_ticker_does_not_keep_an_engine_alive() {
        let engines = Engines::new().unwrap();
        let weak = engines.on_demand.weak();
        drop(engines);
        // The ticker may hold a reference during one tick.
        for _ in 0..500 {
            if weak.upgrade().is_none() {
                return;
            }
            thread::sleep(TICK);
        }
        panic!("the engine is still referenced");
    }
}
