/** Messages as diffs, for SUBs and fan-out; the deltas capability makes them (`deltas/`). */
import type { AskedDeltas } from "@arqon/proto";
import type { Frame } from "./frame_bytes.ts";
import type { Outgoing } from "./room_message.ts";

/** A connection's request for diffs in a room. */
export interface DeltaWish {
  /** Whether it reads VCDIFF. */
  readonly vcdiff: boolean;
  /** The data it keeps of all its rooms, opaque to fan-out; undefined: everything that it is sent of this one. */
  readonly kept: object | undefined;
}

/** A receiver, for deltas. */
export interface DeltaReceiver {
  readonly text: boolean;
  /** Its request, and the number of its data by slot; absent: it did not request deltas. */
  readonly deltas?: DeltaWish & { readonly bases: number[] } | undefined;
  /** Whether a frame sent now cannot be dropped; absent: it cannot. */
  readonly is_direct?: boolean;
}

/** A frame and its bytes on the wire. */
export interface Sized {
  readonly frame: Frame;
  readonly size_bytes: number;
}

/** A room whose messages may be sent as diffs. */
export interface DeltaRoom {
  readonly room_class: { readonly delta: "none" | "fossil" } | undefined;
  /** The data that diffs are made from; opaque to fan-out. Undefined: none. */
  bases: object | undefined;
}

/** Makes the diffs of a process. */
export interface Deltas {
  /**
   * The request of a SUB; undefined: none. A connection's first one with `delta_bytes` sets it for all: what both sides
   * count must not change while messages are in transit.
   */
  wish(
    connection: object,
    request: AskedDeltas,
  ): DeltaWish | undefined;
  /** The forms of a message that is about to be sent; undefined: every receiver gets the whole message. */
  of(room: DeltaRoom, outgoing: Outgoing): {
    /**
     * The frame for a receiver, which keeps its data from then on; undefined: it gets the whole message, and keeps what
     * it had. `may_drop`: the receiver's backlog may still be dropped.
     */
    frameFor(receiver: DeltaReceiver, may_drop: boolean): Sized | undefined;
  } | undefined;
  /** Drops the data of a room: it is closed, or may have missed messages. */
  forget(room: Pick<DeltaRoom, "bases">): void;
}
