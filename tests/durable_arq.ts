/**
 * The walk of a durable room with `arq`: a subscriber that is killed and goes on from the last offset
 * it printed, while a publisher runs and the Shield is killed and started again on its port. For
 * `durable_arq_kill_test.ts` and, with real events, `external/durable_arq_test.ts`.
 */
import assert from "node:assert/strict";
import { startArq } from "../arq/testing/run_arq.ts";
import type { ArqProcess } from "../arq/testing/run_arq.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { Issuer, ServerProcess } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { freePort } from "./harness/free_ports.ts";

/** The whole walk must be over by then; reached only when something hangs. */
const DEADLINE_MS = 180_000;
const SHIELD_KILLS = 2;
const SUBSCRIBER_KILLS = 5;

/** What the subscribers have printed, in all their lives. */
class Joined {
  readonly lines: string[] = [];
  #heard = Promise.withResolvers<void>();
  #is_late = false;

  push(line: string): void {
    this.lines.push(line);
    this.#heard.resolve();
    this.#heard = Promise.withResolvers();
  }

  /** Resolves when there are so many lines; rejects when the walk is late. */
  async until(count: number): Promise<void> {
    while (this.lines.length < count) {
      if (this.#is_late) throw new Error(`${this.lines.length} lines came, and then no more`);
      await this.#heard.promise;
    }
  }

  /** The walk has taken too long: whoever waits gives up. */
  giveUp(): void {
    this.#is_late = true;
    this.#heard.resolve();
  }

  /** Options that go on after the last line. */
  get resume(): string[] {
    const last = this.lines.at(-1);
    if (last === undefined) return ["--from", "0"];
    const { offset, epoch } = JSON.parse(last);
    return ["--from", String(offset), "--epoch", epoch];
  }
}

/** The lines that a process has written in whole; a kill may tear the last one. */
async function readLines(arq: ArqProcess, joined: Joined): Promise<void> {
  let rest = "";
  for await (const text of arq.child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) joined.push(line);
  }
}

/** `arq` ends with it when there is no Shield at the moment, and is then to be started again. */
const UNREACHABLE = 4;

/** Until `work` is done, or there is no Shield. Rejects when the process ends in another way. */
async function whileRunning(arq: ArqProcess, work: Promise<void>): Promise<"done" | "no Shield"> {
  const ended = arq.child.status.then(({ code }) => {
    if (code === UNREACHABLE) return "no Shield" as const;
    throw new Error(`arq ended with ${code}:\n${arq.stderr()}`);
  });
  const first = await Promise.race([work.then(() => "done" as const), ended]);
  ended.catch(() => {});
  return first;
}

/** SIGKILL, unless it has ended by itself. */
async function end({ child }: ArqProcess): Promise<void> {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended.
  }
  await child.status;
}

/** Subscribes, is killed, goes on, until `total` lines are there. */
async function subscribe(args: readonly string[], joined: Joined, total: number): Promise<number> {
  const step = Math.ceil(total / (SUBSCRIBER_KILLS + 1));
  for (let kills = 0;;) {
    const arq = await startArq(["sub", "orders", "--json", ...joined.resume, ...args]);
    const reading = readLines(arq, joined);
    const heard = joined.until(Math.min(total, joined.lines.length + step));
    try {
      if (await whileRunning(arq, heard) === "done") kills += 1;
    } finally {
      await end(arq);
    }
    await reading;
    if (joined.lines.length >= total) return kills;
  }
}

interface Shield extends AsyncDisposable {
  readonly url: string;
  /** What its processes have written. */
  log(): string;
  /** SIGKILL, and a new process on the same port. */
  restart(): Promise<void>;
}

async function startShield(issuer: Issuer, nats_url: string): Promise<Shield> {
  const port = freePort();
  const config = `[nats]\nurls = ["${nats_url}"]\n${issuer.config}
[[rooms]]
room = "orders"
durable = true
history_size = 100000
`;
  const start = () => startServer("shield", config, issuer.dir, "", port);
  let running: ServerProcess = await start();
  let earlier = "";
  return {
    url: `ws://127.0.0.1:${port}`,
    log: () => earlier + running.log(),
    async restart() {
      await running.stop("SIGKILL");
      earlier += running.log();
      running = await start();
    },
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  };
}

/** Kills it each time that so many lines have come. */
async function killShield(shield: Shield, joined: Joined, total: number): Promise<void> {
  for (let kill = 1; kill <= SHIELD_KILLS; kill++) {
    await joined.until(Math.floor(total * kill / (SHIELD_KILLS + 1)));
    await shield.restart();
  }
}

async function walk(events: string, rate: number, issuer: Issuer, joined: Joined): Promise<void> {
  await using nats = await startNats({ jetstream: true });
  await using shield = await startShield(issuer, nats.url);
  const args = ["--url", shield.url, "--token", await issuer.tokenFor()];
  const file = `${issuer.dir}/events.ndjson`;
  await Deno.writeTextFile(file, events);
  const inputs = events.trimEnd().split("\n");
  const publisher = await startArq([
    ...["pub", "orders", "--ndjson", file, "--rate", String(rate), ...args],
  ]);
  const publishing = publisher.result();
  // All of them, also when one fails: what they have started must not outlive the walk.
  const subscribing = subscribe(args, joined, inputs.length);
  const work = [
    publishing.then(({ code, stderr }) => assert.equal(code, 0, `pub: ${stderr}`)),
    killShield(shield, joined, inputs.length),
    subscribing,
  ];
  const failures: unknown[] = [];
  const giveUp = async (error: unknown) => {
    failures.push(error);
    joined.giveUp();
    await end(publisher);
  };
  await Promise.all(work.map((part) => part.catch(giveUp)));
  // The first is the cause; the others ended because of it, and say how far they were.
  const [first] = failures;
  if (first !== undefined) throw new AggregateError(failures, `${first}\n${shield.log()}`);
  const published = await publishing;
  assert.ok(published.stderr.includes("reconnecting"), "the Shield was killed while it published");
  const data = joined.lines.map((line) => line.slice(line.indexOf(',"data":') + 8, -1));
  assert.deepEqual(data, inputs, "everything, once and in order");
  assert.ok(await subscribing >= 2, "the subscriber was killed more than once");
  const stored = await startArq(["room", "history", "orders", "--all", ...args]);
  assert.equal((await stored.result()).stdout, events, "the log holds the input and nothing else");
}

/** Carries these events (NDJSON) through it all, published at `rate` a second. */
export async function durableWalk(events: string, rate: number): Promise<void> {
  const issuer = await createIssuer();
  const joined = new Joined();
  const timer = setTimeout(() => joined.giveUp(), DEADLINE_MS);
  try {
    await walk(events, rate, issuer, joined);
  } finally {
    clearTimeout(timer);
    await Deno.remove(issuer.dir, { recursive: true });
  }
}
