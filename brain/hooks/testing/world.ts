/** A bus with a log, a receiver of hooks, and the Brains of a test of hooks. */
import assert from "node:assert/strict";
import { bytesFrom } from "../../../shared/ids.ts";
import { configFrom } from "../../../shared/config/load.ts";
import { hookKey } from "../../../shared/records/hook_document.ts";
import { QUIET } from "../../../shared/testing/logs.ts";
import { Registry } from "../../../shared/metrics/metrics.ts";
import { systemEnvelope } from "../../../shared/records/system_envelope.ts";
import type { DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import type { KeyValue, Spine } from "../../../shared/spine/contract/spine.ts";
import { openSpine } from "../../../shared/spine/open.ts";
import { until } from "../../../shared/testing/until.ts";
import { Receiver, SECRET } from "../../../tests/hooks/receiver.ts";
import { FollowedClasses } from "../../classes/followed_classes.ts";
import type { ClusterView } from "../../cluster_view.ts";
import { type HookService, startHooks } from "../capability.ts";
import { secretFile } from "../../../shared/config/testing/secret_file.ts";

const quiet = QUIET;
const RETENTION = { history_size: 1_000, history_ttl_seconds: 3_600, replicas: undefined };

/** One bus with a log, and the Brains that a test starts; `owner` owns all hooks. */
export class World implements AsyncDisposable {
  owner = "b1";
  readonly receiver = new Receiver();
  readonly #brains = new Set<HookService>();
  readonly #listeners = new Set<(was_away: boolean) => void>();
  #sent = 0;
  readonly config: ReturnType<typeof configFrom>;
  spine!: Spine;
  log!: DurableLog;
  bucket!: KeyValue;

  constructor(hook: object, others: readonly object[], constants: object) {
    const own = { timeout_ms: 60_000, secret_file: secretFile(SECRET) };
    const { url } = this.receiver;
    this.config = configFrom({
      rooms: [{ room: "o*", durable: true, history_size: 1_000, history_ttl_seconds: 3_600 }],
      webhooks: {
        private_hosts: ["127.0.0.1"],
        survey_ms: 100,
        backoff_ms: 1,
        backoff_max_ms: 20,
        ...constants,
      },
      hooks: [hook, ...others].map((given) => (
        { id: "h", tenant: "t", url, room: "o*", ...own, ...given }
      )),
    });
  }

  /** With the hook `h`, and others with their own ids. */
  static async open(
    hook: object = {},
    others: readonly object[] = [],
    constants: object = {},
  ): Promise<World> {
    const world = new World(hook, others, constants);
    world.spine = await openSpine(configFrom({}), { log: quiet, now: Date.now });
    world.log = await world.spine.log("t", RETENTION);
    world.bucket = await world.spine.keyValue("ARQON_HOOKS");
    return world;
  }

  async brain(brain_id = "b1", registry = new Registry(), more = {}): Promise<HookService> {
    const view: Pick<ClusterView, "brain_id" | "ownerOf" | "onOwnership"> = {
      brain_id,
      ownerOf: () => this.owner,
      onOwnership: (listener) => {
        this.#listeners.add(listener);
        return () => void this.#listeners.delete(listener);
      },
    };
    const { spine, config } = this;
    const now = Date.now, random = Math.random, log = quiet;
    const readTextFile = Deno.readTextFileSync;
    const parts = {
      config,
      spine,
      registry,
      log,
      now,
      random,
      readTextFile,
      monotonic_ms: () => performance.now(),
      openClasses: () => FollowedClasses.open({ config, spine, log }),
      ...more,
    };
    const hooks = await startHooks({ ...parts, view: view as ClusterView });
    this.#brains.add(hooks);
    if (brain_id === this.owner) await until("it has begun", () => this.#hasBegun());
    return hooks;
  }

  async #hasBegun(): Promise<boolean> {
    for (const { tenant, id } of this.config.hooks) {
      const entry = await this.bucket.get(hookKey(tenant, id));
      if (entry === undefined) return false;
      if (!new TextDecoder().decode(entry.value).includes("since")) return false;
    }
    return true;
  }

  give(owner: string): void {
    this.owner = owner;
    for (const listener of this.#listeners) listener(false);
  }

  async send(room_id: string, count = 1): Promise<void> {
    for (let at = 0; at < count; at++) {
      const source = { now: Date.now, random: bytesFrom(Math.random) };
      const data = new TextEncoder().encode(JSON.stringify({ n: this.#sent++ }));
      const event = { type: "order", data, content_type: "application/json" };
      const payload = systemEnvelope(source, { tenant_id: "t", room_id, event });
      await this.log.append(room_id, payload);
    }
  }

  /** The numbers of the sent and accepted messages, without repetitions, by room. */
  taken(room_id: string): number[] {
    const seen = new Map<string, number>();
    for (const { id, body: { type, data } } of this.receiver.taken) {
      if (type === "room.message" && data.room === room_id) seen.set(id, data.message.data.n);
    }
    return [...seen.values()];
  }

  types(): string[] {
    return this.receiver.taken.map(({ body }) => body.type);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const brain of this.#brains) await brain.drain();
    await this.spine.drain();
    assert.deepEqual(this.receiver.problems, []);
    await this.receiver[Symbol.asyncDispose]();
  }
}

/** `count` numbers, from `from` on. */
export const upTo = (count: number, from = 0) =>
  Array.from({ length: count }, (_, at) => from + at);
/** An answer without a body. */
export const status = (code: number) => new Response(null, { status: code });
