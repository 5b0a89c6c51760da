/**
 * A client of the script: it talks to one Shield in a room of its own, one message after the other, comes back
 * when that Shield does, and writes down the outcome of each. It judges nothing.
 */
import { pace } from "../../shared/testing/pace.ts";
import { ask, openText } from "../peers/raw_client.ts";
import type { RawClient } from "../peers/raw_client.ts";
import type { Random } from "../presence_simulation/random.ts";
import type { Said } from "./judge.ts";

/** Who it is and where. */
export interface TalkerOptions {
  readonly node_id: string;
  readonly tenant_id: string;
  readonly room_id: string;
  readonly token: string;
  /** Port of its Shield, undefined while there is none. */
  readonly port: () => number | undefined;
  readonly random: Random;
  /** Between two messages. */
  readonly idle_ms: readonly [low: number, high: number];
  /** Where it writes. */
  readonly said: Said[];
}

const RETRY_MS = 100;
/** What was taken has come by then, or has not come. */
const HEARD_MS = 5_000;
/** One of so many is larger than the policy lets through. */
const LARGE_OF = 25;
const LARGE_UNITS = 20_000;
const SMALL_UNITS = 200;
const UNKNOWN_FROM = 500;

/** Talks until the signal says otherwise. Never rejects for the loss of a connection. */
export async function talk(options: TalkerOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const port = options.port();
    if (port !== undefined) await sit(options, port, signal);
    if (!signal.aborted) await pace(RETRY_MS);
  }
}

/** One connection, to its end. */
async function sit(options: TalkerOptions, port: number, signal: AbortSignal): Promise<void> {
  const { token, room_id } = options;
  try {
    using client = await openText(`ws://127.0.0.1:${port}/v1/socket`, token);
    await ask(client, { op: "sub", room: room_id });
    await speak(options, client, signal);
  } catch {
    // It is gone, or cannot be asked now: what it had not answered stays unclear.
  }
}

async function speak(
  options: TalkerOptions,
  client: RawClient,
  signal: AbortSignal,
): Promise<void> {
  const { random, said, node_id, tenant_id, room_id: room, idle_ms } = options;
  const own: Said[] = [];
  while (!signal.aborted) {
    const units = random.int(0, LARGE_OF) === 0 ? LARGE_UNITS : random.int(0, SMALL_UNITS);
    const one: Said = { node_id, tenant_id, sent_ms: Date.now(), outcome: "unclear" };
    said.push(one);
    const number = own.push(one);
    client.send({
      op: "pub",
      room,
      type: "t",
      data: { n: number, x: "x".repeat(units) },
      id: number,
    });
    while (one.answered_ms === undefined) note(own, await client.json());
    await pace(random.int(...idle_ms));
  }
  // What comes last is heard before it leaves, so that what was delivered is known.
  const deadline_ms = Date.now() + HEARD_MS;
  const isDue = () => own.some((one) => one.outcome === "taken" && one.heard_ms === undefined);
  const timer = setTimeout(() => client.socket.close(), HEARD_MS);
  try {
    while (isDue() && Date.now() < deadline_ms) note(own, await client.json());
  } finally {
    clearTimeout(timer);
  }
}

/** What is read of a frame. */
interface Frame {
  readonly op: string;
  readonly id?: number;
  readonly code?: number;
  readonly data?: { readonly n?: number };
}

function note(own: readonly Said[], { op, id, code = 0, data }: Frame): void {
  if (op === "msg") {
    const one = own[(data?.n ?? 0) - 1];
    if (one !== undefined) one.heard_ms = Date.now();
    return;
  }
  const one = op === "ack" ? own[(id ?? 0) - 1] : undefined;
  if (one === undefined) return;
  one.answered_ms = Date.now();
  one.outcome = code === 0 ? "taken" : code < UNKNOWN_FROM ? "refused" : "unclear";
}
