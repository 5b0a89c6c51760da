/**
 * Shows that a target works before it is measured: everyone in a room sends, and everyone gets every message,
 * complete and in the order of its sender. As a program it does so with the named peers, or with all: `deno
 * run -A bench/peers/exchange.ts [--tls] [nats-ws ...]`. It measures nothing.
 */
import { type Target, TargetUnavailable } from "../load/targets/target.ts";
import { wireOf } from "../load/wires/wires.ts";
import { PEERS } from "./mod.ts";

/** The size of an exchange. */
export interface ExchangeSize {
  readonly connections: number;
  /** Messages of each connection; at most 65,535. */
  readonly messages: number;
  readonly tls: boolean;
}

/** The result of an exchange; `wrong` says what did not arrive as it was sent. */
export interface Exchanged {
  readonly version: string;
  readonly deliveries: number;
  readonly wrong: readonly string[];
}

const PATIENCE_MS = 60_000;
/**
 * A body is the sender, a number in two bytes, then every byte value, so that nothing passes as text alone.
 */
const HEAD_BYTES = 3;
const BODY_BYTES = HEAD_BYTES + 256;

function message(sender: number, number: number): Uint8Array {
  const body = new Uint8Array(BODY_BYTES);
  body.set([sender, number >> 8, number & 255]);
  for (let byte = 0; byte < 256; byte++) body[HEAD_BYTES + byte] = byte;
  return body;
}

/** Checks what one connection receives. */
function receiver(size: ExchangeSize, wrong: string[], onAll: () => void) {
  const next = new Array<number>(size.connections).fill(0);
  const total = size.connections * size.messages;
  let count = 0;
  return (body: Uint8Array) => {
    const sender = body[0]!;
    const number = body[1]! * 256 + body[2]!;
    if (number !== next[sender]) wrong.push(`${number} of ${sender}, not ${next[sender]}`);
    next[sender] = number + 1;
    const whole = body.length === BODY_BYTES &&
      body.subarray(HEAD_BYTES).every((byte, index) => byte === index);
    if (!whole) wrong.push(`${number} of ${sender} has other bytes`);
    if (++count === total) onAll();
  };
}

/** Starts the target and runs an exchange. Rejects when a message is missing or a connection fails. */
export async function exchange(target: Target, size: ExchangeSize): Promise<Exchanged> {
  await using running = await target.start({ tls: size.tls, tenants: 1 });
  const wire = await wireOf(running.wire);
  const wrong: string[] = [];
  const failed = Promise.withResolvers<never>();
  const arrived = Array.from({ length: size.connections }, () => Promise.withResolvers<void>());
  const connections = await Promise.all(arrived.map(({ resolve }) =>
    wire.open(running.wire, {
      tenant: 0,
      batch: false,
      onMessage: receiver(size, wrong, resolve),
      onProblem: (what) => failed.reject(new Error(what)),
    })
  ));
  const timer = setTimeout(() => failed.reject(new Error("not everything arrived")), PATIENCE_MS);
  try {
    await Promise.all(connections.map((connection) => connection.subscribe("all")));
    for (let number = 0; number < size.messages; number++) {
      for (const [sender, connection] of connections.entries()) {
        connection.publish("all", message(sender, number));
      }
    }
    await Promise.race([Promise.all(arrived.map(({ promise }) => promise)), failed.promise]);
  } finally {
    clearTimeout(timer);
    for (const connection of connections) connection.close();
  }
  const deliveries = size.connections ** 2 * size.messages;
  return { version: running.version, deliveries, wrong };
}

if (import.meta.main) {
  const names = Deno.args.filter((arg) => arg !== "--tls");
  const size = { connections: 10, messages: 1_000, tls: Deno.args.includes("--tls") };
  for (const target of PEERS.filter(({ id }) => names.length === 0 || names.includes(id))) {
    try {
      const { version, deliveries, wrong } = await exchange(target, size);
      console.log(`${target.title}: ${version}, ${deliveries} deliveries, ${wrong.length} wrong`);
      for (const what of wrong.slice(0, 5)) console.log(`  ${what}`);
    } catch (error) {
      if (!(error instanceof TargetUnavailable)) throw error;
      console.log(`${target.title}: cannot run here: ${error.message}`);
    }
  }
}
