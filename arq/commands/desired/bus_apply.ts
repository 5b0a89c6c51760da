/**
 * `arq apply` of a folder of the whole bus: its schemas, then each tenant in a step of its own. What was made
 * before a tenant is refused stays, and is told: the same again goes on from there.
 */
import { findAdmin } from "../../bus/admin.ts";
import { changesOfText } from "../../desired/plan_text.ts";
import { CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { make } from "./apply.ts";
import type { ApplyFlags } from "./apply.ts";
import { compareBus, readBusFolder } from "./bus_folder.ts";
import { othersText } from "./bus_plan.ts";
import { appliedOf, checksText } from "./plan.ts";

/** What became of one part. */
interface Part {
  /** Null: the bus itself. */
  readonly tenant: string | null;
  readonly apply: string | null;
  readonly in_force: boolean;
  readonly changes: readonly unknown[];
}

/** The error of a part, with what was made before it. */
function stopped(whose: string, done: readonly string[], error: unknown): unknown {
  if (!(error instanceof Error) || error.name === "Interrupted" || done.length === 0) return error;
  const text = `${whose}: ${error.message}; applied before it: ${done.join(", ")}`;
  return new CommandError(printable(text), EXIT.failure, "the same again goes on from there");
}

/** Puts all of it in force. Returns 1 when something is stored and this node does not have it in force. */
export async function applyBus(io: Io, folder: string, flags: ApplyFlags): Promise<number> {
  const { canary, for: hold_seconds, abortIf, atLeast } = flags;
  if ([canary, hold_seconds, abortIf, atLeast].some((given) => given !== undefined)) {
    throw usageError(
      "a rollout is of one tenant, and this is a folder of the bus",
      `${io.arq} apply ${folder}/TENANT --canary 1%`,
    );
  }
  const wanted = await readBusFolder(io, folder);
  const admin = await findAdmin(io, flags);
  const { bus, tenants, others } = await compareBus(io, admin, wanted);
  if (bus.checks.some(({ compatible }) => !compatible)) {
    const text = `${checksText(bus.checks, false)}nothing was changed`;
    throw new CommandError(text, EXIT.failure, "arq schema check says more");
  }
  const parts: Part[] = [];
  const done: string[] = [];
  const all = [
    { tenant: null, desired: wanted.bus, compared: bus },
    ...tenants.map((one) => ({
      tenant: one.desired.tenant,
      ...one,
    })),
  ];
  for (const { tenant, desired, compared } of all) {
    const { changes } = compared;
    const whose = tenant === null ? "the bus" : `tenant ${tenant}`;
    let answer: Record<string, unknown> | undefined;
    try {
      answer = changes.length === 0 ? undefined : await make(io, admin, desired, compared);
    } catch (error) {
      throw stopped(whose, done, error);
    }
    const made = answer === undefined ? { id: null, in_force: true } : appliedOf(answer);
    if (changes.length > 0) done.push(whose);
    parts.push({ tenant, apply: made.id, in_force: made.in_force, changes });
    if (flags.json !== true) {
      const id = made.id === null ? "" : ` as ${made.id}`;
      const text = changesOfText(whose, changes);
      await print(io.stdout, changes.length === 0 ? text : `${text}applied${id}\n`);
    }
  }
  if (flags.json === true) await print(io.stdout, `${JSON.stringify({ parts, others })}\n`);
  else await print(io.stdout, othersText(others));
  if (parts.every(({ in_force }) => in_force)) return EXIT.ok;
  await print(io.stderr, "arq: it is stored, and not in force on this node yet; arq doctor\n");
  return EXIT.failure;
}
