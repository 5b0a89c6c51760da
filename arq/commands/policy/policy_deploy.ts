/**
 * `arq policy deploy`: uploads a module and binds it to a tenant's rooms and hooks. The bus decides whether it accepts
 * the module, and its message is shown.
 */
import { idProblem } from "@arqon/proto";
import { configFrom } from "../../../shared/config/load.ts";
import { meterPolicy } from "../../../shield/policy/abi/abi_check.ts";
import { count } from "../../answers/figures.ts";
import { type TrialCalls, trialCalls } from "../../policies/policy_trial.ts";
import { findAdmin } from "../../bus/admin.ts";
import { CommandError, printable, usageError } from "../../terminal/exit.ts";
import { readModuleFile, requireModule } from "../../policies/module_file.ts";
import { type Ended, type Io, note, resolvePath } from "../../terminal/io.ts";
import { changeText } from "../../answers/policy_text.ts";
import { changeExit } from "./policy_change.ts";
import { failingText } from "./policy_check.ts";
import type { Flags } from "../../program/flags.ts";

type DeployFlags = Omit<Flags<"order" | "percent" | "room" | "tenant">, "hook"> & {
  readonly hook?: readonly string[];
};

/** Most bytes of a module on every bus (docs/policies.md). */
const MODULE_BYTES_MAX = 1_048_576;

/** The policy's name: that of `option`, else the file's. Throws when it is not valid. */
export function policyName(file: string, given: string | undefined, option = "--name"): string {
  const name = given ?? (file.split(/[\\/]/).pop() ?? "").replace(/\.wasm$/i, "");
  const problem = idProblem(name);
  if (problem === undefined) return name;
  throw usageError(
    given === undefined
      ? `the file's name cannot be a policy's name: ${problem}`
      : `${option}: ${problem}`,
    given === undefined ? `give one with ${option}` : undefined,
  );
}

async function readModule(io: Io, file: string): Promise<Uint8Array> {
  const bytes = await readModuleFile(io, file);
  if (bytes.length <= MODULE_BYTES_MAX) return bytes;
  throw new CommandError(
    `${resolvePath(io.cwd, file)} has ${bytes.length} bytes; a module has at most 1 MiB`,
  );
}

/** Deploys a module and prints what is in force. Returns 1 when this node does not enforce it. */
export async function policyDeploy(io: Io, file: string, flags: DeployFlags): Promise<Ended> {
  // Checked before the name: a source never has a valid name, but its name is not the problem.
  requireModule(file);
  const name = policyName(file, flags.name);
  const body = await readModule(io, file);
  const admin = await findAdmin(io, flags);
  const began_ms = io.monotonic_ms();
  const module = await admin.ask({
    method: "PUT",
    path: "/v1/policies/modules",
    body,
    content_type: "application/wasm",
  });
  const { tenant, room, hook, order, percent } = flags;
  const answer = await admin.ask({
    method: "POST",
    path: "/v1/policies/deploy",
    body: JSON.stringify({
      tenant,
      name,
      sha256: module["sha256"],
      room,
      ...(hook === undefined ? {} : { hooks: [...new Set(hook)] }),
      order,
      mode: flags.observe === true ? "observe" : "enforce",
      percent,
    }),
  });
  const duration_ms = io.monotonic_ms() - began_ms;
  await warnOfFaults(io, file, body);
  const text = changeText(answer, `${name} is deployed`, duration_ms);
  return { json: answer, text, code: await changeExit(answer, flags, io) };
}

/** Reports calls that the policy fails with the limits of an unconfigured bus. */
async function warnOfFaults(io: Io, file: string, bytes: Uint8Array): Promise<void> {
  const config = configFrom({});
  const { memory_limit_pages } = config.platform.overseer;
  // The bus has accepted it, perhaps with a higher limit than the default.
  const metered = await Promise.try(() => meterPolicy(bytes, { memory_limit_pages })).catch(() =>
    undefined
  );
  if (metered === undefined) return;
  for (const warning of warnings(file, await trialCalls(metered, config, io))) {
    await note(io, warning);
  }
}

/** The warnings for a policy that fails trial calls, or cannot judge all messages of the bus. */
function warnings(file: string, { failing, message_sizes }: TrialCalls): readonly string[] {
  const texts = failing.map((one) =>
    `this policy fails a short trial call, and refuses such calls with 503: ` +
    printable(failingText(one))
  );
  const [worst] = message_sizes?.refused ?? [];
  if (message_sizes === undefined || worst === undefined) return texts;
  const { limit_bytes, fuel_limit } = message_sizes;
  const with_fuel = worst.fault === "fuel" ? `with a fuel_limit of ${count(fuel_limit)} ` : "";
  const by_fault = worst.fault === "fuel" ? "" : ` (${worst.fault})`;
  return [
    ...texts,
    `${with_fuel}this policy refuses long messages with 503${by_fault}, ` +
    `from ${count(worst.bytes)} of ${count(limit_bytes)} bytes on when they are ` +
    `${worst.content}; \`arq policy check ${printable(file)}\` has more`,
  ];
}
