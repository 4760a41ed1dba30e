//! A state on which the runtime's Wasm runs its benchmarks, and what comes of them.

use codec::{Decode, Encode};
use frame_benchmarking::{
    BenchmarkBatch, BenchmarkConfig, BenchmarkList, BenchmarkMetadata, BenchmarkParameter, BenchmarkResult,
};
use sc_chain_spec::GenesisConfigBuilderRuntimeCaller;
use sc_client_db::BenchmarkingState;
use sc_executor::WasmExecutor;
use sp_core::traits::{CallContext, RuntimeCode, WrappedRuntimeCode};
use sp_externalities::Extensions;
use sp_keystore::{KeystoreExt, testing::MemoryKeystore};
use sp_runtime::traits::BlakeTwo256;
use sp_state_machine::StateMachine;
use std::error::Error;

type Host = (sp_io::SubstrateHostFunctions, frame_benchmarking::benchmarking::HostFunctions);

/// A parameter's name and value.
type Component = (BenchmarkParameter, u32);

/// One benchmark of one pallet.
#[derive(Debug)]
pub(crate) struct Benchmark {
    /// The pallet's crate, as `pallet_service_nodes`.
    pub(crate) pallet: String,
    /// The call or hook.
    pub(crate) name: String,
    instance: Vec<u8>,
    /// Each parameter with its least and greatest value.
    parameters: Vec<(BenchmarkParameter, u32, u32)>,
}

impl Benchmark {
    /// The parameters at which to measure: one goes up in steps, the others are at their greatest.
    fn points(&self, steps: u32) -> Vec<Vec<Component>> {
        if self.parameters.is_empty() {
            return vec![Vec::new()];
        }
        let greatest: Vec<_> = self.parameters.iter().map(|(name, _, most)| (*name, *most)).collect();
        let mut points = Vec::new();
        for (varied, least, most) in &self.parameters {
            let span = u64::from(most.saturating_sub(*least));
            let last = u64::from(steps.saturating_sub(1).max(1));
            let mut values: Vec<_> = (0..=last).map(|step| least + (span * step / last) as u32).collect();
            values.dedup();
            let others = &greatest;
            points.extend(values.into_iter().map(|value| {
                others.iter().map(|(name, most)| (*name, if name == varied { value } else { *most })).collect()
            }));
        }
        points
    }
}

/// What was measured of one benchmark.
#[derive(Debug)]
pub(crate) struct Results {
    /// Runs that were timed.
    pub(crate) timed: Vec<BenchmarkResult>,
    /// Runs in which reads and writes were counted.
    pub(crate) counted: Vec<BenchmarkResult>,
}

/// The runtime on its genesis.
pub(crate) struct Bench {
    code: Vec<u8>,
    executor: WasmExecutor<Host>,
    /// Does nothing but what a node's state does.
    timing: BenchmarkingState<BlakeTwo256>,
    /// Counts what is read and written, once for each key.
    counting: BenchmarkingState<BlakeTwo256>,
}

impl Bench {
    pub(crate) fn open(code: Vec<u8>, preset: String) -> Result<Self, Box<dyn Error>> {
        type Extra = frame_benchmarking::benchmarking::HostFunctions;
        let genesis =
            GenesisConfigBuilderRuntimeCaller::<Extra>::new(&code).get_storage_for_named_preset(Some(&preset))?;
        let state = |counts| BenchmarkingState::new(genesis.clone(), None, false, counts);
        Ok(Self { timing: state(false)?, counting: state(true)?, code, executor: WasmExecutor::builder().build() })
    }

    /// Every benchmark of the runtime.
    pub(crate) fn benchmarks(&self) -> Result<Vec<Benchmark>, Box<dyn Error>> {
        // The second half tells of the pallets' storage; nothing here asks for it.
        let answer = self.call(&self.timing, "Benchmark_benchmark_metadata", &false.encode())?;
        let lists = Vec::<BenchmarkList>::decode(&mut answer.as_slice())?;
        let mut benchmarks = Vec::new();
        for BenchmarkList { pallet, instance, benchmarks: of_pallet } in lists {
            for BenchmarkMetadata { name, components, .. } in of_pallet {
                let (pallet, name) = (String::from_utf8(pallet.clone())?, String::from_utf8(name)?);
                benchmarks.push(Benchmark { pallet, name, instance: instance.clone(), parameters: components });
            }
        }
        Ok(benchmarks)
    }

    /// Runs a benchmark: each point once with its assertions, once counted, and so many times timed.
    pub(crate) fn run(&self, benchmark: &Benchmark, steps: u32, repeat: u32) -> Result<Results, Box<dyn Error>> {
        let mut results = Results { timed: Vec::new(), counted: Vec::new() };
        for point in benchmark.points(steps) {
            self.dispatch(&self.timing, benchmark, &point, true, 1)?;
            results.counted.extend(self.dispatch(&self.counting, benchmark, &point, false, 1)?);
            results.timed.extend(self.dispatch(&self.timing, benchmark, &point, false, repeat)?);
        }
        Ok(results)
    }

    fn dispatch(
        &self,
        state: &BenchmarkingState<BlakeTwo256>,
        benchmark: &Benchmark,
        point: &[Component],
        verify: bool,
        repeat: u32,
    ) -> Result<Vec<BenchmarkResult>, Box<dyn Error>> {
        let config = BenchmarkConfig {
            pallet: benchmark.pallet.clone().into_bytes(),
            instance: benchmark.instance.clone(),
            benchmark: benchmark.name.clone().into_bytes(),
            selected_components: point.to_vec(),
            verify,
            internal_repeats: repeat,
        };
        let answer = self.call(state, "Benchmark_dispatch_benchmark", &config.encode());
        let answer = answer.map_err(|error| format!("{}::{}: {error}", benchmark.pallet, benchmark.name))?;
        let batches = Result::<Vec<BenchmarkBatch>, String>::decode(&mut answer.as_slice())?;
        let batches = batches.map_err(|error| format!("{}::{}: {error}", benchmark.pallet, benchmark.name))?;
        Ok(batches.into_iter().flat_map(|batch| batch.results).collect())
    }

    fn call(
        &self,
        state: &BenchmarkingState<BlakeTwo256>,
        method: &str,
        data: &[u8],
    ) -> Result<Vec<u8>, Box<dyn Error>> {
        let blob = WrappedRuntimeCode(self.code.as_slice().into());
        // One blob is all this process runs.
        let code = RuntimeCode { code_fetcher: &blob, heap_pages: None, hash: vec![0] };
        let mut overlay = Default::default();
        let mut extensions = Extensions::default();
        extensions.register(KeystoreExt::new(MemoryKeystore::new()));
        let context = CallContext::Offchain;
        StateMachine::new(state, &mut overlay, &self.executor, method, data, &mut extensions, &code, context)
            .execute()
            .map_err(|error| format!("{method}: {error}").into())
    }
}
