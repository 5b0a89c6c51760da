/** Which part of a journal is replayed, and the position in it of a policy that the journal does not know. Pure. */
import { matchesRoomPattern } from "@arqon/proto";
import type { JournalRecord, PolicyRecord, Read } from "../../shared/journal/record.ts";
import type { PolicyBinding } from "../../shared/records/verdict.ts";
import { isSampled } from "../../shared/sampling.ts";
import { asciiLower } from "../../shield/policy/abi/host_functions.ts";
import { askedRoomOf } from "./recorded_call.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";

/** Which calls are repeated. */
export interface ReplaySelection {
  /** The policy's name within its tenant. */
  readonly policy: string;
  /** Only this tenant; absent: a file may have several. */
  readonly tenant?: string | undefined;
  /** A room or a pattern; absent: all. Not applied to `on_connect`. */
  readonly room?: string | undefined;
  /** Unix ms; the calls from the first time on, before the second. Absent: unlimited. */
  readonly from_ms?: number | undefined;
  readonly until_ms?: number | undefined;
}

/** Whether a record matches the tenant, the room and the window. */
export function isSelected(
  record: JournalRecord,
  selection: Omit<ReplaySelection, "policy">,
): boolean {
  const { tenant, room, from_ms = -Infinity, until_ms = Infinity } = selection;
  if (tenant !== undefined && record.tenant !== tenant) return false;
  if (record.time_ms < from_ms || record.time_ms >= until_ms) return false;
  return room === undefined || (record.hook !== "on_connect" &&
    matchesRoomPattern(room, record.room));
}

/** The new policy, and the order of the others. */
export interface AddedPolicy extends Omit<PolicyBinding, "sha256"> {
  readonly fuel_limit: number;
  /** The order of the tenant's other policies by name. */
  readonly orders: ReadonlyMap<string, number>;
}

/** Stands for a module that did not exist when the decision was made. */
export const NO_MODULE = "0".repeat(64);

/** Whether it is a policy's refusal that counts. */
export const isRefusal = ({ mode, allowed }: PolicyRecord): boolean =>
  mode === "enforce" && !allowed;

/** Whether a policy runs before the added one. Deleted ones are assumed to: their order is unknown. */
function isBefore({ name, order, orders }: AddedPolicy, { name: other }: PolicyRecord): boolean {
  const others = orders.get(other);
  return others === undefined || others < order || (others === order && other < name);
}

/** Inputs that all policies of a chain share: headers and claims that any of them has read as they were sent. */
function sharedReads(policies: readonly PolicyRecord[]): Read[] {
  const reads = new Map<string, Read>();
  const added = new Set<string>();
  for (const { reads: own, mode, allowed, added_headers } of policies) {
    for (const read of own) {
      const is_sent = read.from === "claim" || read.from === "header" && !added.has(read.name);
      if (is_sent) reads.set(`${read.from} ${read.name}`, read);
    }
    if (mode !== "enforce" || !allowed) continue;
    for (const [name] of added_headers) added.add(asciiLower(name));
  }
  return [...reads.values()];
}

/**
 * A call that is not in the record, with what other policies have read. `own`: the state that the same module has read
 * then; another one begins without, as on a Shield.
 */
export function newCall(
  { policies }: Pick<JournalRecord, "policies">,
  { name, mode, fuel_limit }: Pick<AddedPolicy, "name" | "mode" | "fuel_limit">,
  own: Pick<PolicyRecord, "reads" | "module"> = { reads: [], module: NO_MODULE },
): PolicyRecord {
  return {
    name,
    module: own.module,
    abi: 2,
    mode,
    allowed: true,
    code: 0,
    reason: "",
    fault: null,
    detail: "",
    units: 0,
    // The bus may have another limit than the default; the record has what was left of that.
    budget_units: Math.max(0, ...policies.map((one) => one.budget_units)) ||
      fuel_limit * UNITS_PER_FUEL,
    asking_bytes: Math.max(0, ...policies.map(({ asking_bytes }) => asking_bytes)),
    has_read_payload: false,
    reads: [...sharedReads(policies), ...own.reads.filter(({ from }) => from === "state")],
    writes: [],
    added_headers: [],
    payload: null,
    logs: [],
  };
}

/** Whether a policy of these hooks and rooms is called for the operation. */
export function isCovered(
  { hooks, room }: Pick<AddedPolicy, "hooks" | "room">,
  record: JournalRecord,
): boolean {
  const { hook } = record;
  if (!hooks.includes(hook)) return false;
  return hook === "on_connect" || matchesRoomPattern(room, askedRoomOf(record));
}

/** Whether the operation is one that the policy is called for. */
function isAbout(added: AddedPolicy, record: JournalRecord): boolean {
  if (!isCovered(added, record)) return false;
  const { trace, sender } = record;
  const key = trace ?? sender?.connection;
  return added.percent === 1 || (key !== undefined && isSampled(key, added.percent));
}

/** The record with the policy in its chain; undefined: the policy is not called for it, or it was refused before. */
export function withAdded(record: JournalRecord, added: AddedPolicy): JournalRecord | undefined {
  const { policies, allowed } = record;
  if (!(allowed || policies.length > 0) || !isAbout(added, record)) return undefined;
  const before = policies.filter((one) => isBefore(added, one));
  if (before.some(isRefusal)) return undefined;
  const own = newCall(record, added);
  const after = policies.filter((one) => !before.includes(one));
  return { ...record, policies: [...before, own, ...after] };
}
