# shellcheck shell=bash
# A devnet of one's own for a script that shows something on it; sourced after lib.sh. Sets up `skep`, `node`, `messaging`, the
# chain nodes' addresses and `scratch`, and takes everything down again when the script ends.

# shellcheck disable=SC2034 # for the scripts that source this
chain=(http://127.0.0.1:9944 http://127.0.0.1:9945 http://127.0.0.1:9946 http://127.0.0.1:9947)
export SKEP_CHAIN=ws://127.0.0.1:9944
skep=$CARGO_TARGET_DIR/debug/skep
# shellcheck disable=SC2034
node=$CARGO_TARGET_DIR/debug/skep-node
# shellcheck disable=SC2034
messaging=$CARGO_TARGET_DIR/debug/skep-messaging
scratch=$(mktemp -d)
export SKEP_DEVNET=${SKEP_DEVNET:-$scratch/devnet}

# What a script stops besides.
stop_producers() {
    :
}

end_devnet() {
    stop_producers
    "$skep" devnet down >&2 || true
    rm -rf "$scratch"
}

begin_devnet() {
    trap end_devnet EXIT
    show "$skep" devnet up
}

# What the chain node at $1 answers to the method $2 with the arguments $3, JSON and separated by commas.
ask() {
    curl --silent --fail --max-time 10 --header 'Content-Type: application/json' \
        --data "{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"$2\",\"params\":[${3:-}]}" "$1" | jq -c .result
}

finalized() {
    "$skep" --json govern status | jq .height
}

# The finalized height, once it is at least $1.
await_height() {
    local height
    for _ in {1..300}; do
        height=$(finalized)
        if [ "$height" -ge "$1" ]; then
            echo "$height"
            return
        fi
        sleep 1
    done
    fail "block $1 is not final after five minutes"
}

# A command as a person types it, and what it says.
show() {
    printf '\n$ %s\n' "$(sed "s,^env ,,; s,$CARGO_TARGET_DIR/debug/,,g; s,$scratch/,,g" <<<"$*")"
    "$@"
}

# A command of `skep` as a well-known account.
as() {
    show env "SKEP_STAKER=//$1" "$skep" "${@:2}"
}
