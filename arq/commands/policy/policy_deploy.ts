/**
 * `arq policy deploy`: uploads a module and binds it to a tenant's rooms and hooks. The bus decides whether it accepts
 * the module, and its message is shown.
 */
import { idProblem } from "@arqon/proto";
import { configFrom } from "../../../shared/config/load.ts";
import { meterPolicy } from "../../../shield/policy/abi/abi_check.ts";
import { count } from "../../answers/figures.ts";
import { type MessageSizes, messageSizes } from "../../policies/policy_trial.ts";
import { findAdmin } from "../../bus/admin.ts";
import { CommandError, printable, usageError } from "../../terminal/exit.ts";
import { readModuleFile, requireModule } from "../../policies/module_file.ts";
import { type Ended, type Io, note, resolvePath } from "../../terminal/io.ts";
import { changeText } from "../../answers/policy_text.ts";
import { changeExit } from "./policy_change.ts";
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
  await warnOfSizes(io, file, body);
  const text = changeText(answer, `${name} is deployed`, duration_ms);
  return { json: answer, text, code: await changeExit(answer, flags, io) };
}

/** Reports the message sizes that the policy refuses, with the limits of an unconfigured bus. */
async function warnOfSizes(io: Io, file: string, bytes: Uint8Array): Promise<void> {
  const config = configFrom({});
  const { memory_limit_pages } = config.platform.overseer;
  // The bus has accepted it, perhaps with a higher limit than the default.
  const metered = await Promise.try(() => meterPolicy(bytes, { memory_limit_pages })).catch(() =>
    undefined
  );
  if (metered === undefined || !metered.hooks.includes("on_message")) return;
  const warning = sizesWarning(file, await messageSizes(metered, config, io));
  if (warning !== "") await note(io, warning);
}

/** The warning for a policy that cannot judge all messages of the bus; "" when it can. */
function sizesWarning(file: string, { limit_bytes, fuel_limit, refused }: MessageSizes): string {
  const [worst] = refused;
  if (worst === undefined) return "";
  return `with a fuel_limit of ${count(fuel_limit)} this policy refuses long messages with 503, ` +
    `from ${count(worst.bytes)} of ${count(limit_bytes)} bytes on when they are ` +
    `${worst.content}; \`arq policy check ${printable(file)}\` has more`;
}
