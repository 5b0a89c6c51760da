/**
 * A server whose ports cannot accept any more and never will: the system's limit of open files is
 * lowered under it, below what it has open. It says so and ends itself, for its supervisor.
 */
import assert from "node:assert/strict";
import { createIssuer, startServer } from "./cluster.ts";

for (const websocket of ["native", "ws", "own"] as const) {
  Deno.test(`a Shield that can accept nobody any more ends with 1 (${websocket})`, async () => {
    const issuer = await createIssuer();
    const limits = "[limits]\nlistener_gone_ms = 1000\nlistener_probe_ms = 200\n";
    const lines = `websocket = "${websocket}"`;
    await using shield = await startServer("shield", issuer.config + limits, issuer.dir, lines);
    const url = new URL(shield.ready.url ?? "");
    const { success } = await new Deno.Command("prlimit", {
      args: ["--pid", `${shield.pid}`, "--nofile=5:5"],
    }).output();
    assert(success, "prlimit (of util-linux) is needed");
    // Somebody comes, whom it cannot accept.
    const strangers = await Promise.all([1, 2, 3].map(() => (
      Deno.connect({ hostname: "127.0.0.1", port: Number(url.port) })
    )));
    const { code } = await shield.status;
    assert.equal(code, 1, shield.log());
    assert.match(shield.log(), /draining: the process cannot go on/);
    for (const stranger of strangers) stranger.close();
    await Deno.remove(issuer.dir, { recursive: true });
  });
}
