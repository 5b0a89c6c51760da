/** `@arqon/sdk/proof`: a subscription whose messages are compared with the room's log, of several tiles. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import type { Message } from "@arqon/sdk";
import { replay } from "@arqon/sdk/history";
import { VerifiedLog } from "@arqon/sdk/proof";
import type { VerifiedLogOptions } from "@arqon/sdk/proof";
import { startLocalBus } from "../harness/local_bus.ts";
import type { TestBus } from "../harness/test_bus.ts";
import { grown, PROOF_CONFIG, publish, served, treeUrl, verifierOf, vkeyOf } from "./served.ts";

/** Reads `count` messages of the room from its start, verified. */
async function read(bus: TestBus, options: VerifiedLogOptions, count: number) {
  const log = new VerifiedLog(options);
  const seen: number[] = [];
  await using client = await connect({ url: bus.url, token: bus.token });
  const messages = client.room("bets").subscribe({ begin: replay({ from: "start" }) });
  for await (const message of log.verify(messages)) {
    seen.push(message.json<{ n: number }>().n);
    if (seen.length === count) break;
  }
  return { seen, checkpoint: log.checkpoint! };
}

Deno.test("each message of a subscription is verified, and a log that is continued goes on", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  const files = served(bus, "default.bets");
  await publish(bus, "bets", 300);
  await grown(files, await verifierOf(files), 300);
  const options = { url: treeUrl(bus, "default.bets"), vkeys: [await vkeyOf(files)] };
  const log = new VerifiedLog(options);
  await using client = await connect({ url: bus.url, token: bus.token });
  const room = client.room("bets");
  const messages = log.verify(room.subscribe());
  const next = async () => {
    const { value } = await messages.next();
    assert(value !== undefined);
    return (value as Message).json<{ n: number }>().n;
  };
  const live = next();
  // The loop above subscribes when it is first asked.
  await client.room("bets").publish("t", { n: 300 });
  assert.equal(await live, 300);
  await publish(bus, "bets", 260, 301);
  for (let n = 301; n < 561; n++) assert.equal(await next(), n);
  await messages.return(undefined);
  const kept = log.checkpoint!;
  assert.match(kept, /^bus.example\/default.bets\n561\n/);
  const all = Array.from({ length: 561 }, (_, n) => n);
  assert.deepEqual((await read(bus, { ...options, checkpoint: kept }, 561)).seen, all);
  await assert.rejects(
    read(bus, { ...options, vkeys: [await vkeyOf(served(bus, "default.other"))] }, 1),
    /no known key/,
  );
});
