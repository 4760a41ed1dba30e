//! From starting `skep` to its first words, the derivation of the key from the passphrase apart.

use crate::{
    Outcome,
    messages::{directory, program},
};
use argon2::{Algorithm, Argon2, Params, Version};
use skep_measure::{Aim, Report, Row, duration, quartiles};
use std::{
    error::Error,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

/// How long it may take.
const LIMIT: f64 = 0.1;
/// What the client asks of a passphrase: KiB, passes, lanes.
const COST: (u32, u32, u32) = (64 * 1024, 3, 1);

pub(crate) fn rows(report: &mut Report) -> Outcome {
    let name = "cold start of the CLI without key derivation, vs 100 ms";
    if !report.wants(name) {
        return Ok(());
    }
    let (skep, home) = (program("skep")?, directory()?);
    run(&skep, home.path(), &["account", "new", "--name", "Somebody"])?;
    let (mut starts, mut derivations) = (Vec::new(), Vec::new());
    for run_number in 0..report.runs() {
        let start = || -> Result<f64, Box<dyn Error>> {
            let begun = Instant::now();
            run(&skep, home.path(), &["contact", "list"])?;
            Ok(begun.elapsed().as_secs_f64())
        };
        if run_number % 2 == 0 {
            starts.push(start()?);
            derivations.push(derive()?);
        } else {
            derivations.push(derive()?);
            starts.push(start()?);
        }
    }
    let ratios = starts.iter().zip(&derivations).map(|(start, derivation)| (start - derivation) / LIMIT).collect();
    let [start, derivation] = [&starts, &derivations].map(|times| duration(quartiles(times).median));
    let detail = format!("{start}, of it {derivation} key derivation");
    Ok(report.tell(&Row { name: name.to_owned(), aim: Aim::AtMost(1.0), ratios, detail })?)
}

fn run(skep: &Path, home: &Path, arguments: &[&str]) -> Outcome {
    let ended = Command::new(skep)
        .args(arguments)
        .env("SKEP_HOME", home)
        .env("SKEP_PASSPHRASE", "a passphrase")
        .stdin(Stdio::null())
        .output()?;
    if ended.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ended.stderr).into_owned().into()) }
}

fn derive() -> Result<f64, Box<dyn Error>> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, Some(32)).map_err(|error| error.to_string())?;
    let mut key = [0; 32];
    let begun = Instant::now();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(b"a passphrase", &[7; 16], &mut key)
        .map_err(|error| error.to_string())?;
    std::hint::black_box(key);
    Ok(begun.elapsed().as_secs_f64())
}
