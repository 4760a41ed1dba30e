// What the checks of all clients share: expectations, a time limit, one line of JSON at the end.
import { readFileSync } from "node:fs";

export const NODE = process.env.SKEP_NODE ?? "ws://127.0.0.1:9944";
export const TRANSFER = 1_000_000_000n;
export const TOKEN = { symbol: "SKEP", decimals: 9, prefix: 42 };
// Pallets of this project: what they offer must be explained in wallets.
export const OURS = ["ServiceNodes", "Swarms", "Rewards", "Network", "Governance", "Authorities", "Obligations"];

export function expect(what, is) {
    if (!is) throw new Error(`not as expected: ${what}`);
}

// JSON-RPC over HTTP, with no library at all.
export async function ask(method, params = []) {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(NODE.replace(/^ws/, "http"), { method: "POST", headers, body });
    const { result, error } = await answer.json();
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
}

export async function run(client, check) {
    const limit = setTimeout(() => fail(new Error("not within three minutes")), 180_000);
    const fail = (error) => {
        console.log(JSON.stringify({ client, passed: false, error: String(error?.message ?? error) }));
        process.exit(1);
    };
    try {
        const manifest = JSON.parse(readFileSync(new URL(`./node_modules/${client}/package.json`, import.meta.url)));
        const found = await check();
        clearTimeout(limit);
        console.log(JSON.stringify({ client, version: manifest.version, passed: true, ...found }));
        process.exit(0);
    } catch (error) {
        fail(error);
    }
}
