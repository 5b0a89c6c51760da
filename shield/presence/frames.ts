/**
 * The frames of presence: events PRESENCE_UPDATE and PRESENCE_LEAVE and the answer to a SUB, whole, in either
 * subprotocol. Each batch and each view is encoded once per form, for any number of connections. `service.ts` selects
 * the connections.
 */
import { type PresenceChange, type PresentMember, type Uint64, utf8Size } from "@arqon/proto";
import {
  encodeAck,
  encodeMsg,
  encodePresenceLeave,
  encodePresenceUpdate,
  encodeTextAck,
  encodeTextMessage,
  presenceLeaveJson,
  presenceUpdateJson,
  readEnvelope,
} from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import { cutPages } from "../../shared/presence/pages.ts";
import { systemEnvelope } from "../../shared/records/system_envelope.ts";
import { EMPTY_ACK } from "../message/request_ref.ts";
import { type Frame, frameBytes } from "../fanout/frame_bytes.ts";
import type { RoomChanges, RoomView } from "./watched_room.ts";

/** The most bytes of members in one frame: a page is small compared with a client's backlog. */
const PAGE_BYTES = 262_144;
/** Bytes for names, numbers and punctuation of one member. */
const MEMBER_OVERHEAD_BYTES = 96;

interface PresenceFramesOptions extends Pick<Env, "now" | "random"> {
  /** The most members in one frame. */
  readonly page_members: number;
}

/** A frame and its size. */
export interface SizedFrame {
  readonly frame: Frame;
  readonly size_bytes: number;
}

type Place = Pick<RoomView, "tenant_id" | "room_id" | "connections" | "users">;

/** The encoded frames of one batch or view, by form. */
interface Encoded {
  changes?: readonly SizedFrame[];
  pages?: SizedFrame[];
  /** The ACKs by request id; most clients use the same few. */
  acks?: Map<Uint64, SizedFrame>;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function sized(frame: Frame): SizedFrame {
  return { frame, size_bytes: frameBytes(frame) };
}

/** An upper bound of a member's bytes in either form. */
function memberBytes({ connection_id, user_id, meta }: PresentMember): number {
  return MEMBER_OVERHEAD_BYTES + connection_id.length + 2 * utf8Size(user_id) + utf8Size(meta);
}

/** Makes all presence frames of one Shield. */
export class PresenceFrames {
  readonly #options: PresenceFramesOptions;
  readonly #text = new WeakMap<RoomChanges | RoomView, Encoded>();
  readonly #binary = new WeakMap<RoomChanges | RoomView, Encoded>();
  readonly #pages = new WeakMap<RoomView, readonly (readonly PresentMember[])[]>();
  readonly #results = new WeakMap<RoomView, Uint8Array>();

  constructor(options: PresenceFramesOptions) {
    this.#options = options;
  }

  /** The events of one batch: joined and changed members, then left ones. */
  changes(changes: RoomChanges, text: boolean): readonly SizedFrame[] {
    const encoded = this.#encodedOf(changes, text);
    return encoded.changes ??= [
      ...this.#cut(changes.updates).map((members) =>
        this.#event("PRESENCE_UPDATE", changes, { members }, text)
      ),
      ...this.#cut(changes.leaves).map((members) =>
        this.#event("PRESENCE_LEAVE", changes, { members }, text)
      ),
    ];
  }

  /** The ACK of a SUB with the first page and, in a durable room, the position. */
  ack(
    view: RoomView,
    request_id: Uint64,
    text: boolean,
    log?: { readonly offset: number; readonly members: string },
  ): SizedFrame {
    if (log !== undefined) {
      const result = decoder.decode(this.#result(view)).slice(0, -1);
      const result_bytes = encoder.encode(`${result},${log.members}}`);
      const ack = { ...EMPTY_ACK, request_id, offset: log.offset, result: result_bytes };
      return sized(text ? encodeTextAck(ack) : encodeAck(ack));
    }
    const acks = this.#encodedOf(view, text).acks ??= new Map();
    const known = acks.get(request_id);
    if (known !== undefined) return known;
    const ack = { ...EMPTY_ACK, request_id, result: this.#result(view) };
    const frame = sized(text ? encodeTextAck(ack) : encodeAck(ack));
    acks.set(request_id, frame);
    return frame;
  }

  /**
   * The pages from number `first` (0 or 1) on, as events, each made on call, as a room may have hundreds. An empty room
   * has one empty page.
   */
  pages(view: RoomView, first: number, text: boolean): readonly (() => SizedFrame)[] {
    const encoded = this.#encodedOf(view, text).pages ??= [];
    return this.#pagesOf(view).map((members, index) => () =>
      encoded[index] ??= this.#event("PRESENCE_UPDATE", view, { members, snapshot: true }, text)
    ).slice(first);
  }

  #encodedOf(of: RoomChanges | RoomView, text: boolean): Encoded {
    const known = text ? this.#text : this.#binary;
    let encoded = known.get(of);
    if (encoded === undefined) known.set(of, encoded = {});
    return encoded;
  }

  #pagesOf(view: RoomView): readonly (readonly PresentMember[])[] {
    return this.#pages.getOrInsertComputed(view, () => {
      const cut = this.#cut(view.members);
      return cut.length === 0 ? [[]] : cut;
    });
  }

  #cut(members: readonly PresentMember[]): readonly (readonly PresentMember[])[] {
    if (members.length === 0) return [];
    const { page_members } = this.#options;
    return cutPages(members, memberBytes, PAGE_BYTES)
      .flatMap((part) => cutPages(part, () => 1, page_members));
  }

  #result(view: RoomView): Uint8Array {
    return this.#results.getOrInsertComputed(view, () => {
      const pages = this.#pagesOf(view);
      const { connections, users } = view;
      const first = presenceUpdateJson({ members: pages[0] ?? [], connections, users });
      return encoder.encode(`${first.slice(0, -1)},"pages":${pages.length}}`);
    });
  }

  #event(
    type: "PRESENCE_UPDATE" | "PRESENCE_LEAVE",
    { tenant_id, room_id, connections, users }: Place,
    part: Pick<PresenceChange, "members" | "snapshot">,
    text: boolean,
  ): SizedFrame {
    const change: PresenceChange = { ...part, connections, users };
    const is_update = type === "PRESENCE_UPDATE";
    const json = is_update ? presenceUpdateJson : presenceLeaveJson;
    const binary = is_update ? encodePresenceUpdate : encodePresenceLeave;
    const data = text ? encoder.encode(json(change)) : binary(change);
    const content_type = text ? "application/json" : "application/protobuf";
    const envelope = systemEnvelope(this.#options, {
      tenant_id,
      room_id,
      event: { type, data, content_type },
    });
    return sized(text ? encodeTextMessage(readEnvelope(envelope)) : encodeMsg(envelope));
  }
}
