/** A bus that goes silent within a journal, or before it, ends the reading with an error. */
import assert from "node:assert/strict";
import { diskIo } from "../testing/disk_io.ts";
import { Admin } from "../bus/admin.ts";
import { journalAnswer, journalBytes } from "./bus_journal.ts";

const LINE = `{"hole":1}\n`;
const END = `{"next":"7","is_end":true}\n`;

/** Reads from a bus that answers like this: the lines, and how it ended. */
async function read(answer: () => Promise<Response>, silence_ms: number) {
  const over = new AbortController();
  const at = { port: 0, hostname: "127.0.0.1", onListen: () => {}, signal: over.signal };
  const server = Deno.serve(at, answer);
  const admin = new Admin(diskIo("/"), `http://127.0.0.1:${server.addr.port}`, "t");
  const lines = journalAnswer(admin, { tenant: "acme" }, 10, silence_ms);
  let text = "";
  try {
    for (;;) {
      const { done, value } = await lines.next();
      if (done === true) return { text, end: value };
      text += new TextDecoder().decode(value);
    }
  } catch (error) {
    return { text, error: error as { reason: string; message: string } };
  } finally {
    over.abort();
  }
}

/** The texts, and then an end, or silence until the reader is gone. */
function saying(texts: readonly string[], is_silent: boolean): Response {
  const left = [...texts];
  const gone = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = left.shift();
      if (next !== undefined) return controller.enqueue(new TextEncoder().encode(next));
      if (is_silent) return await gone.promise;
      controller.close();
    },
    cancel: () => gone.resolve(),
  });
  return new Response(body);
}

Deno.test("a journal whose bus becomes silent is a lost connection, and a complete one is read until its end", async () => {
  const whole = await read(() => Promise.resolve(saying([LINE, END], false)), 60_000);
  assert.deepEqual(whole, { text: LINE, end: { next: "7", is_end: true } });
  const silent = await read(() => Promise.resolve(saying([LINE, LINE], true)), 1_000);
  assert.equal(silent.error?.reason, "connection-lost");
  assert.match(silent.error?.message ?? "", /has sent nothing of the journal for 1 s/);
  const answer = Promise.withResolvers<Response>();
  const mute = await read(() => answer.promise, 1_000);
  answer.resolve(saying([], false));
  assert.deepEqual([mute.text, mute.error?.reason], ["", "connection-lost"]);
});

Deno.test("a journal that grows while it is read is read up to its initial end, whatever its times", async () => {
  const over = new AbortController();
  let newest = 2;
  const requests: string[] = [];
  const answer = (request: Request) => {
    const query = new URL(request.url).searchParams;
    requests.push(query.get("until_ms") ?? "no until_ms");
    if (query.has("newest")) return new Response(`${LINE}{"next":"${newest}","is_end":true}\n`);
    const block = Number(query.get("after") ?? 0) + 1;
    // Another block for each one that is read: there is always more.
    newest++;
    return new Response(`{"hole":${block}}\n{"next":"${block}","is_end":false}\n`);
  };
  const at = { port: 0, hostname: "127.0.0.1", onListen: () => {}, signal: over.signal };
  const server = Deno.serve(at, answer);
  try {
    const admin = new Admin(diskIo("/"), `http://127.0.0.1:${server.addr.port}`, "t");
    let text = "";
    for await (const bytes of journalBytes(admin, { tenant: "acme" })) {
      text += new TextDecoder().decode(bytes);
    }
    assert.equal(text, `{"hole":1}\n{"hole":2}\n`);
    assert.deepEqual(new Set(requests), new Set(["no until_ms"]));
  } finally {
    over.abort();
    await server.finished;
  }
});
