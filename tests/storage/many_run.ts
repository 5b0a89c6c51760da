/**
 * Many tenants, each with one durable room, on the bus that deploy/kubernetes ships: what the first
 * publish of each takes, what all of them cost at rest, and what the death of one of three NATS servers
 * does. What has to hold: all are stored, in as few streams as are configured, within the limits of the
 * containers, and nothing that was acknowledged is lost.
 */
import { seen } from "../../shared/testing/until.ts";
import { DurableClient } from "../peers/durable_client.ts";
import { killOne } from "./killed_server.ts";
import type { Kill } from "./killed_server.ts";
import { manyDeployment } from "./many_deployment.ts";
import type { Cost, ManyDeployment } from "./many_deployment.ts";

/** What is run. */
export interface ManyOptions {
  readonly tenants: number;
  /** One NATS server is killed when there are so many. */
  readonly kill_at: number;
  /** Tenants that publish meanwhile. */
  readonly writers: number;
  /** How long processor time is counted, and how long nobody does anything before. */
  readonly rest_ms: number;
  readonly say: (line: string) => void;
}

/** All of it; empty `broken`: it holds. */
export interface ManyReport {
  /** Times of the first publishes, in ms, in order. */
  readonly first_ms: readonly number[];
  /** Before the first tenant, and with all of them. */
  readonly empty: readonly Cost[];
  readonly full: readonly Cost[];
  readonly streams: number;
  readonly kill: Kill;
  readonly broken: readonly string[];
}

/** Tenants that come at the same time. */
const AT_ONCE = 8;

const tenantOf = (number: number) => `tenant-${number}`;

/** As any client does that is told to come back (503): again with the same id, until it is taken. */
async function publishOnce(client: DurableClient, tenant: string): Promise<void> {
  const body = { text: "x".repeat(200) };
  const publish = () => client.pub("log-1", body, { message_id: tenant });
  const what = `a message of ${tenant} is taken`;
  const { code, reason, message } = await seen(what, publish, (answer) => answer.code !== 503);
  if (code !== 0) throw new Error(`${tenant}: ${code} ${reason} ${message}`);
}

/** The first publish of each of the tenants; how long each took. */
async function comeIn(bus: ManyDeployment, numbers: readonly number[]): Promise<number[]> {
  const times: number[] = [];
  const queue = numbers.values();
  const next = async () => {
    for (const number of queue) {
      const token = await bus.tokenFor(tenantOf(number));
      using client = await DurableClient.open(bus.url, token);
      const began_ms = performance.now();
      await publishOnce(client, tenantOf(number));
      times.push(performance.now() - began_ms);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  return times;
}

/** Runs it; rejects when the bus does not start, or refuses a tenant. */
export async function runMany(options: ManyOptions): Promise<ManyReport> {
  const { tenants, kill_at, writers, rest_ms, say } = options;
  await using bus = await manyDeployment();
  const rest = async () => {
    await new Promise((resolve) => setTimeout(resolve, rest_ms));
    return await bus.costs(rest_ms);
  };
  const empty = await rest();
  const numbers = Array.from({ length: tenants }, (_, number) => number);
  const first_ms = await comeIn(bus, numbers.slice(0, kill_at));
  say(`${kill_at} tenants have published`);
  const kill = await killOne(bus, numbers.slice(0, Math.min(writers, kill_at)).map(tenantOf));
  say(`one NATS server was killed; ${kill.acknowledged} publishes acknowledged meanwhile`);
  first_ms.push(...await comeIn(bus, numbers.slice(kill_at)));
  say(`${tenants} tenants have published`);
  const full = await rest();
  const found = await bus.logStreams();
  const messages = found.reduce((sum, stream) => sum + stream.messages, 0);
  const streams = found.length;
  const stored = tenants + kill.acknowledged;
  const broken = [
    ...kill.broken,
    ...(streams > bus.shared_streams
      ? [`${streams} streams, ${bus.shared_streams} are shared`]
      : []),
    ...(messages < stored ? [`${messages} messages are stored, ${stored} were acknowledged`] : []),
    ...full.filter(({ rss_bytes, limit_bytes }) => rss_bytes > limit_bytes)
      .map(({ name, rss_bytes }) =>
        `${name} takes ${rss_bytes} bytes, more than its container has`
      ),
  ];
  first_ms.sort((left, right) => left - right);
  return { first_ms, empty, full, streams, kill, broken };
}
