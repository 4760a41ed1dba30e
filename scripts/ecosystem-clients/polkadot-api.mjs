// polkadot-api: metadata without generated code, a balance, a signed transfer that becomes final.
import { sr25519CreateDerive } from "@polkadot-labs/hdkd";
import { DEV_PHRASE, entropyToMiniSecret, mnemonicToEntropy, ss58Address } from "@polkadot-labs/hdkd-helpers";
import { createClient } from "polkadot-api";
import { getPolkadotSigner } from "polkadot-api/signer";
import { getWsProvider } from "polkadot-api/ws-provider/node";
import { NODE, TOKEN, TRANSFER, expect, run } from "./check.mjs";

await run("polkadot-api", async () => {
    const client = createClient(getWsProvider(NODE));
    const spec = await client.getChainSpecData();
    expect("the token's symbol", spec.properties.tokenSymbol === TOKEN.symbol);
    const api = client.getUnsafeApi();
    const derive = sr25519CreateDerive(entropyToMiniSecret(mnemonicToEntropy(DEV_PHRASE)));
    // Not the account of another client: this one takes its nonce from a block in which that one's call may be missing.
    const [ferdie, bob] = [derive("//Ferdie"), derive("//Bob")];
    const address = ss58Address(bob.publicKey, TOKEN.prefix);
    const balance = async () => (await api.query.System.Account.getValue(address)).data.free;
    const before = await balance();
    const transfer = api.tx.Balances.transfer_keep_alive({ dest: { type: "Id", value: address }, value: TRANSFER });
    const outcome = await transfer.signAndSubmit(getPolkadotSigner(ferdie.publicKey, "Sr25519", ferdie.sign));
    expect("a call that succeeds", outcome.ok);
    expect("the transferred amount", (await balance()) - before >= TRANSFER);
    const nodes = await api.query.ServiceNodes.RosterSize.getValue();
    return { transferred_in: outcome.block.hash, service_nodes: nodes };
});
