/**
 * Reducer services of several Brains on one bus; the test decides who owns the rooms. The logs are real, on either
 * engine.
 */
import assert from "node:assert/strict";
import { ArqonError, readEnvelope } from "@arqon/proto";
import { configFrom } from "../../../shared/config/load.ts";
import { keptLog, QUIET } from "../../../shared/testing/logs.ts";
import { createMetrics, type Registry } from "../../../shared/metrics/metrics.ts";
import { openSpine } from "../../../shared/spine/open.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { found } from "../../../shared/testing/until.ts";
import { startNats } from "../../../tests/harness/nats_server.ts";
import { FollowedClasses } from "../../classes/followed_classes.ts";
import type { ClusterView } from "../../cluster_view.ts";
import { batchOf } from "../room/stored_data.ts";
import type { LogEntry } from "../state/room_state.ts";
import { type ReducerService, startReducers } from "../capability.ts";
import { overriding } from "../../../shared/testing/overriding.ts";

/** Options of the world. */
export interface WorldOptions {
  /** Modules by reducer name; the rooms of each are called `NAME` and `NAME-…`. */
  readonly modules: Readonly<Record<string, Uint8Array>>;
  /** Keys of every `[[reducers]]`, and of `[brain]`. */
  readonly reducer?: Readonly<Record<string, unknown>>;
  readonly brain?: Readonly<Record<string, unknown>>;
  /** Keys of every class of rooms. */
  readonly rooms?: Readonly<Record<string, unknown>>;
  readonly usage?: Readonly<Record<string, unknown>>;
}

/** A Brain. */
export interface WorldBrain {
  readonly service: ReducerService;
  readonly spine: Spine;
  readonly registry: Registry;
  readonly lines: string[];
  /** Ends it without a message: nothing it publishes afterwards is received. */
  kill(): Promise<void>;
}

/** A call, as tests make them. */
export interface WorldCall {
  readonly data?: string;
  readonly id?: string;
  readonly user?: string;
  readonly role?: string;
  readonly tenant?: string;
}

/** An event of a room. */
export interface WorldEvent {
  readonly offset: number;
  readonly message_id: string;
  readonly type: string;
  readonly data: string;
  readonly to: string;
}

/** The owner of the rooms, as the test sets it. */
class View {
  readonly brain_id: string;
  readonly brains: readonly string[] = [];
  readonly listeners = new Set<() => void>();
  readonly #world: { owner: string };

  constructor(brain_id: string, world: { owner: string }) {
    this.brain_id = brain_id;
    this.#world = world;
  }

  ownerOf = () => this.#world.owner;
  onOwnership(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
}

/** A long wait, so that no test depends on the speed of the machine. */
const CALL_MS = 60_000;
const READ = { limit: 5_000, max_bytes: 67_108_864 };
const RETENTION = { history_size: 10_000, history_ttl_seconds: 604_800, replicas: undefined };

/** The bus and its Brains. */
export class ReducerWorld implements AsyncDisposable {
  owner = "a";
  /** How far the clocks of the logs and the Brains' wall clocks are ahead of this machine. */
  ahead_ms = 0;
  /** How far the Brains' wall clocks are ahead of that. */
  set_ms = 0;
  /** How far monotonic time is ahead of this machine. */
  passed_ms = 0;
  readonly #options: WorldOptions;
  readonly #open: () => Promise<Spine>;
  readonly #owned = new AsyncDisposableStack();
  readonly #views: View[] = [];

  constructor(options: WorldOptions, open: () => Promise<Spine>) {
    this.#options = options;
    this.#open = open;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#owned.disposeAsync();
  }

  defer(end: () => PromiseLike<void>): void {
    this.#owned.defer(end);
  }

  async start(
    brain_id: string,
    modules = this.#options.modules,
    through = (spine: Spine) => spine,
  ): Promise<WorldBrain> {
    const { reducer, brain, rooms, usage } = this.#options;
    const names = Object.keys(modules);
    const config = configFrom({
      reducers: names.map((name) => ({ name, file: name, ...reducer })),
      rooms: names.flatMap((name) =>
        [name, `${name}-*`].map((room) => ({ room, durable: true, reducer: name, ...rooms }))
      ),
      brain,
      usage,
      // A room left by a Brain gets a new owner before calls time out.
      watchdog: { stall_ms: 10_000 },
    });
    const { log, lines } = keptLog({ level: "info" });
    const spine = through(later(await this.#open(), () => this.ahead_ms));
    const registry = createMetrics({ node_id: brain_id, version: "0" });
    const view = new View(brain_id, this);
    this.#views.push(view);
    const service = await startReducers({
      config,
      spine,
      registry,
      log,
      view: view as unknown as ClusterView,
      openClasses: () => FollowedClasses.open({ config, spine, log }),
      now: () => Date.now() + this.ahead_ms + this.set_ms,
      monotonic_ms: () => performance.now() + this.passed_ms,
      readFile: (name) => modules[name]!,
    });
    this.#owned.defer(async () => {
      await service.drain();
      await spine.drain();
    });
    return { service, spine, registry, lines, kill: () => spine.drain() };
  }

  /** Another Brain owns the rooms. */
  turn(owner: string): void {
    this.owner = owner;
    for (const { listeners } of this.#views) for (const listener of listeners) listener();
  }
}

/** The result, or `code reason: message`. */
const answerOf = (outcome: string | ArqonError) =>
  outcome instanceof ArqonError
    ? `${outcome.code} ${outcome.reason}: ${outcome.message}`
    : JSON.parse(outcome);

/** The outcome of a call: the result, or `code reason: message`. */
export function call(
  { service }: Pick<WorldBrain, "service">,
  room_id: string,
  command: string,
  { data = "", id = "", user = "ann", role = "user", tenant = "t" }: WorldCall = {},
): Promise<{ entry: number; repeats?: number; visible?: boolean; answer: unknown } | string> {
  return new Promise((resolve) =>
    service.call({ tenant_id: tenant, room_id }, {
      command,
      id,
      user_id: user,
      role,
      claims: {},
      data: new TextEncoder().encode(data),
      deadline_ms: performance.now() + CALL_MS,
      answer: (outcome) => resolve(answerOf(outcome)),
    })
  );
}

/** A page of visible values, or `code reason: message`. */
export function pageOf(
  { service }: Pick<WorldBrain, "service">,
  room_id: string,
  { prefix = "", after = "" } = {},
): Promise<{ version: number; values: [string, unknown][]; next?: string } | string> {
  return new Promise((resolve) =>
    service.values({ tenant_id: "t", room_id }, {
      prefix,
      after,
      deadline_ms: performance.now() + CALL_MS,
      answer: (outcome) => resolve(answerOf(outcome)),
    })
  );
}

/** The outcome of a call that must be applied. */
export async function applied(
  brain: Pick<WorldBrain, "service">,
  room_id: string,
  command: string,
  about: WorldCall = {},
) {
  const outcome = await call(brain, room_id, command, about);
  if (typeof outcome === "string") assert.fail(outcome);
  return outcome;
}

/** The messages of a room's log. */
export async function messagesOf(
  { spine }: Pick<WorldBrain, "spine">,
  room_id: string,
  tenant_id = "t",
) {
  const log = await spine.log(tenant_id, RETENTION);
  return (await log.read(room_id, { after: 0, ...READ })).messages;
}

/** The entries of a room's log, without gaps. */
export async function entriesOf(
  brain: Pick<WorldBrain, "spine">,
  room_id: string,
  tenant_id = "t",
): Promise<LogEntry[]> {
  const messages = await messagesOf(brain, `${room_id}~reducer`, tenant_id);
  const entries = messages.flatMap((message) => batchOf(message).entries);
  assert.deepEqual(entries.map(({ offset }) => offset), entries.map((_, at) => at + 1));
  return entries;
}

/** The events of a room. */
export async function eventsOf(
  brain: Pick<WorldBrain, "spine">,
  room_id: string,
): Promise<WorldEvent[]> {
  return (await messagesOf(brain, room_id)).map(({ payload, offset }) => {
    const { event, message_id, headers } = readEnvelope(payload);
    const data = new TextDecoder().decode(event?.data);
    return { offset, message_id, type: event?.type ?? "", data, to: headers["x-to"] ?? "" };
  });
}

/** Resolves with a room's events once there are enough. */
export function eventsWhen(brain: WorldBrain, room_id: string, count: number) {
  return found(`${count} events`, async () => {
    const events = await eventsOf(brain, room_id);
    return events.length >= count ? events : undefined;
  });
}

/** The value of a metric, summed over all labels or with one of them. */
export async function metric(
  { registry }: WorldBrain,
  name: string,
  label: Record<string, string> = {},
): Promise<number> {
  const values = (await registry.getSingleMetric(name)?.get())?.values ?? [];
  return values.filter(({ labels }) =>
    Object.entries(label).every(([key, wanted]) =>
      (labels as Partial<Record<string, string | number>>)[key] === wanted
    )
  ).reduce((sum, { value }) => sum + value, 0);
}

const quiet = QUIET;

/** The Spine whose logs have a clock ahead by so much. */
function later(spine: Spine, by_ms: () => number): Spine {
  const log: Spine["log"] = async (tenant_id, retention) => {
    const durable = await spine.log(tenant_id, retention);
    return overriding(durable, { now: () => durable.now() + by_ms() });
  };
  return overriding(spine, { log });
}

/** Both engines: each makes a world on its own bus. */
export const ENGINES: Readonly<Record<string, (options: WorldOptions) => Promise<ReducerWorld>>> = {
  embedded: async (options) => {
    const spine = await openSpine(configFrom({}), { log: quiet, now: Date.now });
    // All Brains share it: it must not end with the first of them.
    const shared = overriding(spine, { drain: () => Promise.resolve() });
    const world = new ReducerWorld(options, () => Promise.resolve(shared));
    world.defer(() => spine.drain());
    return world;
  },
  nats: async (options) => {
    const nats = await startNats({ jetstream: true });
    const config = configFrom({ nats: { urls: [nats.url], request_timeout_ms: 60_000 } });
    const world = new ReducerWorld(options, () => openSpine(config, { log: quiet, now: Date.now }));
    world.defer(() => nats[Symbol.asyncDispose]());
    return world;
  },
};

/** For cases that do not depend on how entries are stored: `shared/spine/conformance_test.ts` tests both engines. */
export const ONE_ENGINE = { embedded: ENGINES["embedded"]! };
