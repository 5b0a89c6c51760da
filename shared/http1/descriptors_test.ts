/** Our listeners when the system has no descriptor for another connection. */
import assert from "node:assert/strict";
import { testCertificate } from "../listeners/testing/certificate.ts";
import type { TlsPair } from "./door.ts";

const CHILD = new URL("descriptors_child.ts", import.meta.url).pathname;
/** The child has some thirty open anyway. */
const FILES_MAX = 120;
const STRANGERS = 300;

async function runsOut(tls: TlsPair | undefined): Promise<void> {
  const child = new Deno.Command("sh", {
    args: [
      ...["-c", `ulimit -n ${FILES_MAX}; exec "$@"`, "sh", Deno.execPath(), "run"],
      ...["--allow-net=127.0.0.1", CHILD, ...(tls === undefined ? [] : [JSON.stringify(tls)])],
    ],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await output.read();
  const port = Number(value);
  const url = `http${tls === undefined ? "" : "s"}://127.0.0.1:${port}/`;
  using client = Deno.createHttpClient(tls === undefined ? {} : { caCerts: [tls.cert] });
  const strangers: Deno.TcpConn[] = [];
  try {
    for (let count = 0; count < STRANGERS; count++) {
      strangers.push(await Deno.connect({ hostname: "127.0.0.1", port }));
    }
    // It stays in the system's queue until another client disconnects: no client is refused.
    const waiting = fetch(url, { client });
    assert.equal((await output.read()).value, "no files\n");
    for (const stranger of strangers) stranger.close();
    const answer = await (await waiting).json();
    assert(answer.failures > 0, "files did run out");
    const again = await fetch(url, { client });
    assert.equal(again.status, 200);
    await again.body?.cancel();
  } finally {
    child.kill();
    await child.status;
    await output.cancel();
  }
}

Deno.test("serves normally after descriptors ran out", () => runsOut(undefined));

Deno.test("over TLS too", async () => await runsOut(await testCertificate()));
