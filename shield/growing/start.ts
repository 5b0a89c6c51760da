/**
 * Assembles the growing messages of one Shield. Few of their commands are answered in one turn: a producer may send a
 * thousand at once, and with an immediate Spine nothing else would run in between.
 */
import type { Ack, ScannedEnvelope } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import type { KvEntry } from "../../shared/spine/contract/spine.ts";
import { leftMs } from "../../shared/watchdog/left_work.ts";
import { Turns } from "../../shared/turns/fair_turns.ts";
import type { Logs } from "../message/logs.ts";
import type { Caller } from "../message/caller.ts";
import type { MessagePath } from "../message/pipeline.ts";
import { answerGrowing } from "./growing.ts";
import type { OwnCommands } from "../message/command.ts";
import { isGrowingCommand } from "./requests.ts";
import { type Found, type GrowingKey, GrowingRecords, isMessage } from "./records.ts";
import { growingStats } from "./stats.ts";
import type { Policies } from "../message/gates.ts";
import { connectionId } from "../../shared/ids.ts";
import type { GrowingContext } from "./places.ts";
import { judgedWithEnding } from "./policy_verdict.ts";
import type { GrowingRecord } from "./record.ts";
import { readErasedGrowing } from "../../shared/cluster/cluster_erase.ts";
import { callerOf, type Ended, isGivenUp, markErased, settle, tellErased } from "./message_end.ts";
import { slice } from "../../shared/turns/slices.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";

const TURN_COMMANDS = 16;

interface GrowingStart extends Pick<Env, "spine" | "registry" | "log"> {
  readonly config: Pick<Config, "limits" | "growing" | "watchdog">;
}

/** The growing messages of one Shield. */
export interface StartedGrowing {
  /** Answers a command about them; rejects with the refusal. */
  answer(caller: Caller, envelope: ScannedEnvelope): Promise<Ack>;
  readonly own: OwnCommands;
  /** Notifies the readers of messages that an erasure has removed; returns which, for `forget` on every Shield. */
  erased(entries: readonly KvEntry[]): readonly { readonly room: string; readonly id: string }[];
  /** Does not store what is under way of messages that an erasure has removed, on whichever Shield. */
  forget(params: unknown): void;
  close(): Promise<void>;
}

/** Starts to watch them. While no room is durable, the bucket is read until it is empty. */
export function startGrowing(
  { config, spine, registry, ...start }: GrowingStart,
  path: MessagePath,
  overseer: Pick<Policies, "onAppend">,
  logs: Logs,
  classes: Pick<RoomClasses, "list">,
): StartedGrowing {
  const context = {
    path,
    overseer,
    logs,
    limits: config.limits,
    logTime: (tenant_id: string) => logs.of(tenant_id).then((log) => log.now(), path.now),
    records: new GrowingRecords(spine),
    stats: growingStats(registry),
    bounds: () => config.growing,
  };
  const isNeeded = () => classes.list().some(({ durable }) => durable);
  const log = start.log.child({ part: "growing" });
  const sweep = new GrowingSweep(context, { log, isNeeded, left_ms: leftMs(config) });
  const turns = new Turns(TURN_COMMANDS);
  const answer: StartedGrowing["answer"] = async (caller, envelope) => {
    await turns.later();
    return await answerGrowing(context, caller, envelope);
  };
  return {
    answer,
    own: (name) => isGrowingCommand(name) ? answer : undefined,
    erased(entries) {
      for (const entry of entries) tellErased(context, entry);
      return entries.filter(({ key }) => isMessage(key))
        .map(({ key: [, room = "", id = ""] }) => ({ room, id }));
    },
    forget(params) {
      const { tenant, messages } = readErasedGrowing(params);
      markErased(context.records.settling, tenant, messages);
    },
    close: () => sweep.close(),
  };
}

// Ends abandoned messages, and completes ends that a killed Shield has left. Every Shield watches all of them:
// concurrent work has a single effect.

/** The time in which a Shield must complete an end that it has claimed, in ms, before another one may. */
const SETTLE_MS = 5_000;
const SWEEP_MS_MAX = 10_000;
/** The number of checks before a message counts as idle: each check may find a new piece. */
const LOOKS = 4;
/** Retries of an end become rarer the longer it fails; the longest interval. */
const RETRY_MS_MAX = 600_000;
const ABANDONED = "abandoned";

interface SweepOptions extends Pick<Env, "log"> {
  /** Whether messages can begin at all. */
  readonly isNeeded: () => boolean;
  /** How long another process may keep an end that it has claimed, in ms. */
  readonly left_ms: number;
  readonly monotonic_ms?: () => number;
}

/** A message as this process has seen it. Times are monotonic ms: the clock of a log may be set. */
interface Seen {
  readonly revision: number;
  /** When that revision was first seen. */
  readonly since_ms: number;
  /** When it was first seen to end, and when it ended by its record. */
  readonly ended?: { readonly seen_ms: number; readonly at_ms: number } | undefined;
  /** Time of its next check. */
  due_ms: number;
  /** Whether a log line reported that two processes died while ending it. */
  is_reported: boolean;
}

/** Checks all messages periodically, until it is closed. */
export class GrowingSweep {
  readonly #context: GrowingContext;
  readonly #options: SweepOptions;
  readonly #timer: ReturnType<typeof setInterval>;
  /** The unique id of this process. */
  readonly #life: string;
  readonly #monotonic_ms: () => number;
  /** The seen messages by key; it has no limit of its own. */
  #seen = new Map<string, Seen>();
  #running: Promise<void> | undefined;

  constructor(context: GrowingContext, options: SweepOptions) {
    this.#context = context;
    this.#options = options;
    this.#monotonic_ms = options.monotonic_ms ?? (() => performance.now());
    this.#life = connectionId(context.path.random);
    const every_ms = Math.min(SWEEP_MS_MAX, context.bounds().idle_ms / LOOKS);
    // A message may outlive the last class of durable rooms, and this process.
    let was_needed = true;
    let is_empty = false;
    this.#timer = setInterval(() => {
      const is_needed = options.isNeeded();
      if (is_empty && !is_needed && !was_needed) return;
      was_needed = is_needed;
      this.#running ??= this.pass().then((count) => {
        is_empty = count === 0;
      }, (error) => {
        options.log.warn("growing messages could not be checked", { error });
      }).finally(() => this.#running = undefined);
    }, every_ms);
  }

  /** Checks all due messages, and resolves with the number of all. Rejects with `spine-unavailable`. */
  async pass(): Promise<number> {
    const { records, stats } = this.#context;
    const keys = await records.sweep();
    stats.seen(keys.length);
    const seen = new Map<string, Seen>();
    const failed = new Set<string>();
    for (const key of keys) {
      const name = nameOf(key);
      const { due_ms = 0 } = this.#seen.get(name) ?? {};
      // A tenant with a failure does not delay the others.
      const is_due = due_ms <= this.#monotonic_ms() && !failed.has(key.tenant_id);
      if (is_due) await slice(key.tenant_id);
      const rest_ms = is_due ? await this.#lookOrFail(key, failed) : 0;
      const now_seen = this.#seen.get(name);
      if (now_seen === undefined) continue;
      if (is_due) now_seen.due_ms = this.#monotonic_ms() + rest_ms;
      seen.set(name, now_seen);
    }
    this.#seen = seen;
    return keys.length;
  }

  /** Stops; resolves when running work has ended. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  /** As `#look`; never rejects, but records the tenant. */
  async #lookOrFail(key: GrowingKey, failed: Set<string>): Promise<number> {
    try {
      return await this.#look(key);
    } catch (error) {
      failed.add(key.tenant_id);
      this.#options.log.warn("growing messages of a tenant could not be checked", {
        tenant_id: key.tenant_id,
        error,
      });
      return 0;
    }
  }

  /** Ends the message if it is due; resolves with the time until the next check, in ms. */
  async #look(key: GrowingKey): Promise<number> {
    const { records, logTime } = this.#context;
    step(AT.growing);
    const found = await records.get(key);
    if (found === undefined) return 0;
    const seen = this.#note(key, found);
    const now_ms = await logTime(key.tenant_id);
    const { ending } = found.record;
    const rest_ms = this.#restOf(seen, ending, now_ms);
    if (rest_ms > 0) return rest_ms;
    const { taken_by = this.#life } = ending ?? {};
    if (ending !== null && taken_by !== this.#life) {
      return await this.#lookAtTaken(key, found, seen, now_ms - ending.at_ms);
    }
    try {
      const ended = await records.change(key, (before) => this.#taking(key, before, seen));
      if (ended?.record.ending !== null && ended !== undefined) {
        const caller = callerOf(key, ended.record);
        await settle(this.#context, key, ended as Ended, caller, this.#triedMs(seen));
      }
    } catch (error) {
      this.#options.log.warn("a growing message could not be ended", { ...key, error });
      await this.#giveBack(key);
      return ending === null ? 0 : Math.min(RETRY_MS_MAX, (now_ms - ending.at_ms) / 2);
    }
    return 0;
  }

  /**
   * Handles a message that another process has claimed: that process is working on it, or died of it. The record is
   * deleted a day after the end.
   */
  async #lookAtTaken(key: GrowingKey, found: Found, seen: Seen, ended_ms: number): Promise<number> {
    const { log, left_ms } = this.#options;
    const { records, stats } = this.#context;
    if (this.#monotonic_ms() - seen.since_ms < left_ms) return 0;
    if (!seen.is_reported) {
      log.error("two processes died while ending a growing message: it is set aside", { ...key });
      stats.setAside();
      seen.is_reported = true;
    }
    if (isGivenUp(ended_ms, this.#triedMs(seen))) await records.delete(key, found);
    return RETRY_MS_MAX;
  }

  /** The record as claimed by this process; undefined: it stays unchanged. */
  async #taking(
    key: GrowingKey,
    found: Found | undefined,
    seen: Seen,
  ): Promise<GrowingRecord | undefined> {
    const { ending } = found?.record ?? { ending: null };
    if (found === undefined || ending === null) return await this.#abandoned(key, found, seen);
    return { ...found.record, ending: { ...ending, taken_by: this.#life } };
  }

  /** Releases this process's claim after a failure. Never rejects: a claim that remains is retried by this process. */
  async #giveBack(key: GrowingKey): Promise<void> {
    const given = this.#context.records.change(key, (found) => {
      const { ending } = found?.record ?? { ending: null };
      if (ending?.taken_by !== this.#life) return Promise.resolve(undefined);
      const { taken_by: _, ...rest } = ending;
      return Promise.resolve({ ...found!.record, ending: rest });
    });
    // The failure was reported; the sweep returns to it.
    await given.catch(() => {});
  }

  /** How long this process has known the end, in ms. */
  #triedMs({ ended }: Seen): number {
    return ended === undefined ? 0 : this.#monotonic_ms() - ended.seen_ms;
  }

  #note(key: GrowingKey, { revision, record: { ending } }: Found): Seen {
    const name = nameOf(key);
    const before = this.#seen.get(name);
    if (before?.revision === revision) return before;
    const since_ms = this.#monotonic_ms();
    const is_known = before?.ended !== undefined && before.ended.at_ms === ending?.at_ms;
    const ended = is_known
      ? before.ended
      : ending === null
      ? undefined
      : { seen_ms: since_ms, at_ms: ending.at_ms };
    const seen = { revision, since_ms, ended, due_ms: 0, is_reported: false };
    this.#seen.set(name, seen);
    return seen;
  }

  /**
   * The time until the message is due, in ms; 0 or less: it is due. This process itself has observed that nothing was
   * added; an end that is claimed too early by the log's clock still has a single effect.
   */
  #restOf({ since_ms }: Seen, ending: GrowingRecord["ending"], now_ms: number): number {
    const passed_ms = this.#monotonic_ms() - since_ms;
    if (ending !== null) return Math.min(ending.at_ms + SETTLE_MS - now_ms, SETTLE_MS - passed_ms);
    const { idle_ms } = this.#context.bounds();
    return Math.min(idle_ms - passed_ms, idle_ms / LOOKS);
  }

  /** The record with its end; undefined: there is none, it has an end already, or a piece was added meanwhile. */
  async #abandoned(
    key: GrowingKey,
    found: Found | undefined,
    seen: Seen,
  ): Promise<GrowingRecord | undefined> {
    const { overseer, logTime } = this.#context;
    const at_ms = await logTime(key.tenant_id);
    if (found === undefined || found.record.ending !== null) return undefined;
    if (found.revision !== seen.revision) return undefined;
    const why = { outcome: "aborted", reason: ABANDONED, by: "", is_kept: true } as const;
    const { record } = found;
    const ending = { ...why, at_ms };
    const judging = { overseer, now_ms: at_ms };
    return (await judgedWithEnding(judging, callerOf(key, record), key, record, ending)).record;
  }
}

const nameOf = ({ tenant_id, room_id, id }: GrowingKey): string => `${tenant_id} ${room_id} ${id}`;
