/**
 * What the hooks of a Brain learn of new messages. The hooks of one tenant share a feed, which subscribes to the rooms
 * that some hook wants: to single rooms while hooks name only these, else once to all rooms of the tenant, since
 * subjects have no prefixes. A message costs one callback and one look into an index, however many hooks there are;
 * one that no log has stored costs a look at its headers.
 */
import type { AfterHook } from "../../shared/config/automation/hooks.ts";
import { RecentMap } from "../../shared/containers/recent_map.ts";
import { TENANT_EVENT_TYPES } from "../../shared/config/automation/hooks.ts";
import { EVENTS_ROOM } from "../../shared/rooms/events_room.ts";
import { membersRoomOf, recordedRoomOf } from "../../shared/rooms/members_room.ts";
import { LOG_OFFSET_HEADER } from "../../shared/spine/contract/durable_log.ts";
import type { Spine, SpineMessage, Subscription } from "../../shared/spine/contract/spine.ts";
import {
  parseRoomSubject,
  roomSubject,
  tenantRoomsPattern,
} from "../../shared/subjects/subject.ts";
import type { Subject, SubjectPattern } from "../../shared/subjects/subject.ts";
import { isAbout } from "./hook_event.ts";

/** Rooms of one tenant whose hooks are remembered; as many more from before that. */
const ROUTES_MAX = 4_096;

const MEMBER_EVENTS = ["member.joined", "member.left", "room.occupied", "room.vacated"] as const;

/** The part of a hook that says what it is called for. */
type HookScope = Pick<AfterHook, "tenant" | "room" | "events">;

/** Told of a message that the log has stored in a room that the hook wants. Must not throw. */
type HookListener = (room_id: string, offset: number) => void;

interface Listening {
  readonly scope: HookScope;
  readonly listener: HookListener;
  /** As `subjectsOf`. */
  readonly subjects: readonly Subject[] | undefined;
}

/** The hooks that want a room. */
interface Route {
  readonly room_id: string;
  readonly listeners: readonly HookListener[];
}

/** Whether a hook is called for something that is in this room of the log. */
export function isWanted(hook: Omit<HookScope, "tenant">, room_id: string): boolean {
  const { events } = hook;
  if (room_id === EVENTS_ROOM) return TENANT_EVENT_TYPES.some((type) => events.includes(type));
  const recorded = recordedRoomOf(room_id);
  const is_kind = recorded === undefined
    ? events.includes("room.message")
    : MEMBER_EVENTS.some((type) => events.includes(type));
  return is_kind && isAbout(hook, recorded ?? room_id);
}

/** What a hook has to receive; undefined: all rooms of the tenant, for its rooms cannot be named. */
function subjectsOf(hook: HookScope): readonly Subject[] | undefined {
  const { tenant, room, events } = hook;
  const tenant_types: readonly string[] = TENANT_EVENT_TYPES;
  if (room.endsWith("*") && events.some((type) => !tenant_types.includes(type))) return undefined;
  const rooms = [EVENTS_ROOM, room, membersRoomOf(room) ?? EVENTS_ROOM];
  return rooms.filter((room_id) => isWanted(hook, room_id))
    .map((room_id) => roomSubject("in", tenant, room_id));
}

/** The feed of one tenant. */
class TenantFeed {
  readonly #tenant_id: string;
  readonly #spine: Pick<Spine, "subscribe">;
  readonly #hooks = new Set<Listening>();
  readonly #subscriptions = new Map<Subject | SubjectPattern, Subscription>();
  /** By subject. */
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
    // First what is new: a message that comes twice does no harm.
    for (const pattern of wanted) {
      if (this.#subscriptions.has(pattern)) continue;
      const hear = (message: SpineMessage) => this.#hear(message);
      this.#subscriptions.set(pattern, this.#spine.subscribe(pattern, hear, { reads_only: true }));
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

  #hear({ subject, headers }: SpineMessage): void {
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

  /** Tells the listener of what the hook wants, until the returned function is called. Idempotent. */
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
