/**
 * Shared work of all readers of events: the bytes of a message are made once for all, and readers that get the same
 * bytes in a turn share the write. `sse_socket.ts` has one connection.
 */
import { Turns } from "../../shared/turns/fair_turns.ts";
import { type WireMember, type WireRun, WireTurn } from "../socket/wire_turn.ts";
import { eventBytes, factsOf, idBytes, type MessageFacts } from "./event_text.ts";
import { positionText } from "./positions.ts";

/** The most readers that end in one turn: a crowd that leaves at once must not stop the others. */
const ENDS_A_TURN = 16;

class MessageEventBytes {
  readonly facts: MessageFacts;
  /** The event without an id. */
  readonly body: Uint8Array<ArrayBuffer>;
  #epoch: string | undefined;
  #with_id: Uint8Array<ArrayBuffer> | undefined;

  constructor(frame: string) {
    this.facts = factsOf(frame);
    this.body = eventBytes(this.facts.name, frame);
  }

  /** The event with the id of a reader of only this room, in this epoch. */
  withId(epoch: string): Uint8Array<ArrayBuffer> {
    if (this.#with_id !== undefined && this.#epoch === epoch) return this.#with_id;
    const id = idBytes(positionText({ epoch, offset: this.facts.offset }));
    const whole = new Uint8Array(id.length + this.body.length);
    whole.set(id);
    whole.set(this.body, id.length);
    this.#epoch = epoch;
    return this.#with_id = whole;
  }
}

/** The readers of events of one process. */
export class EventReaders {
  /** Ends of readers, a few a turn. */
  readonly ends = new Turns(ENDS_A_TURN);
  open = 0;
  readonly #turn = new WireTurn();
  #frame: string | undefined;
  #event: MessageEventBytes | undefined;

  /** A message's event; the same frame several times in a row is made into an event once. */
  eventOf(frame: string): MessageEventBytes {
    if (this.#event !== undefined && this.#frame === frame) return this.#event;
    this.#frame = frame;
    return this.#event = new MessageEventBytes(frame);
  }

  /** The run with more bytes; without a run, a new one. */
  extend(run: WireRun | undefined, bytes: Uint8Array<ArrayBuffer>): WireRun {
    return this.#turn.extend(run, bytes);
  }

  /** Calls the member's `endTurn` once, when this turn's jobs have run. */
  add(member: WireMember): void {
    this.#turn.add(member);
  }
}
