/** Checks by Go's `sumdb/tlog` and `note`, and by tessera, which read our trees and proofs for tests. */
import assert from "node:assert/strict";
import { ensureGoProgram } from "../harness/go_program.ts";

const PROOF_TOOL = {
  name: "arqon_proof_tool",
  version: "mod-0.43.0-tessera-1.0.4-cosigned",
  source: { folder: "tests/proof_tool" },
};

/** Runs it with those arguments; its answer. Rejects with what it says on stderr. */
export async function proofTool(args: readonly string[], stdin = ""): Promise<unknown> {
  const program = await ensureGoProgram(PROOF_TOOL);
  const piped = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
  const child = new Deno.Command(program, { args: [...args], ...piped }).spawn();
  const fed = new Blob([stdin]).stream().pipeTo(child.stdin);
  const [{ success, stdout, stderr }] = await Promise.all([child.output(), fed]);
  assert(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
