//! Runs many seeds and says which one fails: `scripts/simulate --seeds N [--from S]`.

use clap::Parser;
use skep_simulator::{Settings, Stats, run};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Members of swarms and their clients on a virtual clock, with faults and lying peers
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Larger worlds, which take some ten times as long
    #[arg(long)]
    large: bool,
}

fn main() -> io::Result<ExitCode> {
    let Arguments { seeds, from, large } = Arguments::parse();
    let settings = if large { Settings::LARGE } else { Settings::default() };
    let mut out = io::stdout().lock();
    let mut all = Stats::default();
    for seed in (from..).take(usize::try_from(seeds).unwrap_or(usize::MAX)) {
        match run(seed, settings) {
            Ok(stats) => all.add(&stats),
            Err(violation) => {
                writeln!(out, "seed {seed} fails: {violation}")?;
                let large = if large { " --large" } else { "" };
                writeln!(out, "run it again with: scripts/simulate --seeds 1 --from {seed}{large}")?;
                return Ok(ExitCode::FAILURE);
            }
        }
        if (seed - from + 1).is_multiple_of(1_000) {
            writeln!(out, "{} seeds", seed - from + 1)?;
        }
    }
    writeln!(out, "{seeds} seeds from {from} hold. {all}")?;
    Ok(ExitCode::SUCCESS)
}
