/**
 * A subscriber of a room while policies judge whether it may receive it: messages wait meanwhile, within a limit.
 * `subscribed_patterns.ts` calls the policies.
 */
import type { Identity } from "../auth/identity.ts";
import type { Filter } from "../fanout/filters.ts";
import type { RoomMessage } from "../fanout/backlog.ts";
import type { Subscriber } from "../fanout/channel.ts";
import type { Recipient } from "../fanout/room_subscriber.ts";
import { type Frame, frameBytes } from "../fanout/frame_bytes.ts";

/** The most frames that wait for one verdict; beyond that all are lost, which is reported. */
const HELD_FRAMES = 1_024;
const HELD_BYTES = 262_144;

type Wish = Required<Pick<Subscriber, "no_echo" | "filter">>;

/** A place in the ledger, and its time there, Unix ms. */
interface Began {
  readonly since: number;
  readonly since_ms: number;
}

/** The subscriber of a connection whose admission policies still judge. */
export class HeldSubscriber implements Subscriber {
  readonly connection_id: string;
  readonly text: boolean;
  no_echo: boolean;
  filter: Filter | undefined;
  readonly number: number;
  /** The ledger's position from which messages are queued, and its time in Unix ms; undefined: none are queued. */
  began: Began | undefined;
  readonly #connection: Pick<Recipient, "identity">;
  readonly #place: () => Began;
  /** Whether messages were lost because too many arrived. */
  has_lost = false;
  #frames: { readonly frame: Frame; readonly message: RoomMessage | undefined }[] = [];
  #bytes = 0;

  /** `place` is the ledger's position of the message being sent. */
  constructor(
    connection: Pick<Recipient, "id" | "text" | "identity" | "number">,
    wish: Wish,
    place: () => Began,
  ) {
    this.number = connection.number;
    this.#place = place;
    this.connection_id = connection.id;
    this.text = connection.text;
    this.no_echo = wish.no_echo;
    this.filter = wish.filter;
    this.#connection = connection;
    this.began = place();
  }

  get identity(): Identity {
    return this.#connection.identity;
  }

  /** Changes the options from now on. */
  ask({ no_echo, filter }: Wish): void {
    this.no_echo = no_echo;
    this.filter = filter;
  }

  send(frame: Frame, message?: RoomMessage): void {
    this.#bytes += frameBytes(frame);
    if (this.#frames.length < HELD_FRAMES && this.#bytes <= HELD_BYTES) {
      this.began ??= this.#place();
      this.#frames.push({ frame, message });
      return;
    }
    this.has_lost = true;
    this.began = undefined;
    this.#frames = [];
    this.#bytes = 0;
  }

  /** Delivers the queue; `pattern` is the pattern of the room's class, for the counts. */
  release(to: Subscriber, pattern: string): void {
    for (const { frame, message } of this.#frames) {
      to.use?.caughtUp(pattern, frameBytes(frame));
      to.send(frame, message);
    }
    this.#frames = [];
  }
}
