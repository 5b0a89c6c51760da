/**
 * The rooms that patterns receive: existing and new ones. While a tenant has a pattern on this Shield, the Shield
 * receives the messages of all its rooms; the first message of a matching room opens that room. The listeners decide
 * whether and how to subscribe (`subscribed_patterns.ts`).
 */
import { ArqonError, encodeMsg, encodeTextMessage, isId, readEnvelope } from "@arqon/proto";
import type { StampSource } from "../../shared/records/system_envelope.ts";
import type { SpineMessage, Subscription } from "../../shared/spine/contract/spine_message.ts";
import { tenantRoomsPattern } from "../../shared/subjects/subject.ts";
import { type Channel, copyFor } from "../fanout/channel.ts";
import type { Frame } from "../fanout/frame_bytes.ts";
import type { ConnectionPatterns, HubPatterns, PatternHub } from "../fanout/patterns.ts";
import { gapEnvelope } from "../fanout/room_message.ts";
import { isOnlyNamed, PatternIndex } from "./pattern_index.ts";

/** Rooms that one pass tries to close beyond the limit. */
const LET_GO_TRIES = 16;
/** Listeners that a pass may ask for each room entered since the last pass: a room may have thousands that stay. */
const ASKED_A_JOIN = 64;

/** Rooms without a match that are checked in one step: a check may cost as much as entering a room. */
const LOOKED_A_STEP = 64;

/** A GAP of a room or a pattern, in the form of its receiver. */
export function gapFrame(
  stamps: StampSource,
  text: boolean,
  place: { readonly tenant_id: string; readonly room_id: string },
  reason: string,
): Frame {
  const gap = gapEnvelope(stamps, place, reason);
  return text ? encodeTextMessage(readEnvelope(gap)) : encodeMsg(gap);
}

/** One connection's subscription to a pattern. */
export interface PatternListener {
  /** A prefix of room ids followed by `*`. */
  readonly pattern: string;
  readonly owner: PatternOwner;
}

/** A connection that receives rooms by patterns. */
interface PatternOwner {
  readonly text: boolean;
  /** Called with a room that a pattern of the connection matches, before its first message. */
  enter(by: PatternListener, channel: Channel): void;
  /** Whether the room can be closed. */
  mayRelease(room_id: string): boolean;
  /** Called when the room is closed until its next message. */
  release(room_id: string): void;
  send(frame: Frame): void;
}

/** A hub, and the limits of one tenant's patterns in it. */
interface PatternRoomsOptions extends PatternHub {
  readonly patterns_per_tenant: number;
  readonly pattern_rooms_per_tenant: number;
}

interface HeldRoom {
  /** The number of connections that receive it by patterns. */
  listeners: number;
}

interface Tenant {
  readonly tenant_id: string;
  readonly index: PatternIndex<PatternListener>;
  readonly spine: readonly Subscription[];
  /** The tenant's open rooms. */
  readonly rooms: Map<string, Channel>;
  /** The number of rooms without their own Spine subscriptions. */
  fed: number;
  /** The rooms that patterns receive, longest silent first. */
  readonly held: Map<string, HeldRoom>;
  /** The sum of the rooms' listeners. */
  places: number;
  /** Rooms that are entered before the next pass tries to close others. */
  pause: number;
}

/** The patterns of one hub. */
export class PatternRooms implements HubPatterns {
  /** Subscriptions to patterns, the rooms received by them, and messages of rooms that no pattern matches. */
  readonly counts = { patterns: 0, rooms: 0, unmatched: 0 };
  readonly #options: PatternRoomsOptions;
  readonly #tenants = new Map<string, Tenant>();
  readonly #connections = new WeakMap<object, ConnectionPatterns>();

  constructor(options: PatternRoomsOptions) {
    this.#options = options;
  }

  of(connection: object): ConnectionPatterns | undefined {
    return this.#connections.get(connection);
  }

  /** Sets the patterns of a connection. */
  begin(connection: { receives_unnamed: boolean }, patterns: ConnectionPatterns): void {
    this.#connections.set(connection, patterns);
    connection.receives_unnamed = true;
  }

  /**
   * Adds a listener, with effect on the server from the next flush; the returned steps make it enter the matching open
   * rooms. Throws `too-many-rooms`, and as the Spine throws.
   */
  add(tenant_id: string, listener: PatternListener): Iterable<void> {
    const { patterns_per_tenant } = this.#options;
    const tenant = this.#tenants.get(tenant_id) ?? this.#begin(tenant_id);
    if (tenant.index.size >= patterns_per_tenant) {
      throw new ArqonError("too-many-rooms", `${patterns_per_tenant} patterns per tenant`);
    }
    tenant.index.add(listener);
    this.counts.patterns++;
    return this.revisit(tenant_id, listener);
  }

  /** Lets a listener enter the matching open rooms, one in each step. */
  *revisit(tenant_id: string, listener: PatternListener): Generator<void> {
    const prefix = listener.pattern.slice(0, -1);
    let looked = 0;
    for (const channel of this.#tenants.get(tenant_id)?.rooms.values() ?? []) {
      if (channel.room_id.startsWith(prefix) && !isOnlyNamed(channel.room_id)) {
        listener.owner.enter(listener, channel);
        yield;
      } else if (++looked % LOOKED_A_STEP === 0) yield;
    }
  }

  /** Removes a listener, which has left its rooms. */
  delete(tenant_id: string, listener: PatternListener): void {
    const tenant = this.#tenants.get(tenant_id);
    if (tenant === undefined) return;
    const before = tenant.index.size;
    tenant.index.delete(listener);
    this.counts.patterns -= before - tenant.index.size;
    this.#endIfUnused(tenant);
  }

  feeds(tenant_id: string, room_id: string): boolean {
    const tenant = this.#tenants.get(tenant_id);
    return tenant !== undefined && tenant.index.matching(room_id).length > 0;
  }

  receivers(tenant_id: string, room_id: string): number {
    return this.#tenants.get(tenant_id)?.held.get(room_id)?.listeners ?? 0;
  }

  opened(channel: Channel): void {
    const tenant = this.#tenants.get(channel.tenant_id);
    if (tenant === undefined) return;
    tenant.rooms.set(channel.room_id, channel);
    if (channel.spine.length === 0) tenant.fed++;
    for (const listeners of tenant.index.matching(channel.room_id)) {
      for (const listener of listeners) listener.owner.enter(listener, channel);
    }
  }

  closed({ tenant_id, room_id, spine }: Channel): void {
    const tenant = this.#tenants.get(tenant_id);
    if (tenant === undefined) return;
    tenant.rooms.delete(room_id);
    if (spine.length === 0) tenant.fed--;
    this.#endIfUnused(tenant);
  }

  /** Called when another connection receives a room by a pattern; closes other rooms if there are too many. */
  joined(tenant_id: string, room_id: string): void {
    const tenant = this.#tenants.get(tenant_id);
    if (tenant === undefined) return;
    const room = tenant.held.get(room_id);
    if (room === undefined) tenant.held.set(room_id, { listeners: 1 });
    else room.listeners++;
    tenant.places++;
    this.counts.rooms++;
    if (tenant.places <= this.#options.pattern_rooms_per_tenant || --tenant.pause >= 0) return;
    tenant.pause = Math.floor(this.#letGo(tenant, room_id) / ASKED_A_JOIN);
  }

  /** Called when one connection less receives a room by a pattern. */
  parted(tenant_id: string, room_id: string): void {
    const tenant = this.#tenants.get(tenant_id);
    const room = tenant?.held.get(room_id);
    if (tenant === undefined || room === undefined) return;
    tenant.places--;
    this.counts.rooms--;
    if (--room.listeners === 0) tenant.held.delete(room_id);
  }

  lost(pattern: string | undefined, reason: "reconnect" | "slow-consumer"): void {
    for (const tenant of this.#tenants.values()) {
      if (pattern === undefined) this.#tellGap(tenant, reason);
      else if (tenant.spine.some((one) => one.pattern === pattern)) {
        this.#tellRooms(tenant, pattern.startsWith("out."), reason);
        this.#tellGap(tenant, reason);
      }
    }
  }

  close(): void {
    for (const { spine } of this.#tenants.values()) {
      for (const subscription of spine) subscription.unsubscribe();
    }
    this.#tenants.clear();
  }

  #begin(tenant_id: string): Tenant {
    const { spine, channels } = this.#options;
    const rooms = new Map<string, Channel>();
    for (const channel of channels.values()) {
      if (channel.tenant_id === tenant_id) rooms.set(channel.room_id, channel);
    }
    const listen = (plane: "in" | "out") =>
      spine.subscribe(
        tenantRoomsPattern(plane, tenant_id),
        (message) => this.#receive(tenant, message),
        { reads_only: true },
      );
    const inward = listen("in");
    let outward: Subscription;
    try {
      outward = listen("out");
    } catch (error) {
      inward.unsubscribe();
      throw error;
    }
    const index = new PatternIndex<PatternListener>();
    const spines = [inward, outward];
    const tenant: Tenant = {
      tenant_id,
      index,
      spine: spines,
      rooms,
      fed: 0,
      held: new Map(),
      places: 0,
      pause: 0,
    };
    this.#tenants.set(tenant_id, tenant);
    return tenant;
  }

  /** Ends the tenant's subscriptions once no pattern, and no room that they feed, is left. */
  #endIfUnused(tenant: Tenant): void {
    if (tenant.index.size > 0 || tenant.fed > 0) return;
    if (this.#tenants.get(tenant.tenant_id) !== tenant) return;
    this.#tenants.delete(tenant.tenant_id);
    for (const subscription of tenant.spine) subscription.unsubscribe();
  }

  /** Receives a message of any room of the tenant. The payload may be shared: it is only read. */
  #receive(tenant: Tenant, { subject, payload, headers, respond }: SpineMessage): void {
    const room_id = subject.slice(subject.lastIndexOf(".") + 1);
    let channel = tenant.rooms.get(room_id);
    if (channel === undefined) {
      if (!isId(room_id)) return void this.#options.stats.malformed++;
      if (tenant.index.matching(room_id).length === 0) return void this.counts.unmatched++;
      this.#options.open(tenant.tenant_id, room_id);
      channel = tenant.rooms.get(room_id);
      // The room has no receiver.
      if (channel === undefined) return;
    }
    const held = tenant.held.get(room_id);
    if (held !== undefined) {
      tenant.held.delete(room_id);
      tenant.held.set(room_id, held);
    }
    // A room with its own subscriptions receives this message by them.
    if (channel.spine.length > 0) return;
    const copy = copyFor(channel)(payload, 0, payload.length);
    this.#options.deliver(channel, { subject, payload: copy, headers, respond });
  }

  /** Closes the longest silent rooms, except this one, down to the limit. Returns how many listeners it has asked. */
  #letGo(tenant: Tenant, but: string): number {
    const { pattern_rooms_per_tenant: most } = this.#options;
    let tries = 0;
    let asked = 0;
    for (const [room_id, room] of tenant.held) {
      if (tenant.places <= most || ++tries > LET_GO_TRIES) break;
      if (room_id === but) continue;
      asked += room.listeners;
      const listeners = tenant.index.matching(room_id).flatMap((some) => [...some]);
      if (this.#isOnlyHeld(tenant, room_id, room, listeners)) {
        for (const { owner } of listeners) owner.release(room_id);
      } else {
        tenant.held.delete(room_id);
        tenant.held.set(room_id, room);
      }
    }
    return asked;
  }

  /**
   * Whether the room closes once patterns leave it: patterns enter a room when it is opened, and at no later message.
   */
  #isOnlyHeld(
    tenant: Tenant,
    room_id: string,
    room: HeldRoom,
    listeners: readonly PatternListener[],
  ): boolean {
    const channel = tenant.rooms.get(room_id);
    return channel !== undefined && channel.pins === 0 &&
      channel.subscribers.size === room.listeners &&
      listeners.every(({ owner }) => owner.mayRelease(room_id));
  }

  /** Notifies the rooms of these subscriptions. */
  #tellRooms({ rooms }: Tenant, is_outward: boolean, reason: string): void {
    for (const channel of rooms.values()) {
      if (channel.spine.length > 0) continue;
      if (channel.durable === undefined) this.#options.tellGap(channel, reason);
      // The room's log has the messages, but not the changes of the room's state.
      else if (is_outward) this.#options.tellGap(channel, "changes-lost");
    }
  }

  /** Notifies the listeners, with the pattern as the room: messages of closed rooms may be lost, too. */
  #tellGap({ tenant_id, index }: Tenant, reason: string): void {
    for (const { pattern, owner } of index.all()) {
      this.#options.stats.gaps++;
      owner.send(gapFrame(this.#options, owner.text, { tenant_id, room_id: pattern }, reason));
    }
  }
}
