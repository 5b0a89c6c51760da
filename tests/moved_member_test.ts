/**
 * Members whose own Shield is stopped, as the wire shows it, on real processes: who comes back under his
 * id was never away, who does not leaves after the grace, and nobody gets another's id.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { Issuer, ServerProcess } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { openText, RawClient } from "./peers/raw_client.ts";

const GRACE_MS = 4_000;
const SUB = { op: "sub", room: "lobby", presence: true, member_meta: { n: 1 }, id: 1 };

const urlOf = ({ ready }: ServerProcess) => `${ready.url?.replace(/^http/, "ws")}/v1/socket`;

interface Place {
  readonly issuer: Issuer;
  readonly going: ServerProcess;
  readonly staying: ServerProcess;
}

async function withPlace(run: (place: Place) => Promise<void>): Promise<void> {
  await using nats = await startNats({ jetstream: true });
  const issuer = await createIssuer();
  try {
    const config = `[nats]\nurls = ["${nats.url}"]\n[presence]\nmove_grace_ms = ${GRACE_MS}\n` +
      issuer.config;
    await using _brain = await startServer("brain", config, issuer.dir);
    await using going = await startServer("shield", config, issuer.dir, "drain_ms = 0");
    await using staying = await startServer("shield", config, issuer.dir, "drain_ms = 0");
    await run({ issuer, going, staying });
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
}

/** A client and its `connection_id`; with `resume` it names a former one. */
async function enter(server: ServerProcess, issuer: Issuer, sub: string, resume?: string) {
  const query = resume === undefined ? "" : `?resume=${resume}`;
  const token = await issuer.tokenFor({ sub });
  const client = new RawClient(`${urlOf(server)}${query}`, {
    token,
    subprotocols: ["arqon.v1.json"],
  });
  const welcome = await client.json();
  return { client, id: String(welcome.connection) };
}

/** Hears of a room's members as an observer: what was told, by kind and connection. */
async function watch(server: ServerProcess, issuer: Issuer): Promise<string[]> {
  const client = await openText(urlOf(server), await issuer.tokenFor({ sub: "watcher" }));
  const told: string[] = [];
  const { member_meta: _, ...sub } = SUB;
  client.send({ ...sub, observer: true });
  void (async () => {
    for (;;) {
      const frame = await client.json().catch(() => undefined);
      if (frame === undefined) return;
      for (const member of frame.data?.members ?? []) {
        told.push(`${frame.type === "PRESENCE_LEAVE" ? "-" : "+"}${member.connection_id}`);
      }
    }
  })();
  return told;
}

async function acked(client: RawClient): Promise<Record<string, unknown>> {
  for (;;) {
    const frame = await client.json();
    if (frame.op === "ack") return frame;
  }
}

const inAll = (told: string[], what: string) => told.filter((one) => one === what).length;

Deno.test("a member that comes back under its id is not told, one that does not leaves after the grace", () =>
  withPlace(async ({ issuer, going, staying }) => {
    const told = await watch(staying, issuer);
    const [ann, bob] = [await enter(going, issuer, "ann"), await enter(going, issuer, "bob")];
    for (const { client } of [ann, bob]) {
      client.send(SUB);
      assert.equal((await acked(client)).code, 0);
    }
    await until("both", () => told.includes(`+${ann.id}`) && told.includes(`+${bob.id}`));
    const stopping = going.stop();
    assert.equal((await ann.client.closed()).code, 1012);
    const back = await enter(staying, issuer, "ann", ann.id);
    assert.equal(back.id, ann.id, "the connection keeps its id");
    back.client.send(SUB);
    const { result } = await acked(back.client) as { result: { connections: number } };
    assert.equal(result.connections, 2, "bob is expected still");
    const gone_ms = Date.now();
    assert.equal((await stopping).code, 0, going.log());
    assert.ok(!told.includes(`-${bob.id}`), "not before the grace is over");
    await until("the leave of who did not come back", () => told.includes(`-${bob.id}`));
    assert.ok(Date.now() - gone_ms >= GRACE_MS / 2);
    assert.deepEqual([inAll(told, `+${ann.id}`), inAll(told, `-${ann.id}`)], [1, 0]);
    back.client.send({ op: "unsub", room: "lobby", id: 2 });
    await until("a leave like any other", () => told.includes(`-${ann.id}`));
    for (const { client } of [ann, bob, back]) client[Symbol.dispose]();
  }));

Deno.test("nobody gets the id of another user, of a connection that does not move, or one twice", () =>
  withPlace(async ({ issuer, going, staying }) => {
    const stays = await enter(staying, issuer, "ann");
    const early = await enter(going, issuer, "ann", stays.id);
    assert.notEqual(early.id, stays.id, "its Shield does not stop");
    early.client.send(SUB);
    assert.equal((await acked(early.client)).code, 0);
    const stopping = going.stop();
    await early.client.closed();
    const thief = await enter(staying, issuer, "mallory", early.id);
    assert.notEqual(thief.id, early.id, "another user's");
    const first = await enter(staying, issuer, "ann", early.id);
    assert.equal(first.id, early.id);
    first.client.send(SUB);
    assert.equal((await acked(first.client)).code, 0);
    const second = await enter(staying, issuer, "ann", early.id);
    assert.notEqual(second.id, early.id, "it is in use");
    const strange = await enter(staying, issuer, "ann", "c%0a%2e");
    assert.match(strange.id, /^c[\w-]+$/);
    await stopping;
    for (const { client } of [stays, early, thief, first, second, strange]) {
      client[Symbol.dispose]();
    }
  }));
