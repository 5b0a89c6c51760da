/**
 * A ledger and a list with a row for every message and connection: both get the same events, and the list predicts the
 * ledger's answers. Tests only.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { writeEnvelope } from "@arqon/proto";
import type { WhyOutcome } from "../../../shared/cluster/cluster_why.ts";
import { accountsOf } from "../explain.ts";
import { gather, type OpenConnection } from "../history.ts";
import { Ledger, type LedgerBounds } from "../ledger.ts";
import type { RunningRow } from "../row_form.ts";
import type { LivingConnection, SubscriptionMark } from "../../fanout/delivery_notes.ts";
import type { LedgerSource } from "../scan.ts";

/** The start of tests, in Unix ms. */
const BEGIN_MS = 1_700_000_000_000;
const TENANT = "acme";

/** The `X-Twist-ID` of a message by its number. */
export const twistOf = (number: number): string =>
  `019b7c5d-7c88-7000-8000-${number.toString(16).padStart(12, "0")}`;

/** The bytes of a stamped message. */
export function envelopeOf(number: number, message_id = ""): Uint8Array {
  return writeEnvelope({
    trace_id: number.toString(16).padStart(32, "0"),
    tenant_id: TENANT,
    room_id: "r",
    headers: { "X-Twist-ID": twistOf(number), "X-Timestamp": "1" },
    sender_id: "ann",
    message_id,
    event: { type: "t", data: new Uint8Array([1, 2, 3]) },
  });
}

interface Listed {
  readonly room: string;
  readonly time_ms: number;
  /** By connection. */
  readonly states: Map<number, string>;
}

interface Client extends OpenConnection {
  readonly rooms: Map<string, SubscriptionMark>;
  readonly runs: Map<string, RunningRow | undefined>;
  readonly alone: Map<string, RunningRow>;
  ended_ms: number | undefined;
  readonly once: Set<string>;
}

/** An event; numbers choose among existing objects. */
export type Step =
  | { readonly kind: "connect" }
  | {
    readonly kind: "end";
    readonly client: number;
    readonly queued: boolean;
    /** Whether it leaves its rooms some steps later. */
    readonly later: boolean;
  }
  | { readonly kind: "sub" | "unsub"; readonly client: number; readonly room: number }
  | {
    readonly kind: "message";
    readonly room: number;
    /**
     * For each subscriber: 0 sent, 6 left out, 7 conflated; the first one's echo is left out if it is the publisher.
     */
    readonly fates: readonly number[];
    readonly echo: boolean;
  };

const client = fc.nat({ max: 5 });
const room = fc.nat({ max: 2 });
/** Any step, as choices of `fc.oneof`. */
export const STEPS = [
  { weight: 1, arbitrary: fc.constant({ kind: "connect" }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("end"),
      client,
      queued: fc.boolean(),
      later: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom("sub", "unsub"), client, room }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("message"),
      room,
      fates: fc.array(fc.constantFrom(0, 6, 6, 7), { minLength: 1, maxLength: 5 }),
      echo: fc.boolean(),
    }),
  },
] as readonly { readonly weight: number; readonly arbitrary: fc.Arbitrary<Step> }[];

/** The pair of a ledger and the list. */
export class Model {
  readonly ledger: Ledger;
  readonly clients: Client[] = [];
  readonly list: Listed[] = [];
  readonly #leaving = new Set<Client>();
  now_ms = BEGIN_MS;

  constructor(bounds: Partial<LedgerBounds> = {}) {
    const now = () => this.now_ms;
    this.ledger = new Ledger({ bytes_max: 1e9, kept_ms: 1e9, now, ...bounds });
  }

  do(step: Step): void {
    this.now_ms += 7;
    switch (step.kind) {
      case "connect":
        this.leave();
        return this.#connect();
      case "end":
        return this.#with(step.client, (client) => this.#end(client, step));
      case "sub":
        return this.#with(step.client, (client) => this.#sub(client, `room-${step.room}`));
      case "unsub":
        return this.#with(step.client, (client) => this.#unsub(client, `room-${step.room}`));
      case "message":
        return this.#message(`room-${step.room}`, step.fates, step.echo);
      default:
        step satisfies never;
    }
  }

  /** The connections for the store. */
  living(): LivingConnection[] {
    return this.clients.map(livingOf);
  }

  /** Asserts that the ledger, or its stored form, has the list's outcome of each message for each connection. */
  async compare(source: LedgerSource & Pick<Ledger, "since_ms"> = this.ledger): Promise<void> {
    const outcomes = await this.#outcomes(source);
    this.list.forEach(({ states }, number) => {
      for (const { number: connection } of this.clients) {
        // A connection that opened after the message was not connected.
        const expected = states.get(connection) ?? "not_connected";
        assert.equal(outcomes[number]!.get(connection), expected, `${number} to ${connection}`);
      }
    });
  }

  /** The outcome of each message for each connection, as `state` or `state why`. */
  async #outcomes(source: LedgerSource & Pick<Ledger, "since_ms">): Promise<Map<number, string>[]> {
    this.leave();
    const messages = this.list.map(({ room, time_ms }, number) => ({
      room_id: room,
      offset: 0,
      twist_id: twistOf(number),
      time_ms,
      trace_id: "",
      message_id: "",
    }));
    const query = { tenant: TENANT, user: "bob", messages };
    const is_living = source === this.ledger;
    const open = this.clients.filter(({ ended_ms }) => is_living && ended_ms === undefined);
    const breathe = () => Promise.resolve();
    const gathered = await gather(source, { query, open }, breathe);
    const rows = await accountsOf(gathered, query, source.since_ms, breathe);
    return messages.map((_, index) =>
      new Map(rows.map((row) => [Number(row.connection_id.slice(1)), wordOf(row.outcomes[index])]))
    );
  }

  #connect(): void {
    const number = this.ledger.nextConnection();
    const rooms = new Map<string, SubscriptionMark>();
    this.clients.push({
      number,
      connection_id: `c${number}`,
      user_id: "bob",
      remote_ip: "127.0.0.1",
      began_ms: this.now_ms,
      batch: false,
      rooms,
      runs: new Map(),
      alone: new Map(),
      once: new Set(),
      ended_ms: undefined,
      subscription: (room_id) => rooms.get(room_id),
    });
  }

  #with(index: number, use: (client: Client) => void): void {
    const open = this.clients.filter(({ ended_ms }) => ended_ms === undefined);
    const client = open[index % Math.max(1, open.length)];
    if (client !== undefined) use(client);
  }

  /** Ended connections leave their rooms. */
  leave(): void {
    for (const client of this.#leaving) {
      for (const room of [...client.rooms.keys()]) this.#unsub(client, room);
    }
    this.#leaving.clear();
  }

  #end(client: Client, { queued, later }: { queued: boolean; later: boolean }): void {
    this.#leaving.add(client);
    if (!later) this.leave();
    client.ended_ms = this.now_ms;
    const last = this.list.length - 1;
    const queued_from = queued && last >= 0 ? last + 1 : 0;
    const lost = queued_from > 0 ? this.list[last]!.states : undefined;
    if (lost?.get(client.number) === "sent") {
      lost.set(client.number, "queued");
      const { room } = this.list[last]!;
      const noted = this.ledger.openRoom(TENANT, room);
      // With conflation, each queued message is recorded.
      if (client.alone.has(room)) {
        this.ledger.leftOutAlone(noted, client.number, queued_from, "queued");
      }
    }
    this.ledger.ended(client.number, {
      connection_id: client.connection_id,
      tenant_id: TENANT,
      user_id: "bob",
      remote_ip: "127.0.0.1",
      began_ms: client.began_ms,
      code: 1000,
      reason: "",
      unsent_bytes: 0,
      queued_from,
    });
  }

  #sub(client: Client, room: string): void {
    if (client.rooms.has(room)) return;
    client.rooms.set(room, {
      number: this.ledger.nextSubscription(),
      connection: client.number,
      since: this.ledger.position,
      since_ms: this.now_ms,
      episode: undefined,
    });
    client.once.add(room);
    this.ledger.joined?.add(livingOf(client));
  }

  #unsub(client: Client, room: string): void {
    const mark = client.rooms.get(room);
    if (mark === undefined) return;
    client.rooms.delete(room);
    client.runs.delete(room);
    const { number, since, since_ms } = mark;
    const noted = this.ledger.openRoom(TENANT, room);
    const end = { number, since, since_ms, why: "unsubscribed", batch: false };
    this.ledger.left(noted, client.number, end);
  }

  #message(room: string, fates: readonly number[], echo: boolean): void {
    const states = new Map<number, string>();
    const noted = this.ledger.openRoom(TENANT, room);
    const position = this.ledger.message(noted, envelopeOf(this.list.length), 0);
    let index = 0;
    for (const client of this.clients) {
      if (client.ended_ms !== undefined || !client.rooms.has(room)) {
        states.set(client.number, this.#absence(client));
        continue;
      }
      const fate = fates[index % fates.length]!;
      const is_echo = echo && index === 0;
      index++;
      states.set(
        client.number,
        is_echo ? "left_out echo" : this.#send(client, room, fate, position),
      );
      if (is_echo) this.ledger.noEcho(client.number);
    }
    this.ledger.sent();
    this.list.push({ room, time_ms: this.now_ms, states });
  }

  #send(client: Client, room: string, fate: number, position: number): string {
    const noted = this.ledger.openRoom(TENANT, room);
    if (fate === 7) {
      const run = client.alone.get(room);
      const alone = this.ledger.leftOutAlone(noted, client.number, position, "conflated", run);
      client.alone.set(room, alone);
      return "left_out conflated";
    }
    const run = client.runs.get(room);
    if (fate === 6) {
      client.runs.set(
        room,
        this.ledger.leftOut(noted, client.number, position, "slow_reader", run),
      );
      return "left_out slow_reader";
    }
    client.runs.delete(room);
    return "sent";
  }

  #absence({ ended_ms }: Client): string {
    return ended_ms === undefined ? "not_subscribed" : "not_connected";
  }
}

const livingOf = (client: Client): LivingConnection => ({
  number: client.number,
  id: client.connection_id,
  get ended() {
    return client.ended_ms !== undefined;
  },
  identity: { tenant_id: TENANT, user_id: client.user_id },
  caller: { remote_ip: client.remote_ip },
  noted_ms: client.began_ms,
  outbox: undefined,
  get subscriptions() {
    return new Map([...client.rooms].map(([room_id, mark]) => [room_id, { mark }]));
  },
});

function wordOf(outcome: WhyOutcome | undefined): string {
  if (outcome === undefined) return "";
  return outcome.state === "left_out" ? `left_out ${outcome.why}` : outcome.state;
}
