/**
 * Fan-out: which connection of this process hears which room. One pair of Spine subscriptions a
 * room, one encoding a message and form for all receivers. Knows nothing of tokens or grants.
 */
import { DecodeError, encodeMsg, encodeTextMessage, readEnvelope } from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";
import type { Random } from "../shared/ids.ts";
import type { Spine, SpineEvent, SpineMessage, Subscription } from "../shared/spine/spine.ts";
import { roomSubject } from "../shared/subject.ts";
import { systemEnvelope } from "../shared/system_envelope.ts";
import { messageKey, SeenMessages } from "./deduplicate.ts";
import { frameBytes } from "./frame_bytes.ts";
import type { Frame } from "./frame_bytes.ts";
import type { ShieldStats } from "./stats.ts";

/** Spine header with the connection that published; sent only when that connection asked for no echo. */
export const ORIGIN_HEADER = "x-arqon-origin";

/** One connection's subscription to one room. */
export interface Subscriber {
  readonly connection_id: string;
  readonly text: boolean;
  readonly no_echo: boolean;
  send(frame: Frame): void;
}

/** What fan-out needs of the process. `deduplication_entries` is for each tenant. */
export interface HubOptions {
  spine: Spine;
  stats: ShieldStats;
  now: () => number;
  random: Random;
  deduplication_entries: number;
}

interface Channel {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly seen: SeenMessages;
  readonly subscribers: Set<Subscriber>;
  readonly spine: Subscription[];
}

/** An envelope from a backend; it must not speak for another tenant or room than its subject. */
function readForeign({ tenant_id, room_id }: Channel, payload: Uint8Array): PlainEnvelope {
  const plain = readEnvelope(payload);
  const tenant_fits = plain.tenant_id === "" || plain.tenant_id === tenant_id;
  if (tenant_fits && (plain.room_id === "" || plain.room_id === room_id)) return plain;
  throw new DecodeError("invalid-field", "tenant_id or room_id is not that of the subject");
}

/** Which of this process's connections hear which rooms; one for the whole process. */
export class Hub {
  readonly #options: HubOptions;
  readonly #channels = new Map<string, Channel>();
  /** By tenant, so that one tenant's messages never push out another's ids. */
  readonly #tenants = new Map<string, { seen: SeenMessages; channels: number }>();
  readonly #stopEvents: () => void;

  constructor(options: HubOptions) {
    this.#options = options;
    this.#stopEvents = options.spine.onEvent((event) => this.#onSpineEvent(event));
  }

  /** Takes effect at the server with the next flush. Throws what the Spine throws. */
  subscribe(tenant_id: string, room_id: string, subscriber: Subscriber): void {
    const key = roomSubject("in", tenant_id, room_id);
    const channel = this.#channels.get(key) ?? this.#open(key, tenant_id, room_id);
    channel.subscribers.add(subscriber);
    this.#options.stats.subscriptions++;
  }

  unsubscribe(tenant_id: string, room_id: string, subscriber: Subscriber): void {
    const key = roomSubject("in", tenant_id, room_id);
    const channel = this.#channels.get(key);
    if (channel === undefined || !channel.subscribers.delete(subscriber)) return;
    this.#options.stats.subscriptions--;
    if (channel.subscribers.size > 0) return;
    this.#channels.delete(key);
    this.#options.stats.rooms--;
    for (const subscription of channel.spine) subscription.unsubscribe();
    const tenant = this.#tenants.get(tenant_id);
    if (tenant !== undefined && --tenant.channels === 0) this.#tenants.delete(tenant_id);
  }

  close(): void {
    this.#stopEvents();
    for (const channel of this.#channels.values()) {
      for (const subscription of channel.spine) subscription.unsubscribe();
    }
    this.#channels.clear();
    this.#tenants.clear();
  }

  #open(key: string, tenant_id: string, room_id: string): Channel {
    const tenant = this.#tenants.get(tenant_id) ??
      { seen: new SeenMessages(this.#options.deduplication_entries), channels: 0 };
    const { seen } = tenant;
    const channel: Channel = { tenant_id, room_id, seen, subscribers: new Set(), spine: [] };
    const deliver = (message: SpineMessage) => this.#deliver(channel, message);
    try {
      for (const plane of ["in", "out"] as const) {
        const subject = roomSubject(plane, tenant_id, room_id);
        channel.spine.push(this.#options.spine.subscribe(subject, deliver));
      }
    } catch (error) {
      for (const subscription of channel.spine) subscription.unsubscribe();
      throw error;
    }
    this.#channels.set(key, channel);
    this.#tenants.set(tenant_id, tenant);
    tenant.channels++;
    this.#options.stats.rooms++;
    return channel;
  }

  #deliver(channel: Channel, message: SpineMessage): void {
    const { stats, now } = this.#options;
    const { subject, payload } = message;
    try {
      // What is on `in` has passed a Shield; on `out` any backend may write anything.
      const plain = subject.startsWith("out.") ? readForeign(channel, payload) : undefined;
      const id = messageKey(payload);
      if (id !== "" && channel.seen.repeated(`${subject} ${id}`, now())) stats.duplicates++;
      else this.#fanOut(channel, payload, message.headers[ORIGIN_HEADER], plain);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      stats.malformed++;
    }
  }

  /** One encoding for each form, made for its first receiver; `plain` is `envelope` when it is known. */
  #fanOut(
    channel: Channel,
    envelope: Uint8Array,
    origin: string | undefined,
    plain: PlainEnvelope | undefined,
  ): void {
    const { stats } = this.#options;
    const encode = (text: boolean) => {
      const frame = text ? encodeTextMessage(plain ?? readEnvelope(envelope)) : encodeMsg(envelope);
      return { frame, size_bytes: frameBytes(frame) };
    };
    let binary: ReturnType<typeof encode> | undefined;
    let text: ReturnType<typeof encode> | undefined;
    for (const subscriber of channel.subscribers) {
      if (subscriber.no_echo && origin === subscriber.connection_id) continue;
      const { frame, size_bytes } = subscriber.text
        ? (text ??= encode(true))
        : (binary ??= encode(false));
      stats.egress_messages++;
      stats.egress_bytes += size_bytes;
      subscriber.send(frame);
    }
  }

  /** Tells the subscribers of every room that may have missed messages. */
  #onSpineEvent(event: SpineEvent): void {
    if (event.type !== "gap") return;
    if (event.pattern === undefined) {
      for (const channel of this.#channels.values()) this.#tellGap(channel, event.reason);
      return;
    }
    // The Spine may be shared with a Brain, whose patterns concern no room of ours.
    const key = event.pattern.replace(/^out\./, "in.");
    const channel = this.#channels.get(key);
    if (channel !== undefined) this.#tellGap(channel, event.reason);
  }

  #tellGap(channel: Channel, reason: string): void {
    const { tenant_id, room_id } = channel;
    this.#options.stats.gaps++;
    const envelope = systemEnvelope(this.#options, {
      tenant_id,
      room_id,
      signal: { kind: "GAP", target: room_id, reason, until_ms: 0 },
    });
    this.#fanOut(channel, envelope, undefined, undefined);
  }
}
