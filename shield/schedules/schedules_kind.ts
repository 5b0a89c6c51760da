/** Schedules as a kind of a tenant's state: their specs, not their progress. */
import { ArqonError, type ScanLimits, utf8Size } from "@arqon/proto";
import { canonicalJson } from "../../shared/canonical_json.ts";
import { slice } from "../../shared/turns/slices.ts";
import { ENTRY_BYTES } from "../../shared/spine/bucket_shares.ts";
import type { Env } from "../../shared/env.ts";
import { plural } from "../../shared/plural.ts";
import type { KeyValue, Spine } from "../../shared/spine/contract/spine.ts";
import { begun, requireDue, whenFrom } from "./body.ts";
import { decodeSchedule, encodeSchedule, paused, type Schedule } from "./schedule.ts";
import { SCHEDULES_BUCKET } from "../../shared/records/buckets.ts";
import { dueAfter } from "../../shared/records/schedule.ts";
import { StateSchedule } from "../../shared/records/tenant_settings.ts";
import type { DocumentKind, Writing } from "../settings/document_kinds.ts";
import type { ScheduleBounds, Schedules } from "./schedules.ts";

interface SchedulesKindOptions extends Pick<Env, "log" | "now"> {
  readonly spine: Pick<Spine, "keyValue">;
  readonly limits: ScanLimits;
  readonly running: {
    readonly bounds: ScheduleBounds;
    readonly schedules: Pick<Schedules, "hasRoom">;
  };
}

function stateOf(id: string, schedule: Schedule): StateSchedule {
  const { room, message, user, is_paused } = schedule;
  return { id, room, message, user, ...whenFrom(schedule, 0), paused: is_paused };
}

const textOf = ({ paused: _, ...rest }: StateSchedule): string => canonicalJson(rest);

/** Nearly as in the bucket. */
const bytesOf = (all: readonly StateSchedule[]): number =>
  all.reduce((sum, one) => sum + utf8Size(textOf(one)) + 2 * ENTRY_BYTES, 0);

/** Keeps an omitted first time while the period is unchanged. */
function withFirst(one: StateSchedule, before: StateSchedule | undefined, now_ms: number) {
  const kept = before?.every_ms === one.every_ms ? before?.from_ms : undefined;
  return { ...one, ...whenFrom({ ...one, from_ms: one.from_ms ?? kept }, now_ms) };
}

async function* storedIn(bucket: KeyValue, tenant_id: string) {
  for (const [, id = ""] of (await bucket.keys([tenant_id])).sort()) {
    await slice(tenant_id);
    const entry = await bucket.get([tenant_id, id]);
    const schedule = entry && decodeSchedule(entry.value);
    if (schedule !== undefined) yield { id, schedule };
  }
}

class SchedulesKind implements DocumentKind<StateSchedule> {
  readonly entry = StateSchedule;
  readonly off = undefined;
  readonly #options: SchedulesKindOptions;

  constructor(options: SchedulesKindOptions) {
    this.#options = options;
  }

  #bucket(): Promise<KeyValue> {
    return this.#options.spine.keyValue(SCHEDULES_BUCKET);
  }

  /** Whether it has no future time. It stays for a while with its outcome, but the state does not have to list it. */
  #isOver(schedule: Schedule): boolean {
    const now_ms = this.#options.now();
    // While the stored next time is in the future, no computation is necessary.
    return (schedule.next_ms ?? 0) <= now_ms && dueAfter(schedule, now_ms) === undefined;
  }

  async tenants(): Promise<string[]> {
    return (await (await this.#bucket()).keys()).map(([tenant_id = ""]) => tenant_id);
  }

  async list(tenant_id: string): Promise<StateSchedule[]> {
    const found: StateSchedule[] = [];
    for await (const { id, schedule } of storedIn(await this.#bucket(), tenant_id)) {
      if (!this.#isOver(schedule)) found.push(stateOf(id, schedule));
    }
    return found;
  }

  async check(tenant_id: string, wanted: readonly StateSchedule[]): Promise<StateSchedule[]> {
    const { limits, now, running: { bounds, schedules } } = this.#options;
    const before = new Map((await this.list(tenant_id)).map((one) => [one.id, one]));
    const added = wanted.filter(({ id }) => !before.has(id)).length;
    const more_bytes = bytesOf(wanted) - bytesOf([...before.values()]);
    const more = wanted.length - before.size;
    if (added > 0 && !schedules.hasRoom(tenant_id, bounds, more, more_bytes)) {
      const detail = `schedules: ${plural(wanted.length, "schedule")} are above the limit`;
      throw new ArqonError("settings-conflict", detail);
    }
    const checked: StateSchedule[] = [];
    for (const given of wanted) {
      // Finding out when the rarest is due takes milliseconds.
      await slice(tenant_id);
      const known = before.get(given.id);
      const one = withFirst(given, known, now());
      checked.push(one);
      if (known !== undefined && textOf(known) === textOf(one)) continue;
      try {
        requireDue(one, { tenant_id, schedule_id: one.id, now_ms: now() }, limits);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        const detail = `schedules: ${one.id}: ${error.message}`;
        throw new ArqonError("invalid-settings", detail, { cause: error });
      }
    }
    return checked;
  }

  async write(writing: Writing, wanted: readonly StateSchedule[]): Promise<void> {
    const { tenant_id } = writing;
    const bucket = await this.#bucket();
    const given = new Map(wanted.map((one) => [one.id, one]));
    const stored = (await bucket.keys([tenant_id])).map(([, id = ""]) => id);
    await writing.change(new Set([...given.keys(), ...stored]), async (id) => {
      const key = [tenant_id, id];
      const last = await bucket.last(key);
      const schedule = last?.value && decodeSchedule(last.value);
      const one = given.get(id);
      if (one === undefined) {
        const is_left = schedule === undefined || this.#isOver(schedule);
        return is_left ? undefined : () => bucket.delete(key, last?.revision);
      }
      const next = this.#next(writing, one, schedule);
      return next && (() => bucket.replace(key, encodeSchedule(next), last));
    });
  }

  /** The record to store; undefined: it is unchanged, or its time is past. */
  #next(
    { tenant_id, by }: Writing,
    one: StateSchedule,
    stored: Schedule | undefined,
  ): Schedule | undefined {
    const { now, log } = this.#options;
    const is_paused = one.paused ?? stored?.is_paused ?? false;
    if (stored !== undefined && textOf(stateOf(one.id, stored)) === textOf(one)) {
      const next = paused(stored, is_paused, now());
      return next === stored ? undefined : next;
    }
    const now_ms = now();
    const next_ms = dueAfter(one, now_ms);
    if (next_ms === undefined) {
      log.warn("a schedule in the state has no future time", { tenant_id, schedule: one.id });
      return undefined;
    }
    const { created_ms } = stored ?? {};
    return paused(begun(one, { by, now_ms }, { next_ms, created_ms }), is_paused, now_ms);
  }
}

/** The kind. */
export const schedulesKind = (options: SchedulesKindOptions): DocumentKind<StateSchedule> =>
  new SchedulesKind(options);
