/**
 * Two Shields and a Brain on one NATS server to which an older copy is restored, and what their clients must see then.
 */
import assert from "node:assert/strict";
import { type ServerProcess, startServer } from "../harness/cluster.ts";
import { type DurableClient, numbers, type Place, type Received } from "../peers/durable_client.ts";
import type { NatsServer } from "../harness/nats_server.ts";
import { until } from "../../shared/testing/until.ts";
import { comesBack, dial, epochOf, type Given, ROOM } from "./restore_world.ts";

/** For every process; the one room is durable, and checked often. */
export const NATS_CONFIG = (url: string, issuer: string) => `
[nats]
urls = ["${url}"]
[limits]
messages_per_second = 10_000
#constant durable.verify_ms = 500
[[rooms]]
room = "${ROOM}"
durable = true
history_size = 100_000
${issuer}`;

/** Two Shields and a Brain on one NATS server. */
export async function startCluster(nats: NatsServer, config: string, dir: string) {
  const servers = [
    await startServer("brain", config, dir),
    await startServer("shield", config, dir, 'node_id = "s0"\ndrain_ms = 0'),
    await startServer("shield", config, dir, 'node_id = "s1"\ndrain_ms = 0'),
  ];
  const [, s0, s1] = servers as [ServerProcess, ServerProcess, ServerProcess];
  return {
    urls: [s0.socket_url, s1.socket_url] as const,
    log: () => `${servers.map((server) => server.log()).join("\n")}\n${nats.logTail()}`,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(servers.map((server) => server.stop("SIGKILL")));
    },
  };
}

/** Reads until a GAP: before it no acknowledged message is missing, and all are in order. */
export async function readToGap(
  reader: DurableClient,
  acknowledged: readonly string[],
): Promise<Received> {
  const numberOf = (data: unknown) => Number(String(data).split(" ")[1]);
  const expected = acknowledged.map(numberOf);
  let last = -1;
  for (;;) {
    const message = await reader.next();
    if (message.signal !== undefined) return message;
    const number = numberOf(message.data);
    assert.ok(number > last, `${number} after ${last}`);
    const left_out = expected.filter((one) => one > last && one < number);
    // The first received one here is the first that was not read before.
    assert.deepEqual(last < 0 ? [] : left_out, [], `before ${number}`);
    last = number;
  }
}

/** The copy is restored: clients with a position in the lost part are notified, all others continue. */
export async function afterwards(
  urls: readonly [string, string],
  token: string,
  given: Given,
  { early, lost }: { readonly early: Place; readonly lost: Place },
): Promise<void> {
  // Each Shield checks on its own, so one may notice it a moment before the other.
  let now = "";
  await until("all Shields see the same life, another one", async () => {
    const [here, there] = await Promise.all(urls.map((url) => epochOf(url, token)));
    now = here ?? "";
    return now !== "" && now !== early.epoch && there === now;
  });
  for (const url of urls) {
    await comesBack(url, token, early, true);
    await comesBack(url, token, lost, false);
  }
  using client = await dial(urls[1], token);
  await given.desk(client, true);
  // After the offsets of the lost part.
  const later = await client.fill(ROOM, numbers(0, 200));
  assert.ok((later.at(-1) as number) > (lost.after_offset ?? 0));
  given.offsets(now, later);
  for (const url of urls) {
    await comesBack(url, token, early, true);
    await comesBack(url, token, lost, false);
    await comesBack(url, token, { after_offset: later[0] as number, epoch: now }, true);
  }
}
