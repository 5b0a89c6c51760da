/**
 * Decides about each message that the Spine brings for one room of this process: whether it is due, is
 * a repetition, or comes after a hole that its subscribers must be notified of first. Rooms with a log have
 * offsets for their messages; the changes of their state come this way, too.
 */
import type { PlainEnvelope } from "@arqon/proto";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";
import { HeardChanges, readChange } from "./room_changes.ts";
import { HeardOrder, ORDER_HEADER } from "../message/room_order.ts";

/** Why a GAP comes before a message: messages are missing, or changes of the room's state. */
export type Hole = "lost" | "changes-lost";

/**
 * The verdict on a message. `repeated`: the servers delivered it before. `again`: it was sent again, for clients that
 * had not received it.
 */
export type Received = "due" | "repeated" | "again" | Hole;

/** The reception of one room that is open. */
export class Reception {
  readonly #opened_ms: number;
  /** The order of what Shields publish on NATS; undefined until a message with an order has come. */
  #order: HeardOrder | undefined;
  #changes: HeardChanges | undefined;
  /**
   * True when the connection was lost and nothing has come since: the loss is reported before the next
   * message.
   */
  is_cut = false;

  /** `opened_ms` is monotonic. */
  constructor(opened_ms: number) {
    this.#opened_ms = opened_ms;
  }

  /**
   * Judges a message. `plain` is the envelope of one that did not come from a Shield; `now` is called for changes only.
   */
  receive(plain: PlainEnvelope | undefined, headers: SpineHeaders, now: () => number): Received {
    if (plain === undefined) {
      const said = headers[ORDER_HEADER];
      if (said === undefined) return "due";
      const heard = (this.#order ??= new HeardOrder()).hear(said);
      return heard === "next" ? "due" : heard === "hole" ? "lost" : "repeated";
    }
    const change = readChange(plain, headers);
    if (change === undefined) return "due";
    const heard = (this.#changes ??= new HeardChanges(this.#opened_ms)).hear(change, now());
    if (heard === "next") return "due";
    if (heard === "hole") return "changes-lost";
    return change.again_ms === undefined ? "repeated" : "again";
  }

  /** Subscribers were notified that messages may be missing. */
  gapTold(): void {
    this.is_cut = false;
    this.#order?.gapTold();
  }
}
