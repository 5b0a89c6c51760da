/**
 * `arq apply` of a folder of the whole bus: its schemas, then each tenant in a step of its own. What was made
 * before a tenant is refused stays, and the outcome of each is reported: the same again goes on from there.
 */
import { ArqonError } from "@arqon/proto";
import { type Admin, askAdmin, findAdmin } from "../../bus/admin.ts";
import type { Desired } from "../../desired/state.ts";
import { requireMeant } from "../../rooms/unreachable.ts";
import { CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { carryOut, type Made, madeText, stageSchemas } from "./apply.ts";
import { compareBus, readBusFolder } from "./bus_folder.ts";
import { othersText } from "./bus_plan.ts";
import { checksText, type Compared } from "./plan.ts";
import { requireFree } from "./under_way.ts";
import type { Flags } from "../../program/flags.ts";

/** Stores those that change and puts them in force. Resolves with the id of the apply. Rejects as `askAdmin` does. */
async function applySchemas(
  io: Io,
  admin: Admin,
  desired: Desired,
  compared: Compared,
): Promise<string> {
  const schemas = await stageSchemas(io, admin, desired, compared);
  const body = JSON.stringify({ schemas });
  const { apply } = await askAdmin(io, admin, { method: "PUT", path: "/v1/state", body });
  return String(apply);
}

/**
 * `refused`: nothing of it was changed; `unknown`: the bus did not answer, and may finish it on its own;
 * `not-tried`: one before it was not applied.
 */
type Outcome = "applied" | "unchanged" | "refused" | "unknown" | "not-tried";

/** The outcome of one part. */
interface Part extends Made {
  /** Null: the bus itself. */
  readonly tenant: string | null;
  readonly outcome: Outcome;
  readonly changes: readonly unknown[];
}

const nameOf = (tenant: string | null) => tenant === null ? "the bus" : `tenant ${tenant}`;

/** An answer of the bus says that nothing was changed; anything else says nothing. */
function outcomeOf(error: unknown): "refused" | "unknown" {
  if (error instanceof CommandError) return "refused";
  return error instanceof ArqonError && error.code < 500 ? "refused" : "unknown";
}

/** The error of a part, with what was made before it. */
function stopped(whose: string, parts: readonly Part[], error: unknown): unknown {
  if (!(error instanceof Error) || error.name === "Interrupted") return error;
  const done = parts.filter(({ outcome }) => outcome === "applied").map(({ tenant }) =>
    nameOf(tenant)
  );
  if (done.length === 0) return error;
  const text = `${whose}: ${error.message}; applied before it: ${done.join(", ")}`;
  return new CommandError(printable(text), EXIT.failure, "the same again goes on from there");
}

const OUTCOMES = {
  refused: "refused, nothing of it was changed",
  unknown: "no answer: it may be in force, arq plan says it",
  "not-tried": "not tried",
} as const;

/** The outcome of the parts that were not applied, a line each. */
function restText(parts: readonly Part[]): string {
  return parts.map(({ tenant, outcome }) =>
    outcome === "applied" || outcome === "unchanged"
      ? ""
      : `${printable(nameOf(tenant))}: ${OUTCOMES[outcome]}\n`
  ).join("");
}

/** Puts the schemas of the bus in force, if they change. */
async function carryOutBus(
  io: Io,
  admin: Admin,
  desired: Desired,
  compared: Compared,
): Promise<Made> {
  const apply = compared.changes.length === 0
    ? null
    : await applySchemas(io, admin, desired, compared);
  return { apply, in_force: true, taken_back: null, secrets: {} };
}

/** Puts all of it in force. Returns 1 when something is stored and this node does not have it in force. */
export async function applyBus(io: Io, folder: string, flags: Flags): Promise<number> {
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
  for (const { rollouts, losses } of [bus, ...tenants.map(({ compared }) => compared)]) {
    requireFree(io, rollouts);
    requireMeant(losses, flags.allowUnreachable);
  }
  const parts: Part[] = [];
  const all = [
    { tenant: null, desired: wanted.bus, compared: bus },
    ...tenants.map((one) => ({ tenant: one.desired.tenant, ...one })),
  ];
  const json = flags.json === true;
  const none = { apply: null, in_force: false, taken_back: null, secrets: {} };
  let failed: { readonly error: unknown } | undefined;
  for (const { tenant, desired, compared } of all) {
    const { changes } = compared;
    if (failed !== undefined) {
      parts.push({ tenant, outcome: "not-tried", ...none, changes });
      continue;
    }
    try {
      const made = tenant === null
        ? await carryOutBus(io, admin, desired, compared)
        : await carryOut(io, admin, desired, compared);
      const { apply, in_force, secrets, taken_back } = made;
      const outcome = apply === null && taken_back === null ? "unchanged" : "applied";
      parts.push({ tenant, outcome, apply, in_force, changes, taken_back, secrets });
      const text = madeText(nameOf(tenant), compared, made);
      if (!json) await print(io.stdout, text);
    } catch (error) {
      failed = { error: stopped(nameOf(tenant), parts, error) };
      parts.push({ tenant, outcome: outcomeOf(error), ...none, changes });
    }
  }
  const end = json
    ? `${JSON.stringify({ parts, others })}\n`
    : restText(parts) + othersText(others);
  await print(io.stdout, end);
  if (failed !== undefined) throw failed.error;
  if (parts.every(({ in_force }) => in_force)) return EXIT.ok;
  await print(io.stderr, "arq: it is stored, and not in force on this node yet; arq doctor\n");
  return EXIT.failure;
}
