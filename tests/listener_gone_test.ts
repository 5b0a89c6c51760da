/**
 * A server whose ports cannot accept any more and never will: the system's limit of open files is
 * lowered under it, below what it has open. It says so, also to who has scraped it before and stays
 * connected, and ends itself, for its supervisor.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";

const ANSWER_MS = 5_000;

/** The page of metrics, by the connection of whoever asked before; undefined when nobody answers. */
async function pageOf(ops_url: string): Promise<string | undefined> {
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    return await (await fetch(`${ops_url}/metrics`, { signal })).text();
  } catch {
    return undefined;
  }
}

/** The last page that was answered. */
async function lastPage(ops_url: string): Promise<string> {
  let last = "";
  await until("nobody answers", async () => {
    const page = await pageOf(ops_url);
    last = page ?? last;
    return page === undefined;
  });
  return last;
}

function valueOf(page: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(page)?.[1]);
}

for (const websocket of ["native", "ws", "own"] as const) {
  Deno.test(`a Shield that can accept nobody any more ends with 1 (${websocket})`, async () => {
    const issuer = await createIssuer();
    const limits = "[limits]\nlistener_gone_ms = 3000\nlistener_probe_ms = 200\n";
    const lines = `websocket = "${websocket}"`;
    await using shield = await startServer("shield", issuer.config + limits, issuer.dir, lines);
    const url = new URL(shield.ready.url ?? "");
    assert.ok(await pageOf(shield.ready.ops_url!));
    const { success } = await new Deno.Command("prlimit", {
      args: ["--pid", `${shield.pid}`, "--nofile=5:5"],
    }).output();
    assert(success, "prlimit (of util-linux) is needed");
    // Somebody comes, whom it cannot accept.
    const strangers = await Promise.all([1, 2, 3].map(() => (
      Deno.connect({ hostname: "127.0.0.1", port: Number(url.port) })
    )));
    const page = await lastPage(shield.ready.ops_url!);
    for (const name of ["shield_accept_failures_total", "shield_probe_failures_total"]) {
      assert.ok(valueOf(page, name) > 0, `${name} in ${page}`);
    }
    const { code } = await shield.status;
    assert.equal(code, 1, shield.log());
    assert.match(shield.log(), /draining: the process cannot go on/);
    for (const stranger of strangers) stranger.close();
    await Deno.remove(issuer.dir, { recursive: true });
  });
}
