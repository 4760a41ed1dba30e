// polkadot.js: token and prefix, documented calls and events, a balance, a signed transfer that becomes final.
import { ApiPromise, Keyring, WsProvider } from "@polkadot/api";
import { NODE, OURS, TOKEN, TRANSFER, expect, run } from "./check.mjs";

await run("@polkadot/api", async () => {
    const api = await ApiPromise.create({ provider: new WsProvider(NODE), noInitWarn: true });
    expect("the token's symbol", api.registry.chainTokens[0] === TOKEN.symbol);
    expect("the token's decimals", api.registry.chainDecimals[0] === TOKEN.decimals);
    expect("the SS58 prefix", api.registry.chainSS58 === TOKEN.prefix);

    let documented = 0;
    const undocumented = [];
    for (const pallet of api.runtimeMetadata.asLatest.pallets) {
        if (!OURS.includes(pallet.name.toString())) continue;
        for (const part of [pallet.calls, pallet.events, pallet.errors]) {
            if (part.isNone) continue;
            for (const variant of api.registry.lookup.getSiType(part.unwrap().type).def.asVariant.variants) {
                documented += 1;
                if (variant.docs.length === 0) undocumented.push(`${pallet.name}.${variant.name}`);
            }
        }
        const values = pallet.storage.isSome ? [...pallet.storage.unwrap().items] : [];
        for (const value of [...values, ...pallet.constants]) {
            documented += 1;
            if (value.docs.length === 0) undocumented.push(`${pallet.name}.${value.name}`);
        }
    }
    expect(`documentation of ${undocumented.join(", ")}`, undocumented.length === 0 && documented > 10);

    const keyring = new Keyring({ type: "sr25519", ss58Format: TOKEN.prefix });
    const [alice, bob] = ["//Alice", "//Bob"].map((uri) => keyring.addFromUri(uri));
    const before = (await api.query.system.account(bob.address)).data.free.toBigInt();
    const block = await new Promise((resolve, reject) => {
        const transfer = api.tx.balances.transferKeepAlive(bob.address, TRANSFER);
        transfer
            .signAndSend(alice, { nonce: -1 }, ({ status, dispatchError }) => {
                if (dispatchError) reject(new Error(dispatchError.toString()));
                if (status.isFinalized) resolve(status.asFinalized.toHex());
            })
            .catch(reject);
    });
    const after = (await api.query.system.account(bob.address)).data.free.toBigInt();
    expect("the transferred amount", after - before >= TRANSFER);
    const nodes = (await api.query.serviceNodes.rosterSize()).toNumber();
    return { documented, transferred_in: block, service_nodes: nodes };
});
