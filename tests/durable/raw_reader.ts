/**
 * One client of a durable run that speaks the wire itself, binary or text: it subscribes with its
 * position after every loss of its connection, and now and then begins anew without one. It records
 * every frame that it gets; the SDK would hide repeats.
 */
import { decodeServerFrame, encodePong, encodeSub, encodeTextPong } from "@arqon/proto";
import type { Ack, PlainEnvelope, ServerFrame } from "@arqon/proto";
import { pace } from "../../shared/testing/pace.ts";
import { until } from "../../shared/testing/until.ts";
import type { Random } from "../presence_simulation/random.ts";
import type { ReaderOptions, Standing } from "./reader.ts";
import { hashBytes } from "./recording.ts";
import type { OpenSubscriber } from "./recording.ts";
import { readTextFrame } from "./text_frame.ts";

/** As a `Reader`, with the subprotocol. */
export interface RawReaderOptions extends ReaderOptions {
  readonly subprotocol: "arqon.v1" | "arqon.v1.json";
}

interface Place {
  readonly room_id: string;
  readonly subscriber: OpenSubscriber;
  position: { offset: number; epoch: string } | undefined;
  /** Asked with the SUB that has no answer yet. */
  asked: boolean;
}

const HANDSHAKE_MS = 3_000;
const RETRY_MS = 200;
/** How often it closes its connection by itself, in ms on average; and how often it forgets a place. */
const CLOSE_MS = 5_000;
const FORGET = 0.1;
const NORMAL = 1000;

/** Reads until `close`. */
export class RawReader implements Standing {
  readonly name: string;
  readonly rooms: readonly string[];
  readonly #options: RawReaderOptions;
  readonly #random: Random;
  readonly #places: ReadonlyMap<string, Place>;
  readonly #asked = new Map<number, Place>();
  #socket: WebSocket | undefined;
  #last_id = 0;
  #roaming = true;
  #over = false;
  #running: Promise<void> | undefined;

  constructor(options: RawReaderOptions) {
    [this.#options, this.#random] = [options, options.random];
    [this.name, this.rooms] = [options.name, options.rooms];
    this.#places = new Map(options.rooms.map((room_id) => {
      const subscriber = options.recorder.subscriber(room_id, options.name);
      return [room_id, { room_id, subscriber, position: undefined, asked: false }];
    }));
  }

  offsetOf(room_id: string): number | undefined {
    return this.#places.get(room_id)?.position?.offset;
  }

  /** Resolves when it is subscribed to everything for the first time. */
  async open(): Promise<void> {
    this.#running = this.#run();
    const places = [...this.#places.values()];
    await until("it is subscribed", () => places.every(({ position }) => position !== undefined));
  }

  /** From now on it only comes back when it was cut off. */
  settle(): void {
    this.#roaming = false;
  }

  async close(): Promise<void> {
    this.#over = true;
    this.#socket?.close(NORMAL);
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#over) {
      await this.#session();
      this.#asked.clear();
      for (const place of this.#places.values()) {
        place.subscriber.sights.push({ kind: "disconnected" });
        if (this.#roaming && this.#random.chance(FORGET)) place.position = undefined;
      }
      await pace(this.#random.int(0, RETRY_MS));
    }
  }

  /** One connection from its begin to its end. */
  #session(): Promise<void> {
    const { url, token, subprotocol } = this.#options;
    const socket = new WebSocket(`${url}/v1/socket`, [subprotocol, `arqon.token.${token}`]);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    const { promise, resolve } = Promise.withResolvers<void>();
    const handshake = setTimeout(() => resolve(), HANDSHAKE_MS);
    const life_ms = this.#random.int(0, 2 * CLOSE_MS);
    const life = setTimeout(() => this.#roaming && resolve(), HANDSHAKE_MS + life_ms);
    socket.onclose = socket.onerror = () => resolve();
    socket.onmessage = ({ data }) => {
      clearTimeout(handshake);
      try {
        this.#take(
          typeof data === "string" ? readTextFrame(data) : decodeServerFrame(
            new Uint8Array(data),
          ),
        );
      } catch (error) {
        this.#surprise(`got a frame that it cannot read: ${error}`);
        resolve();
      }
    };
    return promise.finally(() => {
      clearTimeout(handshake);
      clearTimeout(life);
      socket.onmessage = socket.onclose = socket.onerror = null;
      socket.close();
    });
  }

  #take(frame: ServerFrame): void {
    switch (frame.kind) {
      case "welcome":
        for (const place of this.#places.values()) this.#subscribe(place);
        return;
      case "ack":
        return this.#onAck(frame.ack);
      case "msg":
        return this.#onMessage(frame.envelope);
      case "batch":
        return frame.envelopes.forEach((envelope) => this.#onMessage(envelope));
      case "ping":
        this.#send(this.#text ? encodeTextPong(frame.body) : encodePong(frame.body));
        return;
      case "err":
        return this.#surprise(`got ERR ${frame.code}: ${frame.message}`);
      case "pong":
        return;
    }
  }

  get #text(): boolean {
    return this.#options.subprotocol === "arqon.v1.json";
  }

  #send(frame: string | Uint8Array<ArrayBuffer>): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(frame);
  }

  #subscribe(place: Place): void {
    const id = ++this.#last_id;
    const { room_id, position } = place;
    this.#asked.set(id, place);
    place.asked = position !== undefined;
    const from = position === undefined
      ? {}
      : { after_offset: position.offset, epoch: position.epoch };
    this.#send(
      this.#text
        ? JSON.stringify({ op: "sub", room: room_id, id, ...from })
        : encodeSub({ room_id, request_id: id, batch: true, ...from }),
    );
  }

  #onAck({ request_id, code, reason, result, offset: at }: Ack): void {
    const place = this.#asked.get(Number(request_id));
    if (place === undefined) return;
    this.#asked.delete(Number(request_id));
    if (code !== 0) {
      if (code !== 503) this.#surprise(`was refused ${place.room_id}: ${reason}`);
      const socket = this.#socket;
      setTimeout(() => this.#socket === socket && this.#subscribe(place), RETRY_MS);
      return;
    }
    const answer = JSON.parse(new TextDecoder().decode(result));
    const { recovered, reason: why = "", offset, epoch } = answer;
    const members = place.asked
      ? `recovered,${recovered === true ? "" : "reason,"}offset,epoch`
      : "offset,epoch";
    if (Object.keys(answer).join() !== members || Number(at) !== offset) {
      this.#surprise(`got the answer ${JSON.stringify(answer)} to SUB, offset ${at}`);
    }
    place.subscriber.sights.push({ kind: "subscribed", recovered, reason: why, epoch, offset });
    // The offset is the room's: what is recovered comes before it.
    const from = recovered === true ? place.position?.offset ?? offset : offset;
    place.position = { offset: from, epoch };
  }

  #onMessage({ room_id, offset: at, message_id, event, signal }: PlainEnvelope): void {
    // A Shield that will stop says so to everybody, in no room. It stays until it is cut off.
    if (room_id === "" && signal?.kind === "DRAIN") return;
    const place = this.#places.get(room_id);
    if (place === undefined) return this.#surprise(`got a message of ${room_id}`);
    const { sights } = place.subscriber;
    if (signal !== undefined) {
      sights.push({ kind: "gap", reason: `${signal.kind} ${signal.reason}` });
      return this.#subscribe(place);
    }
    const offset = Number(at);
    const { epoch = "" } = place.position ?? {};
    const hash = hashBytes(event?.data ?? new Uint8Array());
    sights.push({ kind: "message", epoch, offset, message_id, hash });
    place.position = { offset, epoch };
  }

  #surprise(what: string): void {
    this.#options.onSurprise(`${this.name}: ${what}`);
  }
}
