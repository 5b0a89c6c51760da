/** Before its first checkpoint a log that another Shield creates answers 503: every reader retries for a while. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { connect } from "@arqon/sdk";
import { replay } from "@arqon/sdk/history";
import { ProofError, VerifiedLog } from "@arqon/sdk/proof";
import { verify } from "../../arq/commands/proof/proof.ts";
import { finish } from "../../arq/terminal/io.ts";
import { diskIo } from "../../arq/testing/disk_io.ts";
import { askPatiently } from "../../sdk/typescript/proof/patient.ts";
import { problemResponse } from "../../shared/problem.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { grown, PROOF_CONFIG, publish, served, verifierOf, vkeyOf } from "./served.ts";
import { verifierPy } from "./verifier.ts";

const REFUSALS = 2;

Deno.test("readers ask again when a log says so, and say in the end what they waited for", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  await publish(bus, "bets", 5);
  const files = served(bus, "default.bets");
  await grown(files, await verifierOf(files), 5);
  const vkey = await vkeyOf(files);
  let [left, retry_after_ms, given_bytes] = [0, 1, Infinity];
  const bytes = new Uint8Array(1_048_576);
  /** More than any file of a log has. */
  const flood = () =>
    new ReadableStream({
      pull(controller) {
        controller.enqueue(bytes);
        if ((given_bytes += bytes.length) >= 512 * bytes.length) controller.close();
      },
    });
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    async (request) => {
      if (given_bytes === 0) return new Response(flood());
      const detail = "the tree has no checkpoint yet";
      if (left-- > 0) {
        return problemResponse(new ArqonError("log-unavailable", detail, { retry_after_ms }));
      }
      const path = new URL(request.url).pathname.slice(1);
      return new Response(new Uint8Array(await files(path)), { status: 200 });
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}`;
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
