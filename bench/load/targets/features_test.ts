/** Each feature is in force on a real bus, which the plain target is not; and the names of `--with`. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { ArqonError } from "@arqon/proto";
import { ARQON_WIRE } from "../wires/wire_arqon.ts";
import { type Feature, featuresNamed } from "./features.ts";
import type { RunningTarget } from "./target.ts";
import { ARQON, featured } from "./target_arqon.ts";
import { targetsWith } from "./targets.ts";

const OPTIONS = { tls: false, tenants: 2 };

async function startWith(feature: Feature): Promise<RunningTarget> {
  const target = featured(feature).find(({ id }) => id === `arqon+${feature}`);
  assert.ok(target !== undefined);
  return await target.start(OPTIONS);
}

/** The offset of a message of the second tenant, or the reason for which it was refused. */
async function published({ wire }: RunningTarget, data: string): Promise<number | string> {
  await using connection = await connect({ url: wire.url, token: wire.tokens[1] ?? "" });
  try {
    const ack = await connection.room("lobby").publish("bench", data, {
      content_type: "application/octet-stream",
    });
    return Number(ack.offset);
  } catch (error) {
    assert.ok(error instanceof ArqonError, String(error));
    return error.reason;
  }
}

Deno.test("bad_words refuses in every tenant of the load, and lets the load through", async () => {
  await using running = await startWith("policy");
  assert.equal(await published(running, "a phishing mail"), "policy-rejected");
  assert.equal(await published(running, "what a day"), 0);
});

Deno.test("the schema refuses other bytes than the wire's, which come back as they were", async () => {
  await using running = await startWith("schema");
  assert.match(String(await published(running, "\xff no message")), /^schema/);
  assert.equal(running.wire.as_field, true);
  const heard = Promise.withResolvers<Uint8Array>();
  const connection = await ARQON_WIRE.open(running.wire, {
    tenant: 1,
    batch: false,
    onMessage: (body) => heard.resolve(body.slice()),
    onProblem: (what) => heard.reject(new Error(what)),
  });
  await connection.subscribe("lobby");
  const body = crypto.getRandomValues(new Uint8Array(256));
  connection.publish("lobby", body);
  assert.deepEqual(await heard.promise, body);
  connection.close();
});

Deno.test("a durable room stores what the load publishes; without a feature nothing is checked", async () => {
  {
    await using running = await startWith("durable");
    assert.equal(await published(running, "one"), 1);
    assert.equal(await published(running, "two"), 2);
  }
  await using plain = await ARQON.start(OPTIONS);
  assert.equal(await published(plain, "a phishing mail \xff"), 0);
});

Deno.test("--with adds ArqonBus' own targets once more, behind the others, and knows its words", async () => {
  const ids = (await targetsWith("deno,arqon", "durable, policy")).map(({ id }) => id);
  assert.deepEqual(ids, ["arqon", "deno", "arqon+policy", "arqon+durable"]);
  assert.deepEqual((await targetsWith("arqon,arqon-nats", "")).map(({ id }) => id), [
    "arqon",
    "arqon-nats",
  ]);
  assert.throws(() => featuresNamed("policy,shemas"), /some of policy,schema,durable/);
});
