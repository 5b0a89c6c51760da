/** What a reader that verifies sees of an honest bus in odd hours. Logs that lie: `proofs.json` of sdk/conformance. */
import assert from "node:assert/strict";
import { decodeVerifier } from "@arqon/proto";
import { connect } from "@arqon/sdk";
import { deltaSocket } from "@arqon/sdk/delta";
import { VerifiedLog } from "@arqon/sdk/proof";
import { roomState } from "@arqon/sdk/state";
import { until } from "../../shared/testing/until.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { startTcpProxy } from "../harness/tcp_proxy.ts";
import { grown, PROOF_CONFIG, publish, served, treeUrl, vkeyOf } from "./served.ts";

Deno.test("what the bus itself says in a room is no message of the log", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  await publish(bus, "bets", 1);
  const vkeys = [await vkeyOf(served(bus, "default.bets"))];
  const log = new VerifiedLog({ url: treeUrl(bus, "default.bets"), vkeys });
  await using client = await connect({ url: bus.url, token: bus.token });
  const room = client.room("bets");
  await using subscription = room.subscribe();
  await subscription.ready;
  const messages = log.verify(subscription);
  const first = messages.next();
  await roomState(room).set("odds", 3);
  await room.publish("t", { n: 1 });
  assert.equal((await first).value?.type, "ROOM_UPDATE");
  assert.equal((await messages.next()).value?.type, "t");
});

const HONEST = PROOF_CONFIG.replace(
  'room = "*"',
  'room = "*"\ndelta = "fossil"\nslow_reader = "latest"',
);

Deno.test("an honest bus is not accused through deltas, lost connections, a new key and an erasure", async () => {
  await using bus = await startLocalBus(HONEST);
  await using proxy = startTcpProxy(Number(new URL(bus.url).port));
  const admin = await bus.tokenFor({ role: "admin" });
  const ask = async (path: string, body?: unknown) => {
    const answer = await fetch(`${bus.admin_url}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${admin}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    assert.equal(answer.status, 200, await answer.text());
  };
  await publish(bus, "bets", 1);
  const files = served(bus, "default.bets");
  const vkeys = [await vkeyOf(files)];
  const verifier = decodeVerifier(vkeys[0]!)!;
  const log = new VerifiedLog({ url: treeUrl(bus, "default.bets"), vkeys });
  const url = new URL(bus.url);
  url.port = String(proxy.port);
  await using client = await connect({ url: url.href, token: bus.token, webSocket: deltaSocket() });
  await using subscription = client.room("bets").subscribe();
  await subscription.ready;
  const came: (number | string)[] = [];
  const reading = (async () => {
    for await (const { offset, signal } of log.verify(subscription)) {
      came.push(signal?.reason ?? Number(offset));
      if (Number(offset) === 121) break;
    }
  })();
  await publish(bus, "bets", 30, 1);
  await until("messages as deltas", () => came.length === 30);
  await ask("/v1/proof/rotate?tenant=default");
  await proxy.cut();
  await publish(bus, "bets", 30, 31);
  proxy.restore();
  await until("what was missed", () => came.length === 60);
  await proxy.cut();
  await publish(bus, "bets", 30, 61);
  await grown(files, verifier, 91);
  await ask("/v1/data/erase", { tenant: "default", room: "bets", offset: 80 });
  proxy.restore();
  await until("the GAP", () => came.includes("erased"));
  await publish(bus, "bets", 30, 91);
  await reading;
  const offsets = came.filter((one) => typeof one === "number");
  assert.deepEqual(offsets, offsets.toSorted((a, b) => a - b));
  assert.equal(offsets.at(-1), 121);
});
