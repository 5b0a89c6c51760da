/**
 * `arq apply`: puts a folder, or a plan, in force: all of it in one step. Schemas are stored before and
 * are in force with it.
 */
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import type { Admin } from "../../bus/admin.ts";
import type { ConnectionFlags } from "../../bus/target.ts";
import { KINDS } from "../../desired/form.ts";
import { decodePlan } from "../../desired/plan_file.ts";
import type { PlanBasis } from "../../desired/plan_file.ts";
import { changesText, notesText } from "../../desired/plan_text.ts";
import type { Desired } from "../../desired/state.ts";
import { CommandError, EXIT, usageError } from "../../terminal/exit.ts";
import { readInput } from "../../terminal/input.ts";
import { print, resolvePath } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { statePath } from "./live_state.ts";
import { appliedOf, checksText, compare, schemaPath } from "./plan.ts";
import type { Compared } from "./plan.ts";
import { isBusFolder, readFolder } from "./read_folder.ts";
import { rolloutPath, watchRollout } from "./rollout.ts";

/** How long a step of a rollout takes at least, in seconds, unless --for says otherwise. */
const HOLD_SECONDS = 600;

/** What makes an apply a rollout. */
interface CanaryFlags {
  /** The first share of the traffic. */
  readonly canary?: number;
  /** Seconds. */
  readonly for?: number;
  readonly abortIf?: readonly string[];
  readonly atLeast?: number;
}

/** The options of `arq apply`. */
export interface ApplyFlags extends ConnectionFlags, CanaryFlags {
  readonly json?: boolean;
}

/** A folder, or a plan with what it was made on. */
async function readTarget(io: Io, target: string): Promise<Desired & Partial<PlanBasis>> {
  const state = await io.files.state(resolvePath(io.cwd, target));
  if (state === undefined || state.is_directory) return await readFolder(io, target);
  const plan = decodePlan(await readInput(io, target));
  if (plan !== undefined) return plan;
  const hint = `${io.arq} plan DIR --out ${target} writes one`;
  throw new CommandError(`${target} is neither a folder nor a plan`, EXIT.failure, hint);
}

function stale(): CommandError {
  return new CommandError(
    "the plan is stale, nothing was changed: the bus is not as it was when the plan was made",
    EXIT.failure,
    "make it anew: arq plan DIR --out FILE",
  );
}

/** Throws when the bus is not as it was when the plan was made. */
function requireFresh(planned: Partial<PlanBasis>, { basis, schema_basis }: Compared): void {
  if (planned.basis === undefined) return;
  const is_same = planned.basis.settings === basis.settings &&
    planned.basis.policies === basis.policies &&
    Object.entries(schema_basis).every(([id, version]) => planned.schema_basis?.[id] === version);
  if (!is_same) throw stale();
}

/** Uploads the modules that the bus does not name yet. */
async function uploadModules(
  io: Io,
  admin: Admin,
  { state, modules }: Desired,
  { live }: Compared,
): Promise<void> {
  const there = new Set((live.state.policies ?? []).map(({ sha256 }) => sha256));
  const named = new Set((state.policies ?? []).map(({ sha256 }) => sha256));
  for (const sha256 of named) {
    const body = modules.get(sha256);
    if (there.has(sha256) || body === undefined) continue;
    const path = "/v1/policies/modules";
    await askAdmin(io, admin, { method: "PUT", path, body, content_type: "application/wasm" });
  }
}

/** A version that is stored, and in force once an apply that names it is made. */
interface StagedSchema {
  readonly schema_id: string;
  readonly version: number;
  readonly sha256: string;
  readonly compatibility?: string;
}

/** Stores the schemas that change. Rejects when a version has come since the comparison. */
export async function stageSchemas(
  io: Io,
  admin: Admin,
  { state, sets }: Desired,
  { schema_basis }: Compared,
): Promise<StagedSchema[]> {
  const staged: StagedSchema[] = [];
  for (const { id, compatibility } of state.schemas ?? []) {
    const body = sets.get(id);
    if (!Object.hasOwn(schema_basis, id) || body === undefined) continue;
    const { after, version, sha256 } = await askAdmin(io, admin, {
      method: "PUT",
      path: schemaPath(id, "/staged", compatibility),
      body,
      content_type: "application/gzip",
    });
    if (after !== schema_basis[id]) throw stale();
    staged.push({
      schema_id: id,
      version: Number(version),
      sha256: String(sha256),
      ...(compatibility === undefined ? {} : { compatibility }),
    });
  }
  return staged;
}

/** The kinds that change, as the bus takes them. */
function bodyOf(
  { state }: Desired,
  { changes, basis }: Compared,
  schemas: readonly StagedSchema[] = [],
): string {
  const changed = KINDS.filter((kind) =>
    kind !== "schemas" && changes.some((one) => one.kind === kind)
  );
  const lists = Object.fromEntries(changed.map((kind) => [kind, state[kind]]));
  return JSON.stringify({ basis, ...lists, ...(schemas.length === 0 ? {} : { schemas }) });
}

/** Makes the changes of a tenant's folder in one step. Rejects as `askAdmin` does. */
export async function make(
  io: Io,
  admin: Admin,
  desired: Desired,
  compared: Compared,
): Promise<Record<string, unknown>> {
  await uploadModules(io, admin, desired, compared);
  const staged = await stageSchemas(io, admin, desired, compared);
  const body = bodyOf(desired, compared, staged);
  return await askAdmin(io, admin, { method: "PUT", path: statePath(desired.tenant), body });
}

/** Throws for options of a canary without one, and for changes that give a canary nothing to do. */
function requireCanary(io: Io, flags: ApplyFlags, { changes }: Compared): void {
  const { canary, for: hold_seconds, abortIf = [], atLeast } = flags;
  if (canary === undefined) {
    const given = hold_seconds !== undefined || abortIf.length > 0 || atLeast !== undefined;
    if (!given) return;
    throw usageError(
      "--for, --abort-if and --at-least are about --canary",
      `${io.arq} apply DIR --canary 1%`,
    );
  }
  if (changes.length === 0) return;
  if (changes.some(({ kind }) => kind === "policies")) return;
  const text = "no policy changes: there is nothing for a canary";
  throw new CommandError(text, EXIT.failure, "apply without --canary");
}

/** Begins a rollout and shows its progress to the end. Returns as `watchRollout`. */
async function rollOut(
  io: Io,
  admin: Admin,
  desired: Desired,
  compared: Compared,
  flags: ApplyFlags,
): Promise<number> {
  const { tenant } = desired;
  await uploadModules(io, admin, desired, compared);
  const staged = await stageSchemas(io, admin, desired, compared);
  const body = JSON.stringify({
    ...JSON.parse(bodyOf(desired, compared, staged)),
    canary: flags.canary,
    for_ms: (flags.for ?? HOLD_SECONDS) * 1_000,
    abort_if: flags.abortIf ?? [],
    ...(flags.atLeast === undefined ? {} : { at_least: flags.atLeast }),
  });
  await askAdmin(io, admin, { method: "POST", path: rolloutPath(tenant), body });
  if (flags.json !== true) await print(io.stdout, changesText(tenant, compared.changes));
  return await watchRollout(io, admin, tenant, flags);
}

/** Puts a folder or a plan in force. Returns 1 when it is stored and this node does not have it in force. */
export async function apply(io: Io, target: string, flags: ApplyFlags): Promise<number> {
  if (await isBusFolder(io, target)) {
    return await (await import("./bus_apply.ts")).applyBus(io, target, flags);
  }
  const desired = await readTarget(io, target);
  const admin = await findAdmin(io, flags);
  const compared = await compare(io, admin, desired);
  const { changes, checks } = compared;
  const { tenant } = desired;
  const json = flags.json === true;
  if (changes.length > 0) {
    requireFresh(desired, compared);
    if (checks.some(({ compatible }) => !compatible)) {
      const text = `${checksText(checks, false)}nothing was changed`;
      throw new CommandError(text, EXIT.failure, "arq schema check says more");
    }
  }
  requireCanary(io, flags, compared);
  if (flags.canary !== undefined && changes.length > 0) {
    return await rollOut(io, admin, desired, compared, flags);
  }
  const answer = changes.length === 0 ? undefined : await make(io, admin, desired, compared);
  const { id, in_force } = answer === undefined ? { id: null, in_force: true } : appliedOf(answer);
  if (json) await print(io.stdout, `${JSON.stringify({ tenant, apply: id, in_force, changes })}\n`);
  else {
    const done = id === null ? "" : `applied as ${id}\n`;
    await print(io.stdout, changesText(tenant, changes) + done + notesText(compared.notes));
  }
  if (in_force) return EXIT.ok;
  await print(io.stderr, "arq: it is stored, and not in force on this node yet; arq doctor\n");
  return EXIT.failure;
}
