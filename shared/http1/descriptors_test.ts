/** What a listener does when the system gives it no file for another connection. */
import assert from "node:assert/strict";

const CHILD = new URL("descriptors_child.ts", import.meta.url).pathname;
/** What the child has open anyway is some thirty. */
const FILES_MAX = 120;
const STRANGERS = 300;

Deno.test("serves on when files had run out, as if nothing had been", async () => {
  const child = new Deno.Command("sh", {
    args: [
      ...["-c", `ulimit -n ${FILES_MAX}; exec "$@"`, "sh", Deno.execPath(), "run"],
      ...["--allow-net=127.0.0.1", CHILD],
    ],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await output.read();
  const port = Number(value);
  const strangers: Deno.TcpConn[] = [];
  try {
    for (let count = 0; count < STRANGERS; count++) {
      strangers.push(await Deno.connect({ hostname: "127.0.0.1", port }));
    }
    // In the system's own queue until somebody leaves: nobody is refused.
    const waiting = fetch(`http://127.0.0.1:${port}/`);
    assert.equal((await output.read()).value, "no files\n");
    for (const stranger of strangers) stranger.close();
    const answer = await (await waiting).json();
    assert(answer.failures > 0, "files did run out");
    const again = await fetch(`http://127.0.0.1:${port}/`);
    assert.equal(again.status, 200);
    await again.body?.cancel();
  } finally {
    child.kill();
    await child.status;
    await output.cancel();
  }
});
