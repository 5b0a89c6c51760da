/** Messages as diffs, as SUBs and fan-out ask for them: how they are made is the capability's affair (`deltas/`). */
import type { AskedDeltas } from "@arqon/proto";
import type { Frame } from "./frame_bytes.ts";
import type { Outgoing } from "./outgoing.ts";

/** What a connection still has of what it was sent in all its rooms; only who made it looks into it. */
export type KeptData = object;

/** What a connection says of diffs in a room. */
export interface DeltaWish {
  /** Whether it reads VCDIFF. */
  readonly vcdiff: boolean;
  /** What it keeps of all its rooms; undefined: all that it is sent of this one. */
  readonly kept: KeptData | undefined;
}

/** What a receiver of deltas says of itself. */
export interface DeltaReceiver {
  readonly text: boolean;
  /** The number of the data that the receiver holds, by slot; absent: it did not ask for deltas. */
  readonly bases?: number[] | undefined;
  /** What the connection still has of all its rooms; absent: whatever `bases` says. */
  readonly kept?: KeptData | undefined;
  /** Whether the receiver reads diffs in VCDIFF; absent: it reads Fossil's. */
  readonly vcdiff?: boolean;
  /** Whether what is sent now surely leaves; absent: it does. */
  readonly is_direct?: boolean;
}

/** A frame and its bytes on the wire. */
export interface Sized {
  readonly frame: Frame;
  readonly size_bytes: number;
}

/** A room whose messages may go out as diffs. */
export interface DeltaRoom {
  readonly room_class: { readonly delta: "none" | "fossil" } | undefined;
  /** The data that diffs are made from; only who makes them looks into it. Undefined: none. */
  bases: object | undefined;
}

/** Makes the diffs of a process. */
export interface Deltas {
  /**
   * What a SUB asks for; undefined: nothing. The first of a connection that has `delta_bytes` says it for all
   * that have some: what both sides count alike must not change in the midst of what is on its way.
   */
  wish(
    connection: { kept_bases: KeptData | undefined },
    asked: AskedDeltas,
  ): DeltaWish | undefined;
  /** The forms of a message that is about to be sent; undefined: everybody gets it as it is. */
  of(room: DeltaRoom, outgoing: Outgoing): {
    /**
     * The frame for a receiver, which holds its data from then on; undefined: it gets the message as everybody
     * does, and holds what it held. `may_drop`: the receiver's backlog may yet be left out.
     */
    frameFor(receiver: DeltaReceiver, may_drop: boolean): Sized | undefined;
  } | undefined;
  /** Lets go what is kept of a room: it is closed, or may have missed messages. */
  forget(room: Pick<DeltaRoom, "bases">): void;
}
