/**
 * A program that plays the well-behaved tenants: each publishes at a constant rate and receives its own messages. The
 * first line of stdin is a plan as JSON; each further line names the phase that begins, and the end of stdin ends the
 * program. Prints one report.
 */
import { ownLines } from "../../bench/measure/text_lines.ts";
import { percentile } from "../../bench/measure/statistics.ts";
import { becomes } from "../../shared/testing/until.ts";

/** The clean tenants. */
export interface CleanPlan {
  readonly url: string;
  /** Tokens by tenant. */
  readonly tokens: Readonly<Record<string, string>>;
  /** Messages per second of each. */
  readonly rate: number;
}

/** What one tenant saw of the messages that it sent in one phase. */
export interface CleanPhase {
  readonly sent: number;
  readonly received: number;
  /** Answers with a code other than 0, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  readonly p50_ms: number;
  readonly p99_ms: number;
  /** The longest time in which a message was due and none arrived. */
  readonly silence_ms: number;
}

/** By phase, then by tenant. Closed connections are counted for all phases together. */
export interface CleanReport {
  readonly phases: Readonly<Record<string, Readonly<Record<string, CleanPhase>>>>;
  readonly closed: number;
}

const ROOM = "clean";
/** Time for messages in flight at the end to arrive. */
const LAST_MS = 5_000;

interface Phase {
  sent: number;
  readonly refused: Record<string, number>;
  readonly latencies_ms: number[];
}

const phases: Record<string, Record<string, Phase>> = {};
let now = "before";
let closed = 0;
let over = false;

function phaseOf(name: string, tenant: string): Phase {
  const tenants = phases[name] ??= {};
  return tenants[tenant] ??= { sent: 0, refused: {}, latencies_ms: [] };
}

async function open(url: string, token: string): Promise<WebSocket> {
  const socket = new WebSocket(url, ["arqon.v1.json", `arqon.token.${token}`]);
  await new Promise<void>((resolve, reject) => {
    socket.onmessage = () => resolve();
    socket.onclose = ({ code }) => reject(new Error(`a clean client was closed with ${code}`));
  });
  socket.onclose = () => void (closed += over ? 0 : 1);
  return socket;
}

/** Starts a tenant; the returned function sends what is due by then. */
async function startTenant(plan: CleanPlan, tenant: string): Promise<(due: number) => void> {
  const socket = await open(plan.url, plan.tokens[tenant]!);
  const subscribed = Promise.withResolvers<void>();
  const sent: { readonly phase: Phase; readonly due_ms: number }[] = [];
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.op === "ack" && frame.id === 1) return subscribed.resolve();
    if (frame.op === "msg") {
      const { phase, due_ms } = sent[frame.data]!;
      phase.latencies_ms.push(performance.now() - due_ms);
    } else if (frame.op === "ack" && frame.code !== 0) {
      const { refused } = sent[frame.id - 2]!.phase;
      refused[frame.reason] = (refused[frame.reason] ?? 0) + 1;
    }
  };
  socket.send(JSON.stringify({ op: "sub", room: ROOM, id: 1 }));
  await subscribed.promise;
  const began_ms = performance.now();
  return (due) => {
    // Each is measured from when it was due: a late timer hides no wait.
    while (sent.length < due) {
      const at = sent.length;
      const phase = phaseOf(now, tenant);
      phase.sent++;
      sent.push({ phase, due_ms: began_ms + (at + 1) * 1_000 / plan.rate });
      socket.send(JSON.stringify({ op: "pub", room: ROOM, type: "n", data: at, id: at + 2 }));
    }
  };
}

/** Whether everything that was sent has arrived or was refused. */
function isAnswered(): boolean {
  const all = Object.values(phases).flatMap((tenants) => Object.values(tenants));
  return all.every(({ sent, refused, latencies_ms }) =>
    latencies_ms.length + Object.values(refused).reduce((sum, count) => sum + count, 0) >= sent
  );
}

function summary({ sent, refused, latencies_ms }: Phase): CleanPhase {
  const sorted = latencies_ms.toSorted((a, b) => a - b);
  return {
    sent,
    received: sorted.length,
    refused,
    p50_ms: percentile(sorted, 0.5),
    p99_ms: percentile(sorted, 0.99),
    silence_ms: sorted.at(-1) ?? Infinity,
  };
}

async function run(plan: CleanPlan, names: AsyncIterator<string>): Promise<CleanReport> {
  const tenants = await Promise.all(
    Object.keys(plan.tokens).map((tenant) => startTenant(plan, tenant)),
  );
  const began_ms = performance.now();
  const timer = setInterval(() => {
    const due = Math.floor((performance.now() - began_ms) * plan.rate / 1_000);
    for (const send of tenants) send(due);
  }, 1);
  console.log(JSON.stringify({ ready: true }));
  for (let next = await names.next(); !next.done; next = await names.next()) {
    now = JSON.parse(next.value);
  }
  clearInterval(timer);
  await becomes(isAnswered, LAST_MS);
  over = true;
  const summaries = Object.entries(phases).map(([name, tenants]) => [
    name,
    Object.fromEntries(Object.entries(tenants).map(([tenant, phase]) => [tenant, summary(phase)])),
  ]);
  return { phases: Object.fromEntries(summaries), closed };
}

if (import.meta.main) {
  const lines = ownLines();
  const plan = JSON.parse((await lines.next()).value ?? "");
  console.log(JSON.stringify(await run(plan, lines)));
  Deno.exit(0);
}
