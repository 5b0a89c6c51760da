/**
 * Stores events for hooks that are in no room's log: policy refusals and exhausted budgets. It stores only events with
 * a subscribed hook, with limits for refusals per second and for queued events. Dropped events are counted, and an
 * entry in their place has the count. `brain/hooks/` calls the hooks.
 */
import { bytesFrom } from "../../shared/ids.ts";
import type { HookEntry } from "../../shared/config/automation/hooks.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { ConfigChanges } from "../../shared/config/live/live_config.ts";
import { TENANT_EVENT_TYPES, type TenantEventType } from "../../shared/config/automation/hooks.ts";
import { EVENTS_LOST, type TenantEvent } from "../../shared/hooks/tenant_event.ts";
import { OF_CONFIG, WantedNames } from "../../shared/hooks/wanted_names.ts";
import { type WantedEvents, watchHooks } from "../../shared/records/hook_document.ts";
import type { Env } from "../../shared/env.ts";
import { scrapedFamily } from "../../shared/metrics/metrics_plain.ts";
import type { TenantDeletions } from "../../shared/records/tenant_deletions.ts";
import { jsonEvent, systemEnvelope } from "../../shared/records/system_envelope.ts";
import { EVENTS_ROOM } from "../../shared/rooms/reserved.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import { isFinalRefusal } from "../../shared/spine/contract/write_errors.ts";
import { pause } from "../../shared/within.ts";
import type { KvWatch, Spine } from "../../shared/spine/contract/spine.ts";

const SECOND_MS = 1_000;
/** The first pause after a failure of the store, and the longest, in ms. */
const RETRY_MS = 250;
const RETRY_MAX_MS = 10_000;

/** The dependencies and settings of `TenantEvents`. */
interface TenantEventsOptions extends Pick<Env, "registry" | "log" | "now"> {
  readonly config: { readonly hooks: readonly HookEntry[]; readonly webhooks: Config["webhooks"] };
  /** Changes of the configuration; absent: there are none. */
  readonly reloading?: ConfigChanges | undefined;
  readonly spine: Pick<Spine, "keyValue">;
  readonly deletions: Pick<TenantDeletions, "known" | "append" | "onDeleted">;
}

interface Waiting {
  readonly event: TenantEvent;
  /** The newest deletion of the tenant before the event. */
  readonly since: number;
  /** Events with the same key within two minutes are stored once. */
  readonly key?: string;
  readonly stored?: () => void;
}

/** One tenant's queue. */
interface Held {
  readonly queue: Waiting[];
  /** Refusals of this second: stored, and dropped. */
  reported: number;
  left_out: number;
  working: Promise<void> | undefined;
}

/** The events of all tenants on this Shield. */
export class TenantEvents {
  readonly #options: TenantEventsOptions;
  /** The tenants by type: a message costs one lookup for any number of hooks, and makes no key for it. */
  readonly #wanted = new Map(TENANT_EVENT_TYPES.map((type) => [type, new WantedNames()]));
  /** Tenants with a hook for such events, after the first event. */
  readonly #held = new Map<string, Held>();
  readonly #counts = { stored: 0, left_out: 0 };
  #openLog: ((tenant_id: string) => Promise<DurableLog>) | undefined;
  #watch: KvWatch | undefined;
  #working: Promise<void> | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  readonly #ending = new AbortController();
  readonly #stopDeletions: () => void;

  constructor(options: TenantEventsOptions) {
    this.#options = options;
    const renew = () => this.#want(OF_CONFIG, options.config.hooks);
    renew();
    options.reloading?.follow(["hooks"], renew);
    this.#stopDeletions = options.deletions.onDeleted((tenant_id) => this.#forget(tenant_id));
    scrapedFamily(
      options.registry,
      "shield_hook_events_total",
      "Events for hooks that are in no room's log, by outcome: stored or left_out.",
      "result",
      () => this.#counts,
    );
  }

  /** Follows the hooks of tenants, and stores from now on. Rejects with `spine-unavailable`. */
  async start(openLog: (tenant_id: string) => Promise<DurableLog>): Promise<void> {
    const { spine } = this.#options;
    this.#watch = await watchHooks(spine, (key, hooks) => this.#want(key, hooks));
    await this.#watch.ready;
    this.#openLog = openLog;
    this.#timer = setInterval(() => this.#endSecond(), SECOND_MS);
    for (const [tenant_id, held] of this.#held) this.#work(tenant_id, held);
  }

  #want(key: string, hooks: readonly WantedEvents[]): void {
    for (const [type, tenants] of this.#wanted) {
      const wanting = hooks.filter(({ events }) => events.includes(type));
      tenants.set(key, wanting.map(({ tenant }) => tenant));
    }
  }

  /** Whether some hook of the tenant subscribes to that type. */
  isWanted(tenant_id: string, type: TenantEventType): boolean {
    return this.#wanted.get(type)!.has(tenant_id);
  }

  #of(tenant_id: string): Held {
    const held = () => ({ queue: [], reported: 0, left_out: 0, working: undefined });
    return this.#held.getOrInsertComputed(tenant_id, held);
  }

  /** A policy, or a hook with `before`, has refused something. */
  refused(tenant_id: string, data: TenantEvent["data"]): void {
    const held = this.#of(tenant_id);
    if (held.reported >= this.#options.config.webhooks.refusals_per_second) {
      held.left_out++;
      this.#counts.left_out++;
      return;
    }
    held.reported++;
    this.#add(tenant_id, held, { event: { type: "policy.refused", data } });
  }

  /** Reports an exhausted budget; resolves once it is stored. */
  async exhausted(tenant_id: string, key: string, data: TenantEvent["data"]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const event = { type: "budget.exhausted", data } as const;
    this.#add(tenant_id, this.#of(tenant_id), { event, key, stored: resolve });
    await promise;
  }

  /** Stores what is queued, if that is possible at once. Never rejects. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#endSecond();
    this.#watch?.stop();
    this.#stopDeletions();
    this.#ending.abort();
    await Promise.all([...this.#held.values()].map(({ working }) => working));
  }

  #forget(tenant_id: string): void {
    const held = this.#held.get(tenant_id);
    if (held === undefined) return;
    held.left_out = 0;
    for (const { stored } of held.queue.splice(0)) stored?.();
  }

  #endSecond(): void {
    for (const [tenant_id, held] of this.#held) {
      if (held.left_out > 0) this.#add(tenant_id, held, { event: lostEvent(held.left_out) });
      held.reported = held.left_out = 0;
      if (held.queue.length === 0 && held.working === undefined) this.#held.delete(tenant_id);
    }
  }

  /** Beyond the limit the oldest are dropped, and an entry in their place has their number. */
  #add(tenant_id: string, held: Held, waiting: Omit<Waiting, "since">): void {
    const { queue } = held;
    const since = this.#options.deletions.known(tenant_id);
    queue.push({ ...waiting, since });
    if (queue.length > this.#options.config.webhooks.events_waiting) {
      const oldest = queue.splice(0, 2);
      this.#counts.left_out += oldest.filter(({ event }) => event.type !== EVENTS_LOST).length;
      const lost = lostEvent(oldest.reduce((sum, { event }) => sum + countOf(event), 0));
      queue.unshift({ event: lost, since });
    }
    this.#work(tenant_id, held);
  }

  #work(tenant_id: string, held: Held): void {
    const openLog = this.#openLog;
    if (openLog === undefined || held.working !== undefined) return;
    const working = this.#storeAll(tenant_id, held, openLog);
    held.working = working.finally(() => held.working = undefined);
  }

  async #storeAll(
    tenant_id: string,
    held: Held,
    openLog: (tenant_id: string) => Promise<DurableLog>,
  ): Promise<void> {
    const { queue } = held;
    const { deletions } = this.#options;
    let retry_ms = RETRY_MS;
    for (let next = queue[0]; next !== undefined; next = queue[0]) {
      const { event, since, key, stored } = next;
      try {
        const log = await openLog(tenant_id);
        const bytes = this.#bytes(tenant_id, event);
        const options = key === undefined ? {} : { key };
        const appended = await deletions.append(log, since, EVENTS_ROOM, bytes, options);
        if (appended !== undefined) this.#counts.stored++;
        retry_ms = RETRY_MS;
        if (queue[0] === next) queue.shift();
        stored?.();
      } catch (error) {
        if (this.#ending.signal.aborted) return;
        if (isFinalRefusal(error)) {
          // No other event follows it, so the end of the second reports it.
          if (queue[0] === next) queue.shift();
          held.left_out += countOf(event);
          if (event.type !== EVENTS_LOST) this.#counts.left_out++;
          this.#options.log.error("an event for hooks is lost", { tenant_id, error });
          continue;
        }
        this.#options.log.warn("an event for hooks is not stored yet", { tenant_id, error });
        await pause(retry_ms, this.#ending.signal);
        retry_ms = Math.min(RETRY_MAX_MS, 2 * retry_ms);
      }
    }
  }

  #bytes(tenant_id: string, { type, data }: TenantEvent): Uint8Array {
    const source = { now: this.#options.now, random: bytesFrom(Math.random) };
    const event = jsonEvent(type, JSON.stringify(data));
    return systemEnvelope(source, { tenant_id, room_id: EVENTS_ROOM, ...event });
  }
}

function lostEvent(count: number): TenantEvent {
  return { type: EVENTS_LOST, data: { room: null, count } };
}

function countOf({ type, data }: TenantEvent): number {
  return type === EVENTS_LOST ? Number(data["count"]) : 1;
}
