//! Runs the pallets' benchmarks in the runtime's Wasm and writes what calls and hooks weigh (`scripts/weights`).
//!
//! The benchmarks, the runtime's answer to them and the fitting of lines are the SDK's (`frame-benchmarking`). Its command
//! line for them would bring the whole of Polkadot's relay chain and a second build of the SDK (decision 32).

mod bench;
mod weight;

use bench::Bench;
use clap::Parser;
use std::{collections::BTreeMap, error::Error, fs, path::PathBuf};
use weight::Measured;

/// Measures what the pallets' calls and hooks weigh, and writes pallets/*/src/weights/measured.rs.
#[derive(Debug, Parser)]
struct Options {
    /// The runtime's Wasm, built with its benchmarks.
    #[arg(long)]
    runtime: PathBuf,
    /// The genesis preset on which benchmarks run.
    #[arg(long, default_value = "local")]
    preset: String,
    /// Points at which a benchmark with a parameter is measured.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..))]
    steps: u32,
    /// Runs at each point, of which the slower half is left out.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Only this pallet, as pallet_service_nodes.
    #[arg(long)]
    pallet: Option<String>,
}

#[expect(clippy::print_stderr, reason = "this is where the program prints")]
fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let bench = Bench::open(fs::read(&options.runtime)?, options.preset)?;
    let mut pallets = BTreeMap::<_, Vec<_>>::new();
    for benchmark in bench.benchmarks()? {
        if options.pallet.as_ref().is_some_and(|pallet| *pallet != benchmark.pallet) {
            continue;
        }
        let measured = Measured::of(&bench.run(&benchmark, options.steps, options.repeat)?, &benchmark)?;
        eprintln!("{}: {measured}", benchmark.pallet);
        pallets.entry(benchmark.pallet).or_default().push(measured);
    }
    for (pallet, measured) in pallets {
        let folder = pallet.strip_prefix("pallet_").unwrap_or(&pallet).replace('_', "-");
        let file = format!("pallets/{folder}/src/weights/measured.rs");
        fs::create_dir_all(format!("pallets/{folder}/src/weights"))?;
        fs::write(file, weight::source(&measured, options.steps, options.repeat))?;
    }
    Ok(())
}
