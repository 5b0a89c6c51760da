/** Shared by the steps of `admin_rooms_steps.ts`: a cluster, its admin, and clients that skip other frames. */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import type { AdminClient } from "../peers/admin_client.ts";
import type { Issuer, ServerProcess } from "../harness/cluster.ts";
import { openText, type RawClient } from "../peers/raw_client.ts";

/** Two Shields. */
export interface World {
  readonly issuer: Issuer;
  readonly one: ServerProcess;
  readonly two: ServerProcess;
  /** An operator at the first Shield. */
  readonly admin: AdminClient;
}

/** A client of the second Shield, in these rooms with presence. */
export async function join(
  { issuer, two }: World,
  sub: string,
  rooms: readonly string[] = [],
): Promise<RawClient> {
  const client = await openText(two.socket_url, await issuer.tokenFor({ sub }));
  for (const room of rooms) {
    client.send({ op: "sub", room, id: 1, presence: true });
    await next(client, ({ op }) => op === "ack");
  }
  return client;
}

/** The next matching frame; others are skipped. */
// deno-lint-ignore no-explicit-any -- whatever JSON there is; the test says what it expects
export async function next(client: RawClient, isMeant: (frame: any) => boolean): Promise<any> {
  for (;;) {
    const frame = await client.json();
    if (isMeant(frame)) return frame;
  }
}

/** Sends it and waits for its acknowledgement, which must be a success. */
export async function done(client: RawClient, frame: object) {
  client.send({ ...frame, id: 77 });
  const ack = await next(client, ({ id }) => id === 77);
  assert.equal(ack.code, 0, JSON.stringify(ack));
  return ack;
}

/** Joins as soon as this Shield knows that the ban is lifted. */
export async function joinSoon(world: World, sub: string): Promise<RawClient> {
  let joined: RawClient | undefined;
  await until("bob gets in", async () => {
    joined = await join(world, sub).catch(() => undefined);
    return joined !== undefined;
  });
  return joined!;
}
