/**
 * The connections of one load process: opens them, publishes on schedule, and counts deliveries. It knows no protocol,
 * which is the task of the wire, and no other process.
 */
import { Body, Measure, stampOf, unixMs } from "./measure.ts";
import { dueMs, membersOf, seatsOf, shareOf } from "../plans/plan.ts";
import type { Crowd, Pace, Run, Seat } from "../plans/plan.ts";
import type { Wire, WireConnection, WireOptions } from "../targets/target.ts";
import type { Order, Sent } from "./words.ts";

/** Concurrent connection attempts, and concurrent subscriptions of one connection. */
const OPENING = 32;
const SUBSCRIBING = 64;
const TICK_MS = 1;
/** Time limit of a connection, reached only if a server never answers. */
const CONNECT_MS = 10_000;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Publisher {
  readonly connection: WireConnection;
  readonly rooms: readonly string[];
  /** Number of subscribers of each room. */
  readonly members: readonly number[];
}

/** Processes a list with this many concurrent workers. */
async function inLanes<T>(all: readonly T[], lanes: number, work: (one: T) => Promise<void>) {
  const rest = all.values();
  await Promise.all(Array.from({ length: lanes }, async () => {
    for (const one of rest) await work(one);
  }));
}

function publishersOf({ groups }: Crowd): number {
  return groups.reduce((sum, group) => sum + (group.publishes ? group.connections : 0), 0);
}

/** This process's part of the crowd. */
export class CrowdMember {
  readonly #wire: Wire;
  readonly #order: Order;
  readonly #publishers: Publisher[] = [];
  readonly #connections: WireConnection[] = [];
  readonly measure = new Measure();
  /** Publishes the next message of a closed load. */
  #again: ((publisher: Publisher, now_ms: number) => void) | undefined;

  constructor(wire: Wire, order: Order) {
    this.#wire = wire;
    this.#order = order;
  }

  /** Opens all connections and subscribes them to their rooms. Resolves with their number. */
  async open(): Promise<number> {
    const { crowd, process } = this.#order;
    const seats = seatsOf(crowd, process);
    const members = membersOf(crowd);
    await inLanes(seats, OPENING, async (seat) => {
      const own: { publisher?: Publisher } = {};
      const connection = await this.#connect(seat, (body) => {
        const now_ms = unixMs();
        this.measure.arrived(stampOf(body), now_ms);
        if (own.publisher !== undefined) this.#again?.(own.publisher, now_ms);
      });
      this.#connections.push(connection);
      if (seat.group.subscribes) {
        await inLanes(seat.rooms, SUBSCRIBING, (room) => connection.subscribe(room));
      }
      if (!seat.group.publishes) return;
      const audiences = seat.rooms.map((room) => members(seat.tenant, room));
      own.publisher = { connection, rooms: seat.rooms, members: audiences };
      this.#publishers.push(own.publisher);
    });
    return seats.length;
  }

  /** Sends all messages of a run. Resolves after the last one. */
  async run(run: Run, start_ms: number): Promise<Sent> {
    const from_ms = start_ms + run.warmup_seconds * 1_000;
    this.measure.begin(from_ms, from_ms + run.seconds * 1_000);
    await pause(Math.max(0, start_ms - unixMs()));
    const bodies = run.sizes_bytes.map((size_bytes) => new Body(size_bytes));
    if (run.pace.kind === "window") return await this.#runWindow(run.pace.window, bodies);
    return await this.#runRate(run.pace, bodies, start_ms, run.from === "sent");
  }

  /** Opens connections at a constant rate and keeps them; the time of each counts from its due time. */
  async connect(
    plan: { rate: number; warmup_seconds: number; seconds: number; start_ms: number },
  ): Promise<Sent> {
    const { crowd, process } = this.#order;
    const [group] = crowd.groups;
    if (group === undefined) throw new RangeError("a crowd without a group connects nobody");
    const from_ms = plan.start_ms + plan.warmup_seconds * 1_000;
    const until_ms = from_ms + plan.seconds * 1_000;
    this.measure.begin(from_ms, until_ms);
    const share = shareOf({ rate: plan.rate, burst: 1 }, 1, crowd.processes, process);
    const attempts: Promise<void>[] = [];
    await this.#whenDue(share, plan.start_ms, (index, due_ms) => {
      const tenant = index % group.tenants;
      attempts.push(this.#attempt({ tenant, rooms: [], group }, due_ms));
    });
    await Promise.race([Promise.all(attempts), pause(CONNECT_MS)]);
    return { sent: attempts.length, expected: attempts.length };
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }

  async #attempt(seat: Seat, due_ms: number): Promise<void> {
    try {
      this.#connections.push(await this.#connect(seat, () => {}));
      this.measure.arrived(due_ms, unixMs());
    } catch (error) {
      this.measure.problem(error instanceof Error ? error.message : String(error));
    }
  }

  #connect({ tenant, group }: Seat, onMessage: WireOptions["onMessage"]): Promise<WireConnection> {
    const { wire, crowd } = this.#order;
    return this.#wire.open(wire, {
      tenant,
      batch: group.batch,
      echo: crowd.echo,
      onMessage,
      onProblem: (what) => this.measure.problem(what),
    });
  }

  async #runRate(
    pace: Extract<Pace, { kind: "rate" }>,
    bodies: readonly Body[],
    start_ms: number,
    from_sent: boolean,
  ): Promise<Sent> {
    const publishers = this.#publishers;
    const { crowd, process } = this.#order;
    if (publishers.length === 0) return { sent: 0, expected: 0 };
    const share = shareOf(pace, publishers.length, publishersOf(crowd), process);
    let sent = 0;
    let expected = 0;
    await this.#whenDue(share, start_ms, (index, due_ms) => {
      const publisher = publishers[index % publishers.length]!;
      const room = Math.floor(index / publishers.length) % publisher.rooms.length;
      const body = bodies[index % bodies.length]!;
      publisher.connection.publish(
        publisher.rooms[room]!,
        body.stamped(from_sent ? unixMs() : due_ms),
      );
      sent++;
      expected += publisher.members[room]!;
    });
    return { sent, expected };
  }

  /** Calls the function for each due message until the measurement ends. */
  async #whenDue(
    share: ReturnType<typeof shareOf>,
    start_ms: number,
    act: (index: number, due_ms: number) => void,
  ): Promise<void> {
    const { until_ms } = this.measure;
    for (let index = 0;;) {
      const now_ms = unixMs();
      for (;; index++) {
        const due_ms = start_ms + dueMs(share, index);
        if (due_ms >= until_ms) return;
        if (due_ms > now_ms) break;
        act(index, due_ms);
        this.measure.sent(due_ms, now_ms);
      }
      await pause(TICK_MS);
    }
  }

  async #runWindow(window: number, bodies: readonly Body[]): Promise<Sent> {
    let sent = 0;
    const { until_ms } = this.measure;
    const publish = ({ connection, rooms }: Publisher, now_ms: number) => {
      connection.publish(rooms[0]!, bodies[sent % bodies.length]!.stamped(now_ms));
      sent++;
    };
    this.#again = (publisher, now_ms) => {
      if (now_ms < until_ms) publish(publisher, now_ms);
    };
    for (const publisher of this.#publishers) {
      for (let count = 0; count < window; count++) publish(publisher, unixMs());
    }
    await pause(until_ms - unixMs());
    this.#again = undefined;
    return { sent, expected: sent };
  }
}
