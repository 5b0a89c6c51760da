/**
 * `@arqon/sdk/proof`: a subscription whose messages are compared with the room's log, of several tiles; readers retry
 * while a new log answers 503, and see an honest bus in odd hours. Logs that lie: `proofs.json` of sdk/conformance.
 */
import assert from "node:assert/strict";
import { connect, type Message } from "@arqon/sdk";
import { replay } from "@arqon/sdk/history";
import { ProofError, VerifiedLog, type VerifiedLogOptions } from "@arqon/sdk/proof";
import { startLocalBus } from "../harness/local_bus.ts";
import type { TestBus } from "../harness/test_bus.ts";
import { grown, PROOF_CONFIG, publish, served, treeUrl, verifierOf, vkeyOf } from "./served.ts";
import { ArqonError, decodeVerifier } from "@arqon/proto";
import { verify } from "../../arq/commands/proof/proof.ts";
import { finish } from "../../arq/terminal/io.ts";
import { diskIo } from "../../arq/testing/disk_io.ts";
import { askPatiently } from "../../sdk/typescript/proof/patient.ts";
import { problemResponse } from "../../shared/problem.ts";
import { verifierPy } from "./verifier.ts";
import { deltaSocket } from "@arqon/sdk/delta";
import { roomState } from "@arqon/sdk/state";
import { serving } from "../../shared/testing/serving.ts";
import { until } from "../../shared/testing/until.ts";
import { proxied } from "../harness/tcp_proxy.ts";
import { AdminClient } from "../peers/admin_client.ts";

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

const REFUSALS = 2;

Deno.test("readers ask again when a log says so, and say in the end what they waited for", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  await publish(bus, "bets", 5);
  const files = served(bus, "default.bets");
  await grown(files, await verifierOf(files), 5);
  const vkey = await vkeyOf(files);
  let left = 0;
  let retry_after_ms = 1;
  let given_bytes = Infinity;
  const bytes = new Uint8Array(1_048_576);
  /** More than any file of a log has. */
  const flood = () =>
    new ReadableStream({
      pull(controller) {
        controller.enqueue(bytes);
        if ((given_bytes += bytes.length) >= 512 * bytes.length) controller.close();
      },
    });
  await using server = serving(async (request) => {
    if (given_bytes === 0) return new Response(flood());
    const detail = "the tree has no checkpoint yet";
    if (left-- > 0) {
      return problemResponse(new ArqonError("log-unavailable", detail, { retry_after_ms }));
    }
    const path = new URL(request.url).pathname.slice(1);
    return new Response(new Uint8Array(await files(path)), { status: 200 });
  });
  const { url } = server;
  const readers = {
    sdk: async () => {
      const log = new VerifiedLog({ url, vkeys: [vkey] });
      await using client = await connect({ url: bus.url, token: bus.token });
      const messages = client.room("bets").subscribe({ begin: replay({ from: "start" }) });
      for await (const message of log.verify(messages)) return `${message.json<{ n: number }>().n}`;
    },
    arq: async () => {
      const io = diskIo("/");
      await finish(io, await verify(io, url, { vkey: [vkey] }), false);
      return io.stdout.text();
    },
    python: async () => {
      const { found, wrong } = await verifierPy(["--vkey", vkey, url]);
      if (wrong !== undefined) throw new Error(wrong);
      return JSON.stringify(found);
    },
  };
  for (const [name, read] of Object.entries(readers)) {
    [left, retry_after_ms] = [REFUSALS, 1];
    assert.match(await read() ?? "", /0|5 entries|"size":5/, name);
    assert(left < 0, name);
    // Longer than anybody waits.
    [left, retry_after_ms] = [Infinity, 600_000];
    const error = await read().then(() => assert.fail(name), (error: Error) => error);
    assert(!(error instanceof ProofError), "it is no evidence");
    assert.match(error.message, /no checkpoint yet.*; waited \d+ s/, name);
    assert.doesNotMatch(error.message, /wrong|was changed/, name);
    [left, given_bytes] = [0, 0];
    await assert.rejects(read(), /more than 16777472 bytes|too large/, name);
    assert(given_bytes < 128 * bytes.length, `${name} has read ${given_bytes} bytes`);
    given_bytes = Infinity;
  }
});

Deno.test("a date to come again is by the clock of whoever says it", async () => {
  const served_ms = Math.floor(Date.now() / 1_000) * 1_000 - 7_200_000;
  const dateIn = (ms: number) => new Date(served_ms + ms).toUTCString();
  const early = { "date": dateIn(0), "retry-after": dateIn(2_000) };
  const answers = [new Response("", { status: 503, headers: early }), new Response("now")];
  const pauses: number[] = [];
  const { answer } = await askPatiently(
    () => Promise.resolve(answers.shift()!),
    60_000,
    (delay_ms) => Promise.resolve(void pauses.push(delay_ms)),
  );
  assert.deepEqual([answer.status, pauses], [200, [2_000]]);
});

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
  const { proxy, url } = proxied(bus);
  await using _proxy = proxy;
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const ask = async (path: string, body?: unknown) => {
    const { status, text } = await admin.ask("POST", path, body);
    assert.equal(status, 200, text);
  };
  await publish(bus, "bets", 1);
  const files = served(bus, "default.bets");
  const vkeys = [await vkeyOf(files)];
  const verifier = decodeVerifier(vkeys[0]!)!;
  const log = new VerifiedLog({ url: treeUrl(bus, "default.bets"), vkeys });
  await using client = await connect({ url, token: bus.token, webSocket: deltaSocket() });
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
