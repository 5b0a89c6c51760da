/**
 * One SDK client of a durable run that reads some rooms, and if it is one that roams closes its
 * connection again and again and comes back with its position. What it records is what a program sees
 * in its loops; the wire is `raw_reader.ts`.
 */
import { connect } from "../../sdk/typescript/mod.ts";
import type { Connection, Message, Position, Subscription } from "../../sdk/typescript/mod.ts";
import { pace } from "../../shared/testing/pace.ts";
import type { Random } from "../presence_simulation/random.ts";
import { hashBytes } from "./recording.ts";
import type { OpenSubscriber, Recorder } from "./recording.ts";
import { TIMES } from "./times.ts";
import type { Range } from "../faults/fault.ts";

/** Who reads what. */
export interface ReaderOptions {
  readonly name: string;
  readonly url: string;
  readonly token: string;
  readonly rooms: readonly string[];
  readonly recorder: Recorder;
  readonly random: Random;
  readonly onSurprise: (text: string) => void;
}

/** Where a reader of either kind stands. */
export interface Standing {
  /** The name in the recording. */
  readonly name: string;
  readonly rooms: readonly string[];
  /** The last offset that it saw or was told to go on from; undefined: not subscribed yet. */
  offsetOf(room_id: string): number | undefined;
}

interface Place {
  readonly subscriber: OpenSubscriber;
  position: Position | undefined;
  /** Of a loss, since the last message whose epoch was known. */
  is_told: boolean;
}

/** How long one that roams is away, at most. */
const AWAY_MS = 2_000;

/** It stays the same subscriber over any number of connections. */
export class Reader implements Standing {
  readonly name: string;
  readonly rooms: readonly string[];
  readonly #options: ReaderOptions;
  readonly #places: ReadonlyMap<string, Place>;
  #connection: Connection | undefined;
  #loops: Promise<void>[] = [];
  #closing = false;

  constructor(options: ReaderOptions) {
    this.#options = options;
    [this.name, this.rooms] = [options.name, options.rooms];
    this.#places = new Map(options.rooms.map((room_id) => [room_id, {
      subscriber: options.recorder.subscriber(room_id, options.name),
      position: undefined,
      is_told: false,
    }]));
  }

  offsetOf(room_id: string): number | undefined {
    const offset = this.#places.get(room_id)?.position?.offset;
    return offset === undefined ? undefined : Number(offset);
  }

  /** Connects and reads on from where it was. Resolves when it is subscribed to everything. */
  async open(): Promise<void> {
    const { url, token } = this.#options;
    this.#closing = false;
    const connection = await connect({ url, token, ...TIMES });
    this.#connection = connection;
    const subscribed = [...this.#places].map(([room_id, place]) => {
      const position = place.position === undefined ? {} : { position: place.position };
      const subscription = connection.room(room_id).subscribe(position);
      const ready = subscription.ready.then(() => this.#onReady(subscription, place));
      this.#loops.push(this.#follow(subscription, place, ready));
      return ready;
    });
    await Promise.all(subscribed);
  }

  /** Closes in order; `open` comes back. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#connection?.close();
    await Promise.all(this.#loops.splice(0));
    for (const { subscriber } of this.#places.values()) {
      subscriber.sights.push({ kind: "disconnected" });
    }
  }

  /** Comes and goes until the signal; it is there when this resolves. */
  async roam(signal: AbortSignal, [low, high]: Range): Promise<void> {
    const { random } = this.#options;
    while (!signal.aborted) {
      await pace(random.int(low, high));
      await this.close();
      await pace(random.int(0, AWAY_MS));
      await this.open();
    }
  }

  #onReady({ position, recovered }: Subscription, place: Place): void {
    if (position?.epoch === undefined) {
      return this.#surprise("is subscribed without a position");
    }
    const { epoch } = position;
    const before = place.position;
    const lost = before?.epoch === epoch ? "not recovered" : "epoch-changed";
    const reason = recovered === false ? lost : "";
    const offset = Number(position.offset);
    const came_back = before === undefined ? undefined : recovered;
    place.subscriber.sights.push({
      kind: "subscribed",
      recovered: came_back,
      reason,
      epoch,
      offset,
    });
    place.position = came_back === true ? { offset: before?.offset ?? 0, epoch } : position;
    place.is_told = false;
  }

  /** Ends when the client closes its connection, and never before. */
  async #follow(
    subscription: Subscription,
    place: Place,
    ready: Promise<void>,
  ): Promise<void> {
    let why = "without an error";
    try {
      await ready;
      for await (const message of subscription) this.#take(message, place);
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
    if (!this.#closing) this.#surprise(`its subscription of ${subscription.room} ended: ${why}`);
  }

  #take({ signal, offset, epoch, message_id, data }: Message, place: Place): void {
    const { sights } = place.subscriber;
    if (signal !== undefined) {
      sights.push({ kind: "gap", reason: `${signal.kind} ${signal.reason}` });
      place.is_told = true;
      return;
    }
    const { epoch: known = "", offset: at = 0 } = place.position ?? {};
    if (epoch !== "" && known !== "" && epoch !== known && !place.is_told) {
      // The connection came back by itself, and the SDK says that nothing is lost by it.
      const again = { recovered: true, reason: "", epoch, offset: Number(at) };
      sights.push({ kind: "subscribed", ...again });
    }
    if (epoch !== "") place.is_told = false;
    place.position = { offset, epoch };
    const hash = hashBytes(data);
    sights.push({ kind: "message", epoch, offset: Number(offset), message_id, hash });
  }

  #surprise(what: string): void {
    this.#options.onSurprise(`${this.name}: ${what}`);
  }
}
