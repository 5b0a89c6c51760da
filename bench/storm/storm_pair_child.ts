/**
 * A program that is the existing traffic: a publisher and a subscriber of a Shield, at a constant rate. It
 * notes how long each message takes. Its first line on stdin is a plan as JSON; each further line names the
 * phase that begins, and the end of stdin ends the last one. It prints one report.
 */
import { decodeServerFrame, encodePub, encodeSub, writeEnvelope } from "@arqon/proto";
import { delaysOf } from "../measure/statistics.ts";
import { ownLines } from "../measure/text_lines.ts";

/** The plan of the pair. */
export interface PairPlan {
  /** Address of the Shield: `wss://…/v1/socket`. */
  readonly url: string;
  readonly token: string;
  /** Messages per second. */
  readonly rate: number;
}

/** Latencies of the messages that were sent in one phase. */
export interface PairPhase {
  readonly sent: number;
  readonly received: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
}

/** The latencies of all phases, by name. */
export type PairReport = Readonly<Record<string, PairPhase>>;

const ROOM = "steady";
/** Time in which the last messages may still arrive. */
const LAST_MS = 3_000;

interface Phase {
  sent: number;
  readonly latencies_ms: number[];
}

async function connect({ url, token }: PairPlan): Promise<WebSocket> {
  const socket = new WebSocket(url, ["arqon.v1", `arqon.token.${token}`]);
  socket.binaryType = "arraybuffer";
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onclose = ({ code }) => reject(new Error(`the steady pair was closed with ${code}`));
  });
  return socket;
}

function publication(phase: string, sent_ms: number): Uint8Array<ArrayBuffer> {
  const data = new TextEncoder().encode(`${phase} ${sent_ms}`);
  const event = { type: "steady", data, content_type: "text/plain", schema_id: "" };
  return encodePub(writeEnvelope({ room_id: ROOM, event })) as Uint8Array<ArrayBuffer>;
}

const summary = ({ sent, latencies_ms }: Phase): PairPhase => (
  { sent, received: latencies_ms.length, ...delaysOf(latencies_ms) }
);

async function run(plan: PairPlan, names: AsyncIterator<string>): Promise<PairReport> {
  const phases: Record<string, Phase> = {};
  const phaseOf = (name: string) => phases[name] ??= { sent: 0, latencies_ms: [] };
  const [publisher, subscriber] = [await connect(plan), await connect(plan)];
  const subscribed = Promise.withResolvers<void>();
  subscriber.onmessage = ({ data }) => {
    const frame = decodeServerFrame(new Uint8Array(data));
    if (frame.kind === "ack") subscribed.resolve();
    if (frame.kind !== "msg" || frame.envelope.event === undefined) return;
    const [name = "", sent_ms] = new TextDecoder().decode(frame.envelope.event.data).split(" ");
    phaseOf(name).latencies_ms.push(performance.now() - Number(sent_ms));
  };
  subscriber.send(encodeSub({ room_id: ROOM, request_id: 1 }) as Uint8Array<ArrayBuffer>);
  await subscribed.promise;
  let now = "warm-up";
  const began_ms = performance.now();
  let made = 0;
  const timer = setInterval(() => {
    const due = Math.floor((performance.now() - began_ms) * plan.rate / 1_000);
    // Each message counts from when it should have been sent, so that a late timer hides no wait.
    for (; made < due; made++) {
      phaseOf(now).sent += 1;
      publisher.send(publication(now, began_ms + (made + 1) * 1_000 / plan.rate));
    }
  }, 1);
  console.log(JSON.stringify({ ready: true }));
  for (let next = await names.next(); !next.done; next = await names.next()) {
    now = JSON.parse(next.value);
  }
  clearInterval(timer);
  await new Promise((resolve) => setTimeout(resolve, LAST_MS));
  return Object.fromEntries(Object.entries(phases).map(([name, phase]) => [name, summary(phase)]));
}

if (import.meta.main) {
  const lines = ownLines();
  const plan = JSON.parse((await lines.next()).value ?? "");
  console.log(JSON.stringify(await run(plan, lines)));
  Deno.exit(0);
}
