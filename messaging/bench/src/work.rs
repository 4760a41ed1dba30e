//! Proof of work: ours against Equi-X by itself.

use crate::Outcome;
use equix::{EquiXBuilder, RuntimeOption};
use skep_measure::{Aim, Report, per_call};
use skep_proto::{
    account::AccountAddress,
    storage::{MessageHash, Namespace},
};
use skep_work::{Challenge, solve, verify};
use std::{cell::Cell, error::Error, hint::black_box, time::Duration};

const SOLVE: Duration = Duration::from_secs(1);
const VERIFY: Duration = Duration::from_millis(200);

pub(crate) fn rows(report: &mut Report) -> Outcome {
    let challenge = Challenge {
        account: AccountAddress::from_x25519([1; 32]),
        namespace: Namespace::DEFAULT,
        hash: MessageHash::from([2; 32]),
        timestamp: 1_700_000_000_000,
        ttl: 3_600_000,
        effort: 1,
        block_hash: [3; 32],
    };
    let counter = Cell::new(0_u64);
    let fresh = || {
        counter.set(counter.get() + 1);
        let mut start = [0; 16];
        start[8..].copy_from_slice(&counter.get().to_be_bytes());
        start
    };
    report.speed::<Box<dyn Error>>(
        "Equi-X solve, effort 1, vs Equi-X by itself",
        Aim::None,
        || {
            per_call(SOLVE, || {
                black_box(solve(&challenge, fresh(), || true).ok_or("gave up")?);
                Ok(())
            })
        },
        || {
            per_call(SOLVE, || {
                // A challenge without a solution is passed over, as a solver does.
                while solve_raw(&fresh())?.is_none() {}
                Ok(())
            })
        },
    )?;
    let proof = solve(&challenge, [0; 16], || true).ok_or("gave up")?;
    let (raw_puzzle, raw_solution) = loop {
        let puzzle = fresh();
        if let Some(solution) = solve_raw(&puzzle)? {
            break (puzzle, solution);
        }
    };
    report.speed::<Box<dyn Error>>(
        "Equi-X verify, vs Equi-X by itself",
        Aim::None,
        || per_call(VERIFY, || Ok(verify(black_box(&challenge), black_box(&proof))?)),
        || {
            per_call(VERIFY, || {
                let mut equix = EquiXBuilder::new();
                Ok(equix.runtime(RuntimeOption::InterpretOnly).verify(&raw_puzzle, black_box(&raw_solution))?)
            })
        },
    )
}

fn solve_raw(puzzle: &[u8; 16]) -> Result<Option<equix::Solution>, Box<dyn Error>> {
    match EquiXBuilder::new().solve(puzzle) {
        Ok(solutions) => Ok(solutions.into_iter().next()),
        // A puzzle in some hundred has no program.
        Err(equix::Error::Hash(equix::HashError::ProgramConstraints)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
