/** Checks by libraries of others, in Go and Rust, which read our trees and proofs for tests. */
import { must } from "../../tasks/checkout/programs.ts";
import { ensureGoProgram, type GoProgram } from "../harness/go_program.ts";

const PROOF_TOOL = {
  name: "arqon_proof_tool",
  version: "mod-0.43.0-tessera-1.0.4-files",
  source: { folder: "tests/proof_tool" },
};

const PROOF_READER = {
  name: "arqon_proof_reader",
  version: "tlog_tiles-0.2.0-ct-merkle-0.3.0",
  source: { crate: "tests/proof_tool/rust" },
};

/** Runs Go's `sumdb/tlog` and `note`, or tessera's client and `fsck`; the answer. Rejects with the text of stderr. */
export const proofTool = (args: readonly string[], stdin = ""): Promise<unknown> =>
  run(PROOF_TOOL, args, stdin);

/** The same of Rust's `tlog_tiles` and `ct-merkle`. */
export const proofReader = (args: readonly string[], stdin: string): Promise<unknown> =>
  run(PROOF_READER, args, stdin);

async function run(of: GoProgram, args: readonly string[], stdin: string): Promise<unknown> {
  const { stdout } = await must(await ensureGoProgram(of), args, { stdin });
  return JSON.parse(stdout);
}
