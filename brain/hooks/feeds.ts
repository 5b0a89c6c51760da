/**
 * Notifies the hooks of a Brain of new messages. The hooks of one tenant share a feed, which subscribes to their rooms:
 * to single rooms if hooks name only these, otherwise to all rooms of the tenant, because subjects have no prefixes. A
 * message costs one callback and one index lookup, for any number of hooks; one that no log has stored costs a check of
 * its headers.
 */
import { TENANT_EVENT_TYPES } from "../../shared/config/automation/hooks.ts";
import type { AfterHook } from "../../shared/config/automation/hooks.ts";
import { RecentMap } from "../../shared/containers/recent_map.ts";
import {
  EVENTS_ROOM,
  membersRoomOf,
  recordedRoomOf,
  reservedRoom,
} from "../../shared/rooms/reserved.ts";
import { LOG_OFFSET_HEADER } from "../../shared/spine/contract/durable_log.ts";
import type { KvWatch, Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage, Subscription } from "../../shared/spine/contract/spine_message.ts";
import {
  parseRoomSubject,
  roomSubject,
  tenantRoomsPattern,
} from "../../shared/subjects/subject.ts";
import type { Subject, SubjectPattern } from "../../shared/subjects/subject.ts";
import { isAbout } from "./hook_event.ts";
import type { ConfigChanges } from "../../shared/config/live/live_config.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { TenantDeletions } from "../../shared/records/tenant_deletions.ts";
import type { FollowedClasses, OpenClasses } from "../classes/followed_classes.ts";
import type { Birth, LifeEvents } from "./announced_rooms.ts";
import { bytesFrom } from "../../shared/ids.ts";
import type { TenantEvent } from "../../shared/hooks/tenant_event.ts";
import { jsonEvent, systemEnvelope } from "../../shared/records/system_envelope.ts";
import { OF_CONFIG, WantedNames } from "../../shared/hooks/wanted_names.ts";
import { type WantedEvents, watchHooks } from "../../shared/records/hook_document.ts";

/** Cached rooms of one tenant, in each of two generations. */
const ROUTES_MAX = 4_096;

const MEMBER_EVENTS = ["member.joined", "member.left", "room.occupied", "room.vacated"] as const;

type HookScope = Pick<AfterHook, "tenant" | "room" | "events">;

/** Called for a stored message in a room of the hook. Must not throw. */
type HookListener = (room_id: string, offset: number) => void;

interface Listening {
  readonly scope: HookScope;
  readonly listener: HookListener;
  readonly subjects: readonly Subject[] | undefined;
}

interface Route {
  readonly room_id: string;
  readonly listeners: readonly HookListener[];
}

/** Whether a hook is called for events in this room of the log. No pattern matches a reserved one or a hook's. */
export function isWanted(hook: Omit<HookScope, "tenant">, room_id: string): boolean {
  const { events, room } = hook;
  if (room_id === EVENTS_ROOM) return TENANT_EVENT_TYPES.some((type) => events.includes(type));
  const recorded = recordedRoomOf(room_id);
  if (recorded !== undefined) {
    return MEMBER_EVENTS.some((type) => events.includes(type)) && isAbout(hook, recorded);
  }
  if (!events.includes("room.message") || !isAbout(hook, room_id)) return false;
  const reserved = reservedRoom(room_id);
  return reserved === undefined || reserved.grants !== undefined && room === room_id;
}

/** The subjects of a hook; undefined: all rooms of the tenant, because its rooms cannot be listed. */
function subjectsOf(hook: HookScope): readonly Subject[] | undefined {
  const { tenant, room, events } = hook;
  const tenant_types: readonly string[] = TENANT_EVENT_TYPES;
  if (room.endsWith("*") && events.some((type) => !tenant_types.includes(type))) return undefined;
  const rooms = [EVENTS_ROOM, room, membersRoomOf(room) ?? EVENTS_ROOM];
  return rooms.filter((room_id) => isWanted(hook, room_id))
    .map((room_id) => roomSubject("in", tenant, room_id));
}

class TenantFeed {
  readonly #tenant_id: string;
  readonly #spine: Pick<Spine, "subscribe">;
  readonly #hooks = new Set<Listening>();
  readonly #subscriptions = new Map<Subject | SubjectPattern, Subscription>();
  readonly #routes = new RecentMap<string, Route>(ROUTES_MAX);

  constructor(tenant_id: string, spine: Pick<Spine, "subscribe">) {
    this.#tenant_id = tenant_id;
    this.#spine = spine;
  }

  get is_unused(): boolean {
    return this.#hooks.size === 0;
  }

  add(hook: Listening): void {
    this.#hooks.add(hook);
    this.#renew();
  }

  delete(hook: Listening): void {
    if (this.#hooks.delete(hook)) this.#renew();
  }

  #renew(): void {
    this.#routes.clear();
    const wanted = this.#wanted();
    // New subscriptions first: a duplicate message is harmless.
    for (const pattern of wanted) {
      if (this.#subscriptions.has(pattern)) continue;
      const receive = (message: SpineMessage) => this.#receive(message);
      this.#subscriptions.set(
        pattern,
        this.#spine.subscribe(pattern, receive, { reads_only: true }),
      );
    }
    for (const [pattern, subscription] of this.#subscriptions) {
      if (wanted.has(pattern)) continue;
      this.#subscriptions.delete(pattern);
      subscription.unsubscribe();
    }
  }

  #wanted(): ReadonlySet<Subject | SubjectPattern> {
    const subjects = new Set<Subject>();
    for (const hook of this.#hooks) {
      if (hook.subjects === undefined) return new Set([tenantRoomsPattern("in", this.#tenant_id)]);
      for (const subject of hook.subjects) subjects.add(subject);
    }
    return subjects;
  }

  #receive({ subject, headers }: SpineMessage): void {
    const offset = headers[LOG_OFFSET_HEADER];
    if (offset === undefined) return;
    const { room_id, listeners } = this.#routes.get(subject) ?? this.#find(subject);
    for (const listener of listeners) listener(room_id, Number(offset));
  }

  #find(subject: string): Route {
    const room_id = parseRoomSubject(subject)?.roomId ?? "";
    const listeners: HookListener[] = [];
    for (const { scope, listener } of this.#hooks) {
      if (isWanted(scope, room_id)) listeners.push(listener);
    }
    const route = { room_id, listeners };
    this.#routes.set(subject, route);
    return route;
  }
}

/** The feeds of the tenants for which this Brain has a hook. */
export class HookFeeds {
  readonly #spine: Pick<Spine, "subscribe">;
  readonly #tenants = new Map<string, TenantFeed>();

  constructor(spine: Pick<Spine, "subscribe">) {
    this.#spine = spine;
  }

  /** Notifies the listener of the hook's messages, until the returned function is called, which is idempotent. */
  listen(scope: HookScope, listener: HookListener): () => void {
    const { tenant } = scope;
    const feed = this.#tenants.get(tenant) ?? new TenantFeed(tenant, this.#spine);
    this.#tenants.set(tenant, feed);
    const hook = { scope, listener, subjects: subjectsOf(scope) };
    feed.add(hook);
    return () => {
      feed.delete(hook);
      if (feed.is_unused && this.#tenants.get(tenant) === feed) this.#tenants.delete(tenant);
    };
  }
}

/** Where hooks are set, and where their events are stored. */
export interface HookLifeEventsOptions extends Pick<Env, "spine" | "now"> {
  readonly config: Pick<Config, "hooks">;
  readonly openClasses: OpenClasses;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** Notifies of configuration changes; absent: there are none. */
  readonly changes?: ConfigChanges | undefined;
}

const LIFE_EVENTS = ["room.created", "room.ended"] as const;

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
    const renew = () => this.#set(OF_CONFIG, options.config.hooks);
    renew();
    options.changes?.follow(["hooks"], renew);
  }

  /** Resolves when every hook is known. Rejects with `spine-unavailable`. */
  static async open(options: HookLifeEventsOptions): Promise<HookLifeEvents> {
    const events = new HookLifeEvents(options, await options.openClasses());
    events.#watch = await watchHooks(options.spine, (key, hooks) => events.#set(key, hooks));
    await events.#watch.ready;
    return events;
  }

  get deletions(): TenantDeletions {
    return this.#classes.deletions;
  }

  onTenants(listener: () => void): void {
    this.#listeners.add(listener);
  }

  async append(
    type: typeof LIFE_EVENTS[number],
    { tenant_id, room_id }: { readonly tenant_id: string; readonly room_id: string },
    { created_ms, epoch }: Birth,
    key: string,
    since: number,
  ): Promise<boolean> {
    // Without a durable class there is no log: the event is dropped, and the room must still end.
    const event = { type, data: { room: room_id, epoch, created_ms } };
    return await storeTenantEvent(this.#classes, this.#options, tenant_id, event, key, since);
  }

  /** The rooms call it at their end, or its opener if they never started. Idempotent. */
  close(): void {
    if (this.#watch === undefined) return;
    this.#watch.stop();
    this.#watch = undefined;
    this.#listeners.clear();
  }

  #set(key: string, hooks: readonly WantedEvents[]): void {
    const wanting = hooks.filter(({ events }) => LIFE_EVENTS.some((type) => events.includes(type)));
    if (!this.tenants.set(key, wanting.map(({ tenant }) => tenant))) return;
    for (const listener of this.#listeners) listener();
  }
}

/** The clock in Unix ms, and random numbers in [0, 1). */
interface EventSource {
  readonly now: () => number;
  readonly random: () => number;
}

/**
 * Stores an event; events with the same key within two minutes are stored once. Does nothing for a tenant without a
 * durable class, which has no log. False: the tenant was deleted after `since`. Rejects as the log does.
 */
export async function storeTenantEvent(
  followed: FollowedClasses,
  { now, random }: EventSource,
  tenant_id: string,
  { type, data }: TenantEvent,
  key: string,
  since: number,
): Promise<boolean> {
  if (followed.classes.logRetentionOf(tenant_id) === undefined) return true;
  const log = await followed.openLog(tenant_id);
  const source = { now, random: bytesFrom(random) };
  const event = jsonEvent(type, JSON.stringify(data));
  const stored = systemEnvelope(source, { tenant_id, room_id: EVENTS_ROOM, ...event });
  return await followed.deletions.append(log, since, EVENTS_ROOM, stored, { key }) !== undefined;
}
