/**
 * `arq policy quarantine` and `release`: list and release modules that no Shield runs because they wedged a
 * worker.
 */
import { plural } from "../../../shared/plural.ts";
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import { EXIT, printable } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { listOf, quarantineTable } from "../../answers/policy_text.ts";
import type { ConnectionFlags } from "../../bus/target.ts";

/** The options of both commands. */
export interface QuarantineFlags extends ConnectionFlags {
  readonly json?: boolean;
}

const PATH = "/v1/policies/quarantine";

/** Prints the modules in quarantine. */
export async function policyQuarantine(io: Io, flags: QuarantineFlags): Promise<number> {
  const admin = await findAdmin(io, flags);
  const answer = await askAdmin(io, admin, { method: "GET", path: PATH });
  const { modules, truncated } = answer;
  const count = plural(listOf(modules).length, "module");
  const more = truncated === true ? "… and more\n" : "";
  const text = flags.json === true
    ? `${JSON.stringify(answer)}\n`
    : listOf(modules).length === 0
    ? "no module is in quarantine\n"
    : `${count} in quarantine\n${quarantineTable(modules)}${more}`;
  await print(io.stdout, text);
  return EXIT.ok;
}

/** Ends the quarantine of a module on every node. */
export async function policyRelease(
  io: Io,
  sha256: string,
  flags: QuarantineFlags,
): Promise<number> {
  const admin = await findAdmin(io, flags);
  const path = `${PATH}/${encodeURIComponent(sha256)}`;
  const answer = await askAdmin(io, admin, { method: "DELETE", path });
  const text = flags.json === true
    ? `${JSON.stringify(answer)}\n`
    : `${printable(sha256)} is released: every node may run it again\n`;
  await print(io.stdout, text);
  return EXIT.ok;
}
