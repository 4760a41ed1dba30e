//! Lines through what was measured, and the Rust they become.

use crate::bench::{Benchmark, Results};
use frame_benchmarking::{Analysis, BenchmarkResult, BenchmarkSelector};
use std::{
    collections::BTreeMap,
    error::Error,
    fmt::{self, Display, Formatter, Write},
};

/// What a call or hook weighs, or what each unit of a parameter adds.
#[derive(Debug, Default)]
struct Cost {
    picoseconds: u128,
    reads: u128,
    writes: u128,
}

impl Cost {
    fn is_nothing(&self) -> bool {
        self.picoseconds == 0 && self.reads == 0 && self.writes == 0
    }
}

impl Display for Cost {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ns, {} reads, {} writes", self.picoseconds / 1_000, self.reads, self.writes)
    }
}

/// A call or hook and its weight.
#[derive(Debug)]
pub(crate) struct Measured {
    name: String,
    base: Cost,
    /// By parameter.
    slopes: Vec<(String, Cost)>,
}

impl Measured {
    /// Fits a line through the results.
    pub(crate) fn of(results: &Results, benchmark: &Benchmark) -> Result<Self, Box<dyn Error>> {
        let fit = |results: &Vec<BenchmarkResult>, of| {
            Analysis::min_squares_iqr(results, of).map_err(|error| format!("{}: {error}", benchmark.name))
        };
        let time = fit(&undisturbed(&results.timed), BenchmarkSelector::ExtrinsicTime)?;
        let reads = fit(&results.counted, BenchmarkSelector::Reads)?;
        let writes = fit(&results.counted, BenchmarkSelector::Writes)?;
        let base = Cost { picoseconds: time.base, reads: reads.base, writes: writes.base };
        let slopes = time.slopes.into_iter().zip(reads.slopes).zip(writes.slopes);
        let slopes = slopes.map(|((picoseconds, reads), writes)| Cost { picoseconds, reads, writes });
        Ok(Self { name: benchmark.name.clone(), base, slopes: time.names.into_iter().zip(slopes).collect() })
    }
}

/// The faster half of the runs at each point: whatever else the machine does makes a run slower, never faster.
fn undisturbed(timed: &[BenchmarkResult]) -> Vec<BenchmarkResult> {
    let mut points = BTreeMap::<Vec<u32>, Vec<_>>::new();
    for result in timed {
        let point = result.components.iter().map(|(_, value)| *value).collect();
        points.entry(point).or_default().push(result.clone());
    }
    points
        .into_values()
        .flat_map(|mut runs| {
            runs.sort_by_key(|run| run.extrinsic_time);
            runs.truncate(runs.len().div_ceil(2));
            runs
        })
        .collect()
}

impl Display for Measured {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.base)?;
        self.slopes.iter().try_for_each(|(name, cost)| write!(f, "; each {name} {cost}"))
    }
}

/// The Rust of a pallet's weights.
pub(crate) fn source(measured: &[Measured], steps: u32, repeat: u32) -> String {
    let mut text = format!(
        "//! Measured by `scripts/weights` ({steps} steps, {repeat} runs each), which writes this file: change the benchmarks.\n\
         //!\n\
         //! Time is the Wasm's own; reads and writes count at the runtime's database weight. No proof of a block is ever\n\
         //! made here, so that none is weighed.\n\n\
         use super::WeightInfo;\n\
         use core::marker::PhantomData;\n\
         use frame_support::{{traits::Get, weights::Weight}};\n\n\
         /// Weights as they were measured, at this runtime's database weight.\n\
         #[derive(Debug)]\n\
         pub struct Measured<T>(PhantomData<T>);\n\n\
         impl<T: frame_system::Config> WeightInfo for Measured<T> {{\n"
    );
    let functions: Vec<_> = measured.iter().map(function).collect();
    text.push_str(&functions.join("\n"));
    text.push_str("}\n");
    text
}

fn function(Measured { name, base, slopes }: &Measured) -> String {
    let parameters: Vec<_> = slopes.iter().map(|(name, _)| format!("{name}: u32")).collect();
    let mut text = format!("    fn {name}({}) -> Weight {{\n        {}\n", parameters.join(", "), weight(base));
    for (name, cost) in slopes {
        let each = if cost.is_nothing() { "Weight::zero()".to_owned() } else { weight(cost) };
        let line = format!("            .saturating_add({each}.saturating_mul({name}.into()))\n");
        text.push_str(&line);
    }
    text.push_str("    }\n");
    text
}

fn weight(Cost { picoseconds, reads, writes }: &Cost) -> String {
    let mut text = format!("Weight::from_parts({}, 0)", grouped(*picoseconds));
    if *reads > 0 || *writes > 0 {
        // Writing to a string does not fail.
        let _ = write!(text, ".saturating_add(T::DbWeight::get().reads_writes({reads}, {writes}))");
    }
    text
}

/// A number with its thousands set apart.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use frame_benchmarking::BenchmarkParameter;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1_000", "1_234_567"]);
    }

    #[test]
    fn slow_runs_are_left_out_point_by_point() {
        let run = |value, extrinsic_time| BenchmarkResult {
            components: vec![(BenchmarkParameter::n, value)],
            extrinsic_time,
            ..Default::default()
        };
        let timed = [run(1, 10), run(2, 90), run(1, 80), run(2, 20), run(1, 11)];
        assert_eq!(undisturbed(&timed), [run(1, 10), run(1, 11), run(2, 20)]);
    }

    #[test]
    fn a_weight_is_a_line_in_each_parameter() {
        let base = Cost { picoseconds: 5_000, reads: 2, writes: 1 };
        let each = Cost { picoseconds: 70, reads: 0, writes: 3 };
        let measured = Measured { name: "end".into(), base, slopes: vec![("n".into(), each)] };
        let text = function(&measured);
        assert!(text.starts_with("    fn end(n: u32) -> Weight {\n        Weight::from_parts(5_000, 0)"), "{text}");
        assert!(text.contains("reads_writes(2, 1)") && text.contains("reads_writes(0, 3)"), "{text}");
        assert!(text.contains(".saturating_mul(n.into())"), "{text}");
    }
}
