/**
 * Verifies messages against a room's transparency log: `@arqon/sdk/proof`. Only programs that import it load it.
 * docs/proof.md describes the log's guarantees.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 * import { proof, ProofError } from "@arqon/sdk/proof";
 *
 * const given = { url: "bus.example.com", token: "…" };
 * await using bus = await connect({ ...given, proof: proof({ vkeys: ["…"] }) });
 * try {
 *   for await (const message of bus.room("bets").subscribe({ verify: true })) console.log(message.text());
 * } catch (error) {
 *   if (error instanceof ProofError) console.error(error.kind, error.evidence);
 * }
 * ```
 */
export { proof, type Prove } from "./proof/proof.ts";
export { ProofError, VerifiedLog } from "./proof/verified_log.ts";
export type { ProofEvidence, ProofOptions, VerifiedLogOptions } from "./proof/verified_log.ts";
export { receiptIn, WITH_RECEIPT } from "./proof/receipt.ts";
