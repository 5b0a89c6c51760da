/**
 * Tenants that store all they can, one after the other, until nothing more is available, while a quiet one
 * does a little of everything. What has to hold: the quiet one is never refused, no stream grows beyond its
 * bound, who is refused is told what to change, and the bus stays ready.
 */
import { DurableClient } from "../peers/durable_client.ts";
import { embeddedDeployment, natsDeployment } from "./deployment.ts";
import type { Deployment, StreamSize } from "./deployment.ts";
import { QuietTenant } from "./quiet_tenant.ts";
import type { Tallies } from "./quiet_tenant.ts";

/** What is run. */
export interface StorageOptions {
  readonly engine: "nats" | "embedded";
  /** Of NATS' `max_file`, or of the embedded log. */
  readonly storage_bytes: number;
  /** `[durable] log_bytes` with NATS. */
  readonly log_bytes: number;
  /** Tenants that flood, one after the other. */
  readonly tenants: number;
  readonly message_bytes: number;
  /** Publishes of each beyond the first refusal. */
  readonly beyond: number;
  /** Rounds of the quiet tenant before and after. */
  readonly rounds: number;
  readonly say: (line: string) => void;
}

/** One tenant's flood, and what the quiet one saw of it. */
export interface Phase {
  readonly name: string;
  /** Bytes of payload that were acknowledged. */
  readonly stored_bytes: number;
  readonly refused: number;
  /** The first refusal. */
  readonly why: string;
  readonly quiet: Tallies;
}

/** All of it; empty `broken`: it holds. */
export interface StorageReport {
  readonly phases: readonly Phase[];
  readonly streams: readonly StreamSize[];
  readonly broken: readonly string[];
}

/** Publishes of a flood that wait for their answers. */
const WINDOW = 8;

interface Flood {
  stored_bytes: number;
  refused: number;
  why: string;
}

/** Publishes until `beyond` were refused, or the storage would be full twice over. */
async function flood(
  bus: Deployment,
  tenant: string,
  options: StorageOptions,
): Promise<Flood> {
  const { message_bytes, storage_bytes, beyond } = options;
  using client = await DurableClient.open(bus.url, await bus.tokenFor(tenant, "ann", "user"));
  const text = "x".repeat(message_bytes);
  const done: Flood = { stored_bytes: 0, refused: 0, why: "" };
  let tries = Math.ceil(2 * storage_bytes / message_bytes) + beyond;
  while (done.refused < beyond && tries > 0) {
    const sent = Array.from(
      { length: WINDOW },
      (_, n) => client.send({ op: "pub", room: `log-${n % 3}`, type: "t", data: text }),
    );
    tries -= WINDOW;
    for (const id of sent) {
      const { code, reason = "", message = "" } = await client.answer(id);
      if (code === 0) done.stored_bytes += message_bytes;
      else {
        done.refused++;
        if (done.why === "") done.why = `${code} ${reason}: ${message}`;
      }
    }
  }
  return done;
}

/** Rounds of the quiet tenant as long as `work` takes, and one more. */
async function beside<T>(quiet: QuietTenant, work: Promise<T>): Promise<T> {
  let ended = false;
  const worked = work.finally(() => ended = true);
  // Its failure is the caller's; meanwhile it is not unhandled.
  worked.catch(() => {});
  while (!ended) await quiet.round();
  await quiet.round();
  return await worked;
}

function phaseProblems({ name, refused, why, quiet }: Phase, is_flood: boolean): string[] {
  const problems = Object.entries(quiet).flatMap(([deed, { refused, done }]) => [
    ...(refused.length > 0 ? [`${name}: ${refused.length} ${deed} refused: ${refused[0]}`] : []),
    ...(done === 0 ? [`${name}: no ${deed} was answered`] : []),
  ]);
  if (!is_flood) return problems;
  if (refused === 0) return [...problems, `${name}: was never refused`];
  const says_what = /log_bytes|maximum bytes exceeded/.test(why) &&
    /^503 log-unavailable/.test(why);
  return says_what
    ? problems
    : [...problems, `${name}: the refusal does not say what to change: ${why}`];
}

function streamProblems(streams: readonly StreamSize[], storage_bytes: number): string[] {
  const sum = (of: (one: StreamSize) => number) =>
    streams.reduce((bytes, one) => bytes + of(one), 0);
  return [
    ...streams.flatMap(({ name, used_bytes, bound_bytes }) => [
      ...(bound_bytes <= 0 ? [`nothing bounds ${name}`] : []),
      ...(bound_bytes > 0 && used_bytes > bound_bytes ? [`${name} is beyond its bound`] : []),
    ]),
    ...(sum(({ bound_bytes }) => bound_bytes) > storage_bytes
      ? ["more is promised than there is"]
      : []),
  ];
}

async function readyProblems({ ops_url }: Deployment): Promise<string[]> {
  const { status } = await fetch(`${ops_url}/health/ready`).then(async (response) => {
    await response.body?.cancel();
    return response;
  });
  const metrics = await (await fetch(`${ops_url}/metrics`)).text();
  const unbounded = /^arqon_spine_unbounded_streams(?:\{[^}]*\})? (\d+)$/m.exec(metrics)?.[1];
  return [
    ...(status === 200 ? [] : [`/health/ready says ${status}`]),
    ...(unbounded === "0" ? [] : [`arqon_spine_unbounded_streams is ${unbounded}`]),
  ];
}

/** Runs it; rejects when the bus does not start. */
export async function runStorage(options: StorageOptions): Promise<StorageReport> {
  const { engine, tenants, rounds, storage_bytes, say } = options;
  const start = engine === "nats" ? natsDeployment : embeddedDeployment;
  await using bus = await start(options);
  using quiet = await QuietTenant.open(bus, "quiet");
  const phases: Phase[] = [];
  const calm = async (name: string) => {
    for (let round = 0; round < rounds; round++) await quiet.round();
    phases.push({ name, stored_bytes: 0, refused: 0, why: "", quiet: quiet.take() });
  };
  await calm("before");
  for (let n = 1; n <= tenants; n++) {
    const name = `tenant ${n}`;
    const done = await beside(quiet, flood(bus, `noisy${n}`, options));
    phases.push({ name, ...done, quiet: quiet.take() });
    say(`${name}: ${(done.stored_bytes / 1e6).toFixed(1)} MB stored, then ${done.why}`);
  }
  await calm("after");
  const streams = await bus.streams();
  const broken = [
    ...phases.flatMap((phase) => phaseProblems(phase, phase.name.startsWith("tenant"))),
    ...streamProblems(streams, storage_bytes),
    ...await readyProblems(bus),
  ];
  return { phases, streams, broken };
}
