# shellcheck shell=bash
# What every script shares; sourced, never run.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Outside the checkout, and one place for tests, devnet and CI, so that the SDK is compiled once.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/skep/target}"

# Every crate of the workspace is compiled by Clippy's driver: same code, and lints without a second pass over the SDK.
export RUSTC_WORKSPACE_WRAPPER="${RUSTC_WORKSPACE_WRAPPER-clippy-driver}"

# Crates that need neither the SDK nor RocksDB: tested first, so that their failures show early.
# shellcheck disable=SC2034 # for the scripts that source this
light_crates=(skep-primitives skep-economics skep-swarm-map skep-proto skep-onion skep-envelope skep-work skep-checks skep-measure skep-lost-power)

say() {
    printf '==> %s\n' "$*" >&2
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# The one selection for whatever needs the SDK or RocksDB: features unify per selection, and another one would compile
# both again.
build() {
    cargo build --workspace --all-targets
}
