/**
 * `arq plan`: the changes that an apply of a folder would make, for one tenant or the whole bus, and manual changes
 * since the last apply. A folder of the bus has `bus.toml` with its schemas, and below it a folder for each tenant. It
 * changes nothing.
 */
import { type Admin, askAdmin, busNow, findAdmin } from "../../bus/admin.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { findingsText, painter } from "../../answers/schema_text.ts";
import {
  changesOfText,
  changesText,
  consequencesText,
  driftText,
  notesText,
} from "../../desired/plan_text.ts";
import type { Consequences, Drift, UnderWay } from "../../desired/plan_text.ts";
import { type Change, type Desired, differences, type State } from "../../desired/form.ts";
import { encodePlan, type PlanBasis } from "../../desired/plan_file.ts";
import { isLoss, type Losses, lossesText, NO_ROOM_LOSSES } from "../../answers/losses_text.ts";
import { dueAfter } from "../../../shared/records/schedule.ts";
import { cannotWrite, CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { type Ended, type Io, resolvePath } from "../../terminal/io.ts";
import { consequences } from "./consequences.ts";
import { type LiveState, readLive, tenantsOf } from "./live_state.ts";
import { rolloutsAbout } from "./rollout.ts";
import { BUS_FILE, isBusFolder, readFolder } from "./read_folder.ts";
import { schemaPath } from "../schema/schema_push.ts";
import { roomLosses } from "../../rooms/unreachable.ts";
import type { Flags } from "../../program/flags.ts";
import { ArqonError } from "@arqon/proto";
import type { TenantBudget } from "../../../shared/config/schema_usage.ts";
import { nameOf, periodAt } from "../../../shared/usage/budget.ts";
import { DEFAULT_TENANT } from "../../replay/bus_replay.ts";

const count = (number: number) => number.toLocaleString("en-US", { maximumFractionDigits: 3 });

/** The tenant's usage in the period of a budget; undefined: it is not counted there. */
async function usedOf(
  io: Io,
  admin: Admin,
  tenant: string,
  { per, unit }: TenantBudget,
): Promise<number | undefined> {
  const { begin_ms } = periodAt(per, io.now());
  const query = new URLSearchParams({ tenant, since_ms: String(begin_ms) });
  try {
    const answer = await askAdmin(io, admin, { method: "GET", path: `/v1/usage?${query}` });
    return Number(membersOf(answer["total"])[unit] ?? 0);
  } catch (error) {
    // A bus without usage counting lacks this path; the apply reports why it accepts no budgets.
    if (error instanceof ArqonError && error.reason === "not-found") return undefined;
    throw error;
  }
}

/** A sentence for each changed budget that is already used up. Throws as `askAdmin` does. */
async function budgetNotes(
  io: Io,
  admin: Admin,
  { tenant, state }: Pick<Desired, "tenant" | "state">,
  changes: readonly Change[],
): Promise<string[]> {
  const notes: string[] = [];
  for (const { kind, name, action } of changes) {
    const budget = state.budgets?.find((one) => nameOf(one) === name);
    if (kind !== "budgets" || action === "remove" || budget === undefined) continue;
    const used = await usedOf(io, admin, tenant, budget);
    if (used === undefined || used < budget.limit) continue;
    const of = `${count(used)} of ${count(budget.limit)}`;
    notes.push(`budget ${name} is used up already: ${of} in this ${budget.per}`);
  }
  return notes;
}

/** The stored data that a change would make unreachable. Throws as `askAdmin` does. */
async function lossesOf(
  io: Io,
  admin: Admin,
  tenant: string,
  wanted: State,
  changes: readonly Change[],
): Promise<Losses> {
  const has_rooms = changes.some(({ kind }) => kind === "rooms");
  const rooms = has_rooms
    ? await roomLosses(io, admin, tenant, wanted.rooms ?? [])
    : NO_ROOM_LOSSES;
  const removed = changes.filter(({ kind, action }) => kind === "hooks" && action === "remove");
  if (removed.length === 0) return { ...rooms, dead_letters: [] };
  const path = `/v1/tenants/${encodeURIComponent(tenant)}/hooks`;
  const { hooks } = await askAdmin(io, admin, { method: "GET", path });
  const dead_letters = listOf(hooks).map(membersOf)
    .map(({ id, dead }) => ({ hook: String(id), count: Number(dead) }))
    .filter(({ hook, count }) => count > 0 && removed.some(({ name }) => name === hook));
  return { ...rooms, dead_letters };
}

/** The bus's verdict on a schema that would be registered. */
export interface SchemaCheck {
  readonly id: string;
  readonly compatible: boolean;
  readonly findings: readonly unknown[];
}

/** A folder or plan compared with a bus. */
export interface Compared extends PlanBasis {
  readonly live: LiveState;
  /** The wanted state, without expired schedules. */
  readonly wanted: State;
  readonly changes: readonly Change[];
  readonly checks: readonly SchemaCheck[];
  readonly drift: Drift | undefined;
  /** Active rollouts that change something the folder defines. */
  readonly rollouts: readonly UnderWay[];
  /** The stored data that would become unreachable. */
  readonly losses: Losses;
  /** Correct but surprising effects, given the present state of the bus. */
  readonly notes: readonly string[];
}

/** Changes since the last apply; undefined when there were none, or no apply. */
function driftOf({ applied, versions }: LiveState): Drift | undefined {
  if (applied === null) return undefined;
  const { settings, policies } = versions;
  const changed = {
    ...(settings.version === applied.settings_version ? {} : { settings }),
    ...(policies.version === applied.policies_version ? {} : { policies }),
  };
  return Object.keys(changed).length === 0 ? undefined : { since: applied, ...changed };
}

async function checkSchema(
  io: Io,
  admin: Admin,
  { id, set, compatibility }: {
    readonly id: string;
    readonly set: Uint8Array;
    readonly compatibility: string | undefined;
  },
): Promise<SchemaCheck> {
  const answer = await askAdmin(io, admin, {
    method: "POST",
    path: schemaPath(id, "/check", { compatibility }),
    body: set,
    content_type: "application/gzip",
  });
  const { compatible, findings } = answer;
  return { id, compatible: compatible === true, findings: listOf(findings) };
}

async function checkSchemas(
  io: Io,
  admin: Admin,
  { state, sets }: Desired,
  changed: readonly string[],
): Promise<SchemaCheck[]> {
  const checks: SchemaCheck[] = [];
  for (const { id, compatibility } of state.schemas ?? []) {
    const set = sets.get(id);
    if (!changed.includes(id) || set === undefined) continue;
    checks.push(await checkSchema(io, admin, { id, set, compatibility }));
  }
  return checks;
}

/** Compares the wanted state with the state in force and with an active rollout. Throws as `askAdmin` does. */
export async function compare(io: Io, admin: Admin, desired: Desired): Promise<Compared> {
  const { tenant, state: { schemas = [], mappings = [] } } = desired;
  const ids = [...schemas.map(({ id }) => id), ...mappings.map(({ schema_id }) => schema_id)];
  const live = await readLive(io, admin, tenant, ids);
  const over = overSchedules(desired.state, await busNow(io, admin));
  const schedules = desired.state.schedules?.filter(({ id }) => !over.includes(id));
  const wanted = { ...desired.state, schedules };
  const changes = differences(live.state, wanted);
  const changed = changes.filter(({ kind }) => kind === "schemas").map(({ name }) => name);
  const checks = await checkSchemas(io, admin, desired, changed);
  const newest = (id: string) => live.schema_versions.get(id) ?? 0;
  const schema_basis = Object.fromEntries(changed.map((id) => [id, newest(id)]));
  const rollouts = await rolloutsAbout(io, admin, desired, wanted, live, changes);
  const rollout = rollouts.find(({ stands }) => stands === "is-taken-back")?.id;
  const losses = await lossesOf(io, admin, tenant, wanted, changes);
  const notes = [
    ...await budgetNotes(io, admin, desired, changes),
    ...over.map((id) => `schedule ${id} has ended: it has no due time left`),
    ...programNotes(io, changes),
    ...rollouts.length === 0 ? rolloutNotes(live, changes) : [],
  ];
  const about = { live, wanted, changes, checks, rollouts, losses, notes };
  return { ...about, drift: driftOf(live), basis: live.basis, schema_basis, rollout };
}

/** Ids of expired schedules, which are never due again: there is nothing to set. */
function overSchedules({ schedules = [] }: State, now_ms: number): string[] {
  return schedules.filter((one) => dueAfter(one, now_ms) === undefined).map(({ id }) => id);
}

/** Room programs are applied without a rehearsal; this note says how to run one first. */
function programNotes({ arq }: Pick<Io, "arq">, changes: readonly Change[]): string[] {
  const changed = changes.filter(({ kind }) => kind === "reducers");
  return changed.map(({ name, action }) =>
    action === "remove"
      ? `rooms ${name} get the file of the configuration as their program, and keep their values`
      : `rooms ${name} get a different program; ${arq} room deploy '${name}' FILE --dry-run tries it before`
  );
}

/** A rollout does not make its last step after the settings have changed. */
function rolloutNotes({ rollout }: LiveState, changes: readonly Change[]): string[] {
  if (rollout === null || changes.length === 0) return [];
  return [`rollout ${rollout.id} is active, and this change rolls it back at its last step`];
}

/** The problems of schemas, as lines; "" when every one may be registered. */
export function checksText(checks: readonly SchemaCheck[], has_color: boolean): string {
  return checks.map(({ id, compatible, findings }) =>
    `schema ${printable(id)} is ${compatible ? "compatible" : "NOT compatible"}\n` +
    findingsText(findings, painter(has_color))
  ).join("");
}

/** The exit code for completed plans. */
export function planCode(
  all: readonly Pick<Compared, "changes" | "checks" | "rollouts">[],
): number {
  if (all.some(({ checks }) => checks.some(({ compatible }) => !compatible))) return EXIT.failure;
  const is_same = all.every(({ changes, rollouts }) => changes.length + rollouts.length === 0);
  return is_same ? EXIT.ok : EXIT.changes;
}

/**
 * Writes the plan of a folder, and prints it. Returns 0 without changes, 2 with changes, 1 for one that cannot be
 * applied.
 */
export async function plan(io: Io, folder: string, flags: Flags): Promise<Ended> {
  if (await isBusFolder(io, folder)) {
    return await planBus(io, folder, flags);
  }
  const desired = await readFolder(io, folder);
  const admin = await findAdmin(io, flags);
  const compared = await compare(io, admin, desired);
  const { basis, schema_basis, rollout } = compared;
  if (flags.out !== undefined) {
    const path = resolvePath(io.cwd, flags.out);
    const bytes = encodePlan(desired, { basis, schema_basis, rollout }, io.now());
    await io.files.write(path, bytes).catch((error) => {
      throw cannotWrite(path, error);
    });
  }
  const window = flags.since === undefined
    ? undefined
    : await consequences(io, admin, desired, compared, flags.since);
  const view = planView(desired, compared, window);
  return {
    json: { ...view, plan: flags.out ?? null },
    text: planText(desired, compared, window, io.stdout.has_color),
    code: planCode([compared]),
  };
}

/** A tenant's plan for programs. */
export function planView(
  { tenant, warnings }: Pick<Desired, "tenant" | "warnings">,
  { changes, checks, rollouts, losses, drift, basis, schema_basis, notes }: Compared,
  window: Consequences | undefined,
) {
  return {
    ...{ tenant, changes, rollouts, schemas: checks, drift: drift ?? null },
    unreachable: isLoss(losses) ? losses : null,
    warnings: [...warnings, ...notes],
    connections_touched: 0,
    since: window?.policies ?? null,
    since_schemas: window?.schemas ?? null,
    basis,
    schema_basis,
  };
}

/** A tenant's plan for people. */
export function planText(
  { tenant, warnings }: Pick<Desired, "tenant" | "warnings">,
  { changes, checks, rollouts, losses, drift, notes }: Compared,
  window: Consequences | undefined,
  has_color: boolean,
): string {
  const asks = isLoss(losses) ? "arq apply asks for --allow-unreachable\n" : "";
  return changesText(tenant, changes, rollouts) + lossesText(losses) + asks +
    checksText(checks, has_color) + consequencesText(window) + driftText(drift) +
    notesText([...warnings, ...notes]);
}

/** The answer to an apply: the id, and whether the node has it in force. */
export function appliedOf(answer: Record<string, unknown>): { id: string; in_force: boolean } {
  const id = String(membersOf(answer["applied"])["id"]);
  return { id, in_force: membersOf(answer["here"])["in_force"] === true };
}

/** The wanted state of a whole bus. */
export interface DesiredBus {
  /** The schemas of the bus; the tenant has no meaning. */
  readonly bus: Desired;
  /** Sorted by id. */
  readonly tenants: readonly Desired[];
}

/** The wanted state of a whole bus, compared with the bus. */
export interface ComparedBus {
  readonly bus: Compared;
  readonly tenants: readonly { readonly desired: Desired; readonly compared: Compared }[];
  /** Tenants that have settings but no folder; they stay unchanged. */
  readonly others: readonly string[];
}

/** The subfolders that have files of a state, sorted. */
export async function tenantFolders(io: Io, folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of (await io.files.list(resolvePath(io.cwd, folder))).sort()) {
    const path = resolvePath(io.cwd, `${folder}/${name}`);
    if (name.startsWith(".") || (await io.files.state(path))?.is_directory !== true) continue;
    const files = await io.files.list(path);
    if (files.some((file) => file.endsWith(".toml"))) found.push(`${folder}/${name}`);
  }
  return found;
}

/** Reads a folder of the bus. Throws `CommandError` with all of its problems. */
export async function readBusFolder(io: Io, folder: string): Promise<DesiredBus> {
  const lines: string[] = [];
  const read = async (path: string, owner: "bus" | "member"): Promise<Desired | undefined> => {
    try {
      return await readFolder(io, path, owner);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      lines.push(error.message, ...error.more);
      return undefined;
    }
  };
  const beside = (await io.files.list(resolvePath(io.cwd, folder))).sort()
    .filter((name) => name.endsWith(".toml") && !name.startsWith(".") && name !== BUS_FILE);
  for (const name of beside) {
    lines.push(`${folder}/${name}: expected in a tenant's folder: ${BUS_FILE} is about the bus`);
  }
  const bus = await read(folder, "bus");
  const tenants = new Map<string, Desired>();
  const places = new Map<string, string>();
  for (const path of await tenantFolders(io, folder)) {
    const desired = await read(path, "member");
    if (desired === undefined) continue;
    const { tenant } = desired;
    const first = places.get(tenant);
    if (first !== undefined) lines.push(`${path}: ${first} is for tenant ${tenant}, too`);
    places.set(tenant, path);
    tenants.set(tenant, desired);
  }
  const [first, ...more] = lines;
  if (first !== undefined || bus === undefined) {
    throw new CommandError(first ?? "", 1, undefined, { more });
  }
  const sorted = [...tenants.values()].sort((a, b) => a.tenant < b.tenant ? -1 : 1);
  return { bus, tenants: sorted };
}

/** Compares the whole folder with the state in force. Throws as `askAdmin` does. */
export async function compareBus(
  io: Io,
  admin: Admin,
  { bus, tenants }: DesiredBus,
): Promise<ComparedBus> {
  const there = await tenantsOf(io, admin);
  // Schemas are requested through a tenant's state; which tenant does not matter.
  const schemas = { ...bus, tenant: DEFAULT_TENANT, is_bus: true };
  const compared = { ...await compare(io, admin, schemas), drift: undefined };
  const all = [];
  for (const desired of tenants) {
    all.push({ desired, compared: await compare(io, admin, desired) });
  }
  const named = new Set(tenants.map(({ tenant }) => tenant));
  return { bus: compared, tenants: all, others: there.filter((one) => !named.has(one)) };
}

/** The tenants without a folder, in a sentence; "" when there are none. */
export function othersText(others: readonly string[]): string {
  if (others.length === 0) return "";
  return `note: without a folder, and left as they are: ${printable(others.join(", "))}\n`;
}

/** Prints the plans. Returns 0 without changes, 2 with changes, 1 for a plan that cannot be applied. */
export async function planBus(io: Io, folder: string, flags: Flags): Promise<Ended> {
  if (flags.out !== undefined) {
    throw usageError("--out is for one tenant", `${io.arq} plan ${folder}/TENANT --out plan.bin`);
  }
  const wanted = await readBusFolder(io, folder);
  const admin = await findAdmin(io, flags);
  const { bus, tenants, others } = await compareBus(io, admin, wanted);
  // Mappings to a changed schema belong to the tenants.
  const windowOf = async (desired: Desired, { changes, live }: Compared) => {
    if (flags.since === undefined) return undefined;
    const sets = new Map([...wanted.bus.sets, ...desired.sets]);
    const all = { changes: [...bus.changes, ...changes], live };
    return await consequences(io, admin, { ...desired, sets }, all, flags.since);
  };
  const has_color = io.stdout.has_color;
  const views: unknown[] = [];
  let text = changesOfText("the bus", bus.changes, bus.rollouts) +
    checksText(bus.checks, has_color);
  for (const { desired, compared } of tenants) {
    const window = await windowOf(desired, compared);
    views.push(planView(desired, compared, window));
    text += planText(desired, compared, window, has_color);
  }
  const { changes, rollouts, checks, schema_basis } = bus;
  const view = {
    bus: { changes, rollouts, schemas: checks, schema_basis },
    tenants: views,
    others,
  };
  return {
    json: view,
    text: text + othersText(others),
    code: planCode([bus, ...tenants.map(({ compared }) => compared)]),
  };
}
