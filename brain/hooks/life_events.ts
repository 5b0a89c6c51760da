/**
 * The tenants with hooks for created and ended rooms, and the log of these events: the tenant's room of events.
 * `announced_rooms.ts` reports the events.
 */
import type { HookEvent } from "../../shared/config/automation/hooks.ts";
import type { ConfigChanges } from "../../shared/config/live/live_config.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { HOOKS_BUCKET, readHookDocument } from "../../shared/records/hook_document.ts";
import type { KvWatch } from "../../shared/spine/contract/spine.ts";
import type { FollowedClasses, OpenClasses } from "../classes/followed_classes.ts";
import type { Birth, LifeEvents } from "./announced_rooms.ts";
import { unlessNewer } from "../../shared/records/stored.ts";
import { bytesFrom } from "../../shared/ids.ts";
import type { TenantEvent } from "../../shared/hooks/tenant_event.ts";
import { OF_CONFIG, WantedNames } from "../../shared/hooks/wanted_names.ts";
import { systemEnvelope } from "../../shared/records/system_envelope.ts";
import { EVENTS_ROOM } from "../../shared/rooms/reserved.ts";

/** Where hooks are set, and where their events are stored. */
export interface HookLifeEventsOptions extends Pick<Env, "spine" | "now"> {
  readonly config: Pick<Config, "hooks">;
  readonly openClasses: OpenClasses;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** Notifies of configuration changes; absent: there are none. */
  readonly changes?: ConfigChanges | undefined;
}

const hasLives = (events: readonly HookEvent[]) =>
  events.includes("room.created") || events.includes("room.ended");

/** Events of created and ended rooms, for hooks. */
export class HookLifeEvents implements LifeEvents {
  readonly #options: HookLifeEventsOptions;
  readonly #listeners = new Set<() => void>();
  #watch: KvWatch | undefined;
  readonly #classes: FollowedClasses;
  readonly tenants = new WantedNames();

  private constructor(options: HookLifeEventsOptions, classes: FollowedClasses) {
    this.#options = options;
    this.#classes = classes;
    this.#renew();
    options.changes?.follow(["hooks"], () => this.#renew());
  }

  /** Resolves when every hook is known. Rejects with `spine-unavailable`. */
  static async open(options: HookLifeEventsOptions): Promise<HookLifeEvents> {
    const events = new HookLifeEvents(options, await options.openClasses());
    const bucket = await options.spine.keyValue(HOOKS_BUCKET);
    const watch = events.#watch = bucket.watch([], ({ key, value }) => {
      const document = value && unlessNewer(() => readHookDocument(value));
      if (document === "newer") return;
      const [tenant_id = ""] = key;
      const tenants = hasLives(document?.spec?.events ?? []) ? [tenant_id] : [];
      events.#set(key.join("/"), tenants);
    }, { depth: 2 });
    await watch.ready;
    return events;
  }

  onTenants(listener: () => void): void {
    this.#listeners.add(listener);
  }

  async append(
    type: "room.created" | "room.ended",
    { tenant_id, room_id }: { readonly tenant_id: string; readonly room_id: string },
    { created_ms, epoch }: Birth,
    key: string,
  ): Promise<void> {
    // Without a durable class there is no log: the event is dropped, and the room must still end.
    const event = { type, data: { room: room_id, epoch, created_ms } };
    await storeTenantEvent(this.#classes, this.#options, tenant_id, event, key);
  }

  /** The rooms call it at their end, or its opener if they never started. Idempotent. */
  close(): void {
    if (this.#watch === undefined) return;
    this.#watch.stop();
    this.#watch = undefined;
    this.#listeners.clear();
  }

  #renew(): void {
    const tenants = this.#options.config.hooks.flatMap(({ tenant, events }) =>
      hasLives(events) ? [tenant] : []
    );
    this.#set(OF_CONFIG, tenants);
  }

  #set(hook: string, tenants: readonly string[]): void {
    if (!this.tenants.set(hook, tenants)) return;
    for (const listener of this.#listeners) listener();
  }
}

/** The clock in Unix ms, and random numbers in [0, 1). */
export interface EventSource {
  readonly now: () => number;
  readonly random: () => number;
}

/**
 * Stores an event; events with the same key within two minutes are stored once. Does nothing for a tenant without a
 * durable class, which has no log. Rejects as the log does.
 */
export async function storeTenantEvent(
  followed: FollowedClasses,
  { now, random }: EventSource,
  tenant_id: string,
  { type, data }: TenantEvent,
  key: string,
): Promise<void> {
  if (followed.classes.logRetentionOf(tenant_id) === undefined) return;
  const log = await followed.openLog(tenant_id);
  const bytes = new TextEncoder().encode(JSON.stringify(data));
  const event = { type, data: bytes, content_type: "application/json" };
  const source = { now, random: bytesFrom(random) };
  const stored = systemEnvelope(source, { tenant_id, room_id: EVENTS_ROOM, event });
  await log.append(EVENTS_ROOM, stored, { key });
}
