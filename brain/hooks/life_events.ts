/**
 * The tenants with hooks for created and ended rooms, and the log of these events: the tenant's room of events.
 * `brain/rooms/lives/announced_rooms.ts` reports the events.
 */
import type { HookEvent } from "../../shared/config/automation/hooks.ts";
import { HOOKS_BUCKET, readHookDocument } from "../../shared/records/hook_document.ts";
import type { KvWatch } from "../../shared/spine/contract/spine.ts";
import type { FollowedClasses } from "../classes/followed_classes.ts";
import type { Birth, LifeEvents } from "../rooms/lives/announced_rooms.ts";
import type { HookServiceOptions } from "./service.ts";
import { storeTenantEvent } from "./store_event.ts";
import { unlessNewer } from "../../shared/records/stored.ts";

/** What events of lives need of the service of hooks. */
export type HookLifeEventsOptions = Pick<
  HookServiceOptions,
  "config" | "spine" | "openClasses" | "now" | "random" | "changes"
>;

const hasLives = (events: readonly HookEvent[]) =>
  events.includes("room.created") || events.includes("room.ended");

/** Events of created and ended rooms, for hooks. */
export class HookLifeEvents implements LifeEvents {
  readonly #options: HookLifeEventsOptions;
  /** Tenants with such a hook: from the configuration, and set at run time, by the hook's name. */
  #config: readonly string[] = [];
  readonly #own = new Map<string, string>();
  readonly #listeners = new Set<() => void>();
  #watch: KvWatch | undefined;
  readonly #classes: FollowedClasses;
  tenants: ReadonlySet<string> = new Set();

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
      if (hasLives(document?.spec?.events ?? [])) events.#own.set(key.join("/"), tenant_id);
      else if (!events.#own.delete(key.join("/"))) return;
      events.#count();
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
    this.#config = this.#options.config.hooks.flatMap(({ tenant, events }) =>
      hasLives(events) ? [tenant] : []
    );
    this.#count();
  }

  #count(): void {
    this.tenants = new Set([...this.#config, ...this.#own.values()]);
    for (const listener of this.#listeners) listener();
  }
}
