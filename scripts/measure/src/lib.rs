//! Compares two ways of doing the same, in one run, and prints a row for each.
//!
//! What a machine does beside a bench changes from minute to minute, so absolute times say little. Here product and baseline
//! take turns, each turn gives one ratio, and the row is their median, with the middle half as its spread. With `--json` a
//! row is one line of JSON; `--only TEXT` runs the rows whose names hold it.
//!
//! ```no_run
//! use skep_measure::{Aim, Bench, time};
//! let mut bench = Bench::from_arguments();
//! bench.speed("sum of a thousand", Aim::AtLeast(0.9), 15, || time(|| (0..1_000u64).sum::<u64>()), || time(|| 499_500u64));
//! ```
#![allow(clippy::print_stdout, reason = "a bench prints its rows")]

use serde::Serialize;
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// What a ratio should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// Nothing is promised: it is only told.
    None,
}

impl Aim {
    fn holds(self, ratio: f64) -> Option<bool> {
        match self {
            Self::AtLeast(least) => Some(ratio >= least),
            Self::AtMost(most) => Some(ratio <= most),
            Self::None => None,
        }
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::AtLeast(number) | Self::AtMost(number) => Some(number),
            Self::None => None,
        }
    }
}

/// How long one call of `work` takes; what it returns is not optimized away.
pub fn time<R>(work: impl FnOnce() -> R) -> Duration {
    let began = Instant::now();
    black_box(work());
    began.elapsed()
}

/// The rows of one run.
#[derive(Debug)]
pub struct Bench {
    json: bool,
    only: Option<String>,
    missed: usize,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    row: &'a str,
    ratio: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<bool>,
    runs: usize,
    /// The middle half of the ratios.
    spread: [f64; 2],
    /// Median time of the product and of the baseline, in microseconds.
    microseconds: [f64; 2],
}

#[derive(Debug, Serialize)]
struct Reading<'a> {
    row: &'a str,
    value: f64,
    unit: &'a str,
    runs: usize,
}

impl Bench {
    /// Reads `--json` and `--only TEXT`; other arguments (cargo's own) are passed over. A test runner that asks which tests
    /// there are (`--list`) is told none: the process ends.
    pub fn from_arguments() -> Self {
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        if arguments.iter().any(|argument| argument == "--list") {
            std::process::exit(0);
        }
        let only = arguments.iter().position(|argument| argument == "--only").and_then(|at| arguments.get(at + 1));
        Self { json: arguments.iter().any(|argument| argument == "--json"), only: only.cloned(), missed: 0 }
    }

    /// Whether a row of this name is wanted; ask before a costly preparation.
    pub fn wants(&self, row: &str) -> bool {
        self.only.as_ref().is_none_or(|only| row.contains(only.as_str()))
    }

    /// How fast the product is in baselines: baseline's time over product's. Each closure does one turn and tells how long
    /// it took, so that preparations do not count.
    pub fn speed(
        &mut self,
        row: &str,
        aim: Aim,
        runs: usize,
        product: impl FnMut() -> Duration,
        baseline: impl FnMut() -> Duration,
    ) {
        self.compare(row, aim, runs, product, baseline, |product, baseline| baseline / product);
    }

    /// What the product costs in baselines: product's time over baseline's.
    pub fn cost(
        &mut self,
        row: &str,
        aim: Aim,
        runs: usize,
        product: impl FnMut() -> Duration,
        baseline: impl FnMut() -> Duration,
    ) {
        self.compare(row, aim, runs, product, baseline, |product, baseline| product / baseline);
    }

    /// Tells a number that is compared with nothing: a size, a time.
    pub fn tell(&self, row: &str, value: f64, unit: &str, runs: usize) {
        if !self.wants(row) {
            return;
        }
        if self.json {
            print_json(&Reading { row, value: rounded(value), unit, runs });
        } else {
            println!("{row:<64} {value:>10.2} {unit}");
        }
    }

    /// How many aims were missed.
    pub fn missed(&self) -> usize {
        self.missed
    }

    fn compare(
        &mut self,
        row: &str,
        aim: Aim,
        runs: usize,
        mut product: impl FnMut() -> Duration,
        mut baseline: impl FnMut() -> Duration,
        ratio: impl Fn(f64, f64) -> f64,
    ) {
        if !self.wants(row) {
            return;
        }
        // The first turn of each warms caches and is not counted; then they begin in turn.
        product();
        baseline();
        let turns: Vec<_> = (0..runs.max(1))
            .map(|turn| {
                let (mine, theirs);
                if turn % 2 == 0 {
                    mine = product();
                    theirs = baseline();
                } else {
                    theirs = baseline();
                    mine = product();
                }
                (mine.as_secs_f64().max(1e-9), theirs.as_secs_f64().max(1e-9))
            })
            .collect();
        let quartiles = quartiles(turns.iter().map(|(mine, theirs)| ratio(*mine, *theirs)).collect());
        let [low, middle, high] = quartiles;
        let micros = |seconds: Vec<f64>| rounded(self::quartiles(seconds)[1] * 1e6);
        let row = Row {
            row,
            ratio: rounded(middle),
            aim: aim.number(),
            holds: aim.holds(middle),
            runs: turns.len(),
            spread: [rounded(low), rounded(high)],
            microseconds: [
                micros(turns.iter().map(|(mine, _)| *mine).collect()),
                micros(turns.iter().map(|(_, theirs)| *theirs).collect()),
            ],
        };
        self.missed += usize::from(row.holds == Some(false));
        self.show(&row, aim);
    }

    fn show(&self, row: &Row<'_>, aim: Aim) {
        if self.json {
            return print_json(row);
        }
        let aim = match aim {
            Aim::AtLeast(least) => format!(">= {least}"),
            Aim::AtMost(most) => format!("<= {most}"),
            Aim::None => String::from("told only"),
        };
        let holds = match row.holds {
            Some(true) => "holds",
            Some(false) => "MISSED",
            None => "",
        };
        let [low, high] = row.spread;
        let [mine, theirs] = row.microseconds;
        println!(
            "{:<64} {:>9.3} ({low:.3} .. {high:.3}) {aim:>10} {holds:<6}  {mine:.1} us against {theirs:.1} us",
            row.row, row.ratio
        );
    }
}

fn print_json(row: &impl Serialize) {
    println!("{}", serde_json::to_string(row).expect("numbers and text are JSON"));
}

fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

/// Lower quartile, median and upper quartile.
fn quartiles(mut numbers: Vec<f64>) -> [f64; 3] {
    numbers.sort_by(f64::total_cmp);
    let at = |quarter: usize| numbers.get((numbers.len().saturating_sub(1)) * quarter / 4).copied().unwrap_or(f64::NAN);
    [at(1), at(2), at(3)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench() -> Bench {
        Bench { json: true, only: None, missed: 0 }
    }

    #[test]
    fn speed_and_cost_are_each_others_inverse() {
        let (fast, slow) = (Duration::from_millis(1), Duration::from_millis(2));
        let mut bench = bench();
        bench.speed("twice as fast", Aim::AtLeast(2.0), 3, || fast, || slow);
        bench.cost("half the cost", Aim::AtMost(0.5), 3, || fast, || slow);
        assert_eq!(bench.missed(), 0);
        bench.speed("half as fast", Aim::AtLeast(1.0), 3, || slow, || fast);
        assert_eq!(bench.missed(), 1);
    }

    #[test]
    fn the_middle_of_the_turns_counts() {
        assert_eq!(quartiles(vec![5.0, 1.0, 2.0, 100.0, 3.0]), [2.0, 3.0, 5.0]);
        assert_eq!(quartiles(vec![7.0]), [7.0; 3]);
    }

    #[test]
    fn rows_that_are_not_asked_for_do_not_run() {
        let mut bench = Bench { only: Some("this".into()), ..bench() };
        bench.cost("that", Aim::None, 1, || unreachable!("not wanted"), || unreachable!("not wanted"));
        assert!(bench.wants("only this one"));
    }
}
