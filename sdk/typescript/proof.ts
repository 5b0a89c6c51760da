/**
 * Verifies messages against a room's transparency log: `@arqon/sdk/proof`. Only programs that import it load it.
 * docs/proof.md describes the log's guarantees.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 * import { VerifiedLog } from "@arqon/sdk/proof";
 *
 * const log = new VerifiedLog({ url: "https://bus.example.com/v1/proof/acme.bets", vkeys: ["…"] });
 * await using bus = await connect({ url: "bus.example.com", token: "…" });
 * for await (const message of log.verify(bus.room("bets").subscribe())) console.log(message.text());
 * ```
 */
export { ProofError, VerifiedLog } from "./proof/verified_log.ts";
export type { ProofEvidence, VerifiedLogOptions } from "./proof/verified_log.ts";
export { receiptIn, WITH_RECEIPT } from "./proof/receipt.ts";
