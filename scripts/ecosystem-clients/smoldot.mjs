// smoldot: joins the network as a light client, from the raw specification with the state to start from, and reads a value
// that full nodes prove to it.
import { start } from "smoldot";
import { ask, expect, run } from "./check.mjs";

await run("smoldot", async () => {
    const spec = await ask("sync_state_genSyncSpec", [true]);
    expect("a state for light clients in the specification", spec.lightSyncState);
    const [peer, listens] = await Promise.all([ask("system_localPeerId"), ask("system_localListenAddresses")]);
    const loopback = listens.filter((address) => address.startsWith("/ip4/127.0.0.1/tcp/"));
    spec.bootNodes = loopback.map((address) => (address.includes("/p2p/") ? address : `${address}/p2p/${peer}`));
    expect("an address to connect to", spec.bootNodes.length > 0);

    const log = [];
    const client = start({ maxLogLevel: 3, logCallback: (_, target, text) => log.push(`${target}: ${text}`) });
    try {
        const chain = await client.addChain({ chainSpec: JSON.stringify(spec) });
        let last = 0;
        const call = async (method, params) => {
            last += 1;
            chain.sendJsonRpc(JSON.stringify({ jsonrpc: "2.0", id: last, method, params }));
            for (;;) {
                const { id, result, error } = JSON.parse(await chain.nextJsonRpcResponse());
                if (id !== last) continue;
                if (error) throw new Error(`${method}: ${error.message}`);
                return result;
            }
        };
        const begun = Number.parseInt((await ask("chain_getHeader")).number, 16);
        let finalized;
        do {
            await new Promise((resolve) => setTimeout(resolve, 1_000));
            const hash = await call("chain_getFinalizedHead", []);
            finalized = Number.parseInt((await call("chain_getHeader", [hash])).number, 16);
        } while (finalized < begun);
        // ServiceNodes.RosterSize
        const key = await rosterSizeKey();
        const told = await call("state_getStorage", [key]);
        expect("the proven value", told === (await ask("state_getStorage", [key])));
        return { finalized, roster_size: told };
    } catch (error) {
        throw new Error(`${error.message}; its last words: ${log.slice(-5).join(" | ")}`);
    }
});

// The key of a pallet's value, from the library that is installed anyway.
async function rosterSizeKey() {
    const { xxhashAsHex } = await import("@polkadot/util-crypto");
    return xxhashAsHex("ServiceNodes", 128) + xxhashAsHex("RosterSize", 128).slice(2);
}
