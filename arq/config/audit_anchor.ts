/** Reads the `--anchor` of `arq audit verify` from the command line. */
import type { Anchor } from "../../shared/audit/chain.ts";
import { usageError } from "../terminal/exit.ts";

/** Reads an anchor of the form `SEQ:HASH`. Throws a usage error. */
export function parseAnchor(text: string): Anchor {
  const [, seq = "", hash = ""] = /^([1-9][0-9]{0,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (seq !== "") return { seq: Number(seq), hash };
  throw usageError("--anchor: expected SEQ:HASH, as arq audit verify prints it");
}
