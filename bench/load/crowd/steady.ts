/**
 * A publisher and a subscriber of a room at a constant rate, independent of deliveries: the effect of a load on another
 * client. It measures consecutive phases.
 */
import { delaysOf } from "../../measure/statistics.ts";
import type { WireConnection, WireSpec } from "../targets/target.ts";
import { ARQON_WIRE } from "../wires/wire_arqon.ts";
import { Body, stampOf, unixMs } from "./measure.ts";

/** The sent and received messages of the pair in one phase. */
export interface SteadyPhase {
  readonly sent: number;
  readonly received: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
  /** Longest time without a message. */
  readonly silence_ms: number;
}

interface Phase {
  readonly from_ms: number;
  sent: number;
  readonly latencies_ms: number[];
  silence_ms: number;
}

const ROOM = "steady";
const BODY_BYTES = 64;
const TICK_MS = 1;

/** A connected pair. A message belongs to the phase of its stamp. */
export class SteadyPair implements Disposable {
  readonly #connections: WireConnection[] = [];
  readonly #phases: Phase[] = [];
  #received_ms = unixMs();
  #timer: ReturnType<typeof setInterval> | undefined;

  /**
   * Connects and starts to publish this many messages per second. Latencies start when a message was `due`, or `sent`.
   */
  static async open(wire: WireSpec, rate: number, from: "due" | "sent"): Promise<SteadyPair> {
    const pair = new SteadyPair();
    const onProblem = () => {};
    const open = async (onMessage: (body: Uint8Array) => void) => {
      const options = { tenant: 0, batch: false, onMessage, onProblem };
      const connection = await ARQON_WIRE.open(wire, options);
      pair.#connections.push(connection);
      return connection;
    };
    const publisher = await open(() => {});
    await (await open((body) => pair.#receive(stampOf(body)))).subscribe(ROOM);
    pair.begin();
    const body = new Body(BODY_BYTES);
    const began_ms = unixMs();
    let made = 0;
    pair.#timer = setInterval(() => {
      const now_ms = unixMs();
      for (; made < Math.floor((now_ms - began_ms) * rate / 1_000); made++) {
        const due_ms = began_ms + (made + 1) * 1_000 / rate;
        const stamp_ms = from === "due" ? due_ms : now_ms;
        publisher.publish(ROOM, body.stamped(stamp_ms));
        pair.#phaseAt(stamp_ms).sent++;
      }
    }, TICK_MS);
    return pair;
  }

  begin(): void {
    const from_ms = this.#received_ms = unixMs();
    this.#phases.push({ from_ms, sent: 0, latencies_ms: [], silence_ms: 0 });
  }

  /** The results of each phase so far, in order. */
  read(): SteadyPhase[] {
    const last = this.#phases.at(-1)!;
    last.silence_ms = Math.max(last.silence_ms, unixMs() - this.#received_ms);
    return this.#phases.map(({ sent, latencies_ms, silence_ms }) => (
      { sent, received: latencies_ms.length, ...delaysOf(latencies_ms), silence_ms }
    ));
  }

  #phaseAt(stamp_ms: number): Phase {
    return this.#phases.findLast(({ from_ms }) => from_ms <= stamp_ms) ?? this.#phases[0]!;
  }

  #receive(stamp_ms: number): void {
    const now_ms = unixMs();
    this.#phaseAt(stamp_ms).latencies_ms.push(now_ms - stamp_ms);
    const current = this.#phases.at(-1)!;
    current.silence_ms = Math.max(current.silence_ms, now_ms - this.#received_ms);
    this.#received_ms = now_ms;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    for (const connection of this.#connections) connection.close();
  }
}
