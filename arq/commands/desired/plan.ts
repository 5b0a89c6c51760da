/**
 * `arq plan`: the changes that an apply of a folder would make, for one tenant or the whole bus, and manual changes
 * since the last apply. A folder of the bus has `bus.toml` with its schemas, and below it a folder for each tenant. It
 * changes nothing.
 */
import { type Admin, findAdmin } from "../../bus/admin.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import { findingsText, painter } from "../../answers/schema_text.ts";
import { changesText, notesText, type UnderWay } from "../../desired/plan_text.ts";
import { type Change, type Desired, differences, type State } from "../../desired/form.ts";
import { encodePlan, type PlanBasis } from "../../desired/plan_file.ts";
import { isLoss, type Losses, lossesText, NO_LOSSES, roomLosses } from "../../rooms/unreachable.ts";
import { dueAfter } from "../../../shared/records/schedule.ts";
import { CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { type Ended, type Io, resolvePath } from "../../terminal/io.ts";
import { writeOutput } from "../../terminal/input.ts";
import { consequences, consequencesText } from "./consequences.ts";
import { type LastChange, type LiveState, readLive, refusalOf, tenantsOf } from "./live_state.ts";
import { rolloutsAbout } from "./rollout.ts";
import { BUS_FILE, isBusFolder, readFolder } from "./read_folder.ts";
import { schemaPath } from "../schema/schema_push.ts";
import type { Flags } from "../../program/flags.ts";
import { ArqonError } from "@arqon/proto";
import type { SchemaMapping } from "../../../shared/config/schema_governance.ts";
import type { TenantBudget } from "../../../shared/config/schema_usage.ts";
import { nameOf, periodAt } from "../../../shared/usage/budget.ts";
import { DEFAULT_TENANT } from "../../replay/bus_replay.ts";
import { time } from "../../answers/figures.ts";

const count = (number: number) => number.toLocaleString("en-US", { maximumFractionDigits: 3 });

/** The tenant's usage in the period of a budget; undefined: it is not counted there. */
async function usedOf(
  admin: Admin,
  tenant: string,
  { per, unit }: TenantBudget,
  now_ms: number,
): Promise<number | undefined> {
  const { begin_ms: since_ms } = periodAt(per, now_ms);
  try {
    const answer = await admin.get("/v1/usage", { tenant, since_ms });
    return Number(membersOf(answer["total"])[unit] ?? 0);
  } catch (error) {
    // A bus without usage counting lacks this path; the apply reports why it accepts no budgets.
    if (error instanceof ArqonError && error.reason === "not-found") return undefined;
    throw error;
  }
}

/** A sentence for each changed budget that is already used up. Throws as `Admin.ask` does. */
async function budgetNotes(
  admin: Admin,
  { tenant, state }: Pick<Desired, "tenant" | "state">,
  changes: readonly Change[],
  now_ms: number,
): Promise<string[]> {
  const notes: string[] = [];
  for (const { kind, name, action } of changes) {
    const budget = state.budgets?.find((one) => nameOf(one) === name);
    if (kind !== "budgets" || action === "remove" || budget === undefined) continue;
    const used = await usedOf(admin, tenant, budget, now_ms);
    if (used === undefined || used < budget.limit) continue;
    const of = `${count(used)} of ${count(budget.limit)}`;
    notes.push(`budget ${name} is used up already: ${of} in this ${budget.per}`);
  }
  return notes;
}

/** The stored data that a change would make unreachable. Throws as `Admin.ask` does. */
async function lossesOf(
  admin: Admin,
  tenant: string,
  wanted: State,
  changes: readonly Change[],
): Promise<Losses> {
  const has_rooms = changes.some(({ kind }) => kind === "rooms");
  const rooms = has_rooms ? await roomLosses(admin, tenant, wanted.rooms ?? []) : NO_LOSSES;
  const removed = changes.filter(({ kind, action }) => kind === "hooks" && action === "remove");
  if (removed.length === 0) return { ...rooms, dead_letters: [] };
  const path = `/v1/tenants/${encodeURIComponent(tenant)}/hooks`;
  const { hooks } = await admin.get(path);
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

/** Manual changes since an apply. */
type Drift = NonNullable<ReturnType<typeof driftOf>>;

/** Changes since the last apply; undefined when there were none, or no apply. */
function driftOf({ applied, versions }: LiveState) {
  if (applied === null) return undefined;
  const { settings, policies } = versions;
  const changed: { readonly settings?: LastChange; readonly policies?: LastChange } = {
    ...(settings.version === applied.settings_version ? {} : { settings }),
    ...(policies.version === applied.policies_version ? {} : { policies }),
  };
  return Object.keys(changed).length === 0 ? undefined : { since: applied, ...changed };
}

function lastText(what: string, last: LastChange | undefined): string {
  if (last === undefined) return "";
  const change = last.change === undefined ? "" : ` (${printable(last.change)})`;
  const by = `by ${printable(last.by)}, ${time(last.at_ms)}`;
  return `  ${what}: version ${last.version}${change} ${by}\n`;
}

/** The manual changes; "" when there are none. */
function driftText(drift: Drift | undefined): string {
  if (drift === undefined) return "";
  const { id, by, at_ms } = drift.since;
  return `changed by hand since apply ${id} by ${printable(by)}, ${time(at_ms)}:\n` +
    lastText("policies", drift.policies) +
    lastText("mappings, rooms, mirror, limits and signatures", drift.settings);
}

/** Names of messages in one request, so that its head stays short. */
const NAMES_MAX = 16;

async function checkSchema(
  admin: Admin,
  { id, set, compatibility, names }: {
    readonly id: string;
    readonly set: Uint8Array;
    readonly compatibility: string | undefined;
    readonly names: readonly string[];
  },
): Promise<SchemaCheck> {
  const ask = (messages?: string) =>
    admin.ask({
      method: "POST",
      path: schemaPath(id, "/check", { compatibility, messages }),
      body: set,
      content_type: "application/gzip",
    });
  const { compatible, findings } = await ask();
  for (let at = 0; at < names.length; at += NAMES_MAX) {
    await ask(names.slice(at, at + NAMES_MAX).join(","));
  }
  return { id, compatible: compatible === true, findings: listOf(findings) };
}

async function checkSchemas(
  admin: Admin,
  { state, sets }: Desired,
  changed: readonly string[],
  mappings: readonly SchemaMapping[],
): Promise<SchemaCheck[]> {
  const checks: SchemaCheck[] = [];
  for (const { id, compatibility } of state.schemas ?? []) {
    const set = sets.get(id);
    if (!changed.includes(id) || set === undefined) continue;
    const mapped = mappings.filter(({ schema_id }) => schema_id === id);
    const names = [...new Set(mapped.map(({ message }) => message))];
    checks.push(await checkSchema(admin, { id, set, compatibility, names }));
  }
  return checks;
}

/**
 * Compares the wanted state with the state in force and with an active rollout. `mapped` also name messages of its
 * schemas. Throws as `Admin.ask` does.
 */
export async function compare(
  admin: Admin,
  desired: Desired,
  mapped: readonly SchemaMapping[] = [],
): Promise<Compared> {
  const { tenant, state: { schemas = [], mappings = [] } } = desired;
  const ids = [...schemas.map(({ id }) => id), ...mappings.map(({ schema_id }) => schema_id)];
  const live = await readLive(admin, tenant, ids);
  const now_ms = await admin.now();
  const over = overSchedules(desired.state, now_ms);
  const schedules = desired.state.schedules?.filter(({ id }) => !over.includes(id));
  const wanted = { ...desired.state, schedules };
  const changes = differences(live.state, wanted);
  const changed = changes.filter(({ kind }) => kind === "schemas").map(({ name }) => name);
  const checks = await checkSchemas(admin, desired, changed, [...mappings, ...mapped]);
  const newest = (id: string) => live.schema_versions.get(id) ?? 0;
  const schema_basis = Object.fromEntries(changed.map((id) => [id, newest(id)]));
  const rollouts = await rolloutsAbout(admin, desired, wanted, live, changes);
  const rollout = rollouts.find(({ stands }) => stands === "is-taken-back")?.id;
  const losses = await lossesOf(admin, tenant, wanted, changes);
  const notes = [
    ...await budgetNotes(admin, desired, changes, now_ms),
    ...over.map((id) => `schedule ${id} has ended: it has no due time left`),
    ...programNotes(admin.io, changes),
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
function planCode(all: readonly Compared[], is_refused: boolean): number {
  const is_bad = all.some(({ checks }) => checks.some(({ compatible }) => !compatible));
  if (is_refused || is_bad) return EXIT.failure;
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
  const compared = await compare(admin, desired);
  const { basis, schema_basis, rollout } = compared;
  if (flags.out !== undefined) {
    const bytes = encodePlan(desired, { basis, schema_basis, rollout }, io.now());
    await writeOutput(io, flags.out, bytes);
  }
  const { view, text } = await tenantPlan({ ...flags, io, admin }, desired, compared);
  const code = planCode([compared], view.refused !== null);
  return { json: { ...view, plan: flags.out ?? null }, text, code };
}

const NOTHING = { changes: [], sets: new Map<string, Uint8Array>() };

/** A tenant's plan, for programs and for people; `above` are changes of the bus, with their sets. */
async function tenantPlan(
  { io, admin, since }: { readonly io: Io; readonly admin: Admin; readonly since?: number },
  desired: Desired,
  compared: Compared,
  above: { readonly changes: readonly Change[]; readonly sets: Desired["sets"] } = NOTHING,
) {
  const { tenant, warnings } = desired;
  const { changes, checks, rollouts, losses, drift, basis, schema_basis, notes, live } = compared;
  // Mappings to a changed schema belong to the tenants.
  const sets = new Map([...above.sets, ...desired.sets]);
  const all = { changes: [...above.changes, ...changes], live };
  const window = since === undefined
    ? undefined
    : await consequences(admin, { ...desired, sets }, all, since);
  const schemas = [...above.changes, ...changes].filter(({ kind }) => kind === "schemas");
  const refusal = await refusalOf(admin, desired, compared, schemas.map(({ name }) => name));
  const refused = refusal === undefined
    ? ""
    : `the bus refuses it: ${printable(refusal.message)}\n`;
  const asks = isLoss(losses) ? "arq apply asks for --allow-unreachable\n" : "";
  return {
    view: {
      tenant,
      changes,
      rollouts,
      schemas: checks,
      refused: refusal === undefined ? null : { reason: refusal.reason, detail: refusal.message },
      drift: drift ?? null,
      unreachable: isLoss(losses) ? losses : null,
      warnings: [...warnings, ...notes],
      connections_touched: 0,
      since: window?.policies ?? null,
      since_schemas: window?.schemas ?? null,
      since_messages: window?.messages ?? null,
      not_replayed: window?.not_replayed ?? null,
      basis,
      schema_basis,
    },
    text: changesText(`tenant ${tenant}`, changes, rollouts) + refused + lossesText(losses) + asks +
      checksText(checks, io.stdout.has_color) + consequencesText(window) + driftText(drift) +
      notesText([...warnings, ...notes]),
  };
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

/** Compares the whole folder with the state in force. Throws as `Admin.ask` does. */
export async function compareBus(admin: Admin, { bus, tenants }: DesiredBus) {
  const there = await tenantsOf(admin);
  // Schemas are requested through a tenant's state; which tenant does not matter.
  const schemas = { ...bus, tenant: DEFAULT_TENANT, is_bus: true };
  const mapped = tenants.flatMap(({ state }) => state.mappings ?? []);
  const compared = { ...await compare(admin, schemas, mapped), drift: undefined };
  const all: { readonly desired: Desired; readonly compared: Compared }[] = [];
  for (const desired of tenants) {
    all.push({ desired, compared: await compare(admin, desired) });
  }
  const named = new Set(tenants.map(({ tenant }) => tenant));
  // Tenants that have settings but no folder stay unchanged.
  return { bus: compared, tenants: all, others: there.filter((one) => !named.has(one)) };
}

/** The tenants without a folder, in a sentence; "" when there are none. */
export function othersText(others: readonly string[]): string {
  if (others.length === 0) return "";
  return `note: without a folder, and left as they are: ${printable(others.join(", "))}\n`;
}

/** Prints the plans. Returns 0 without changes, 2 with changes, 1 for a plan that cannot be applied. */
async function planBus(io: Io, folder: string, flags: Flags): Promise<Ended> {
  if (flags.out !== undefined) {
    throw usageError("--out is for one tenant", `${io.arq} plan ${folder}/TENANT --out plan.bin`);
  }
  const wanted = await readBusFolder(io, folder);
  const admin = await findAdmin(io, flags);
  const { bus, tenants, others } = await compareBus(admin, wanted);
  const { changes, rollouts, checks, schema_basis } = bus;
  const views: unknown[] = [];
  let is_refused = false;
  let text = changesText("the bus", changes, rollouts) + checksText(checks, io.stdout.has_color);
  for (const { desired, compared } of tenants) {
    const above = { changes, sets: wanted.bus.sets };
    const one = await tenantPlan({ ...flags, io, admin }, desired, compared, above);
    views.push(one.view);
    is_refused ||= one.view.refused !== null;
    text += one.text;
  }
  return {
    json: { bus: { changes, rollouts, schemas: checks, schema_basis }, tenants: views, others },
    text: text + othersText(others),
    code: planCode([bus, ...tenants.map(({ compared }) => compared)], is_refused),
  };
}
