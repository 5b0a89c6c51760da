/** `deno task dev --observe` with the real Prometheus, and on a machine without one. */
import assert from "node:assert/strict";
import { found, until } from "../shared/testing/until.ts";
import { startBus, type TestBus } from "./harness/bus.ts";

const prometheusOf = (bus: TestBus): Promise<string> =>
  found("a Prometheus is named", () => bus.log().match(/Prometheus on (http:\S+)/)?.[1]);

async function answers(url: string): Promise<boolean> {
  try {
    await (await fetch(`${url}/-/ready`)).body?.cancel();
    return true;
  } catch {
    return false;
  }
}

/** The value of a query's first result. */
async function first(url: string, query: string): Promise<string | undefined> {
  const response = await fetch(`${url}/api/v1/query?query=${encodeURIComponent(query)}`);
  return (await response.json()).data.result[0]?.value[1];
}

Deno.test("dev --observe starts a Prometheus that reads the bus and ends with it", async () => {
  const bus = await startBus(["--observe"]);
  let url: string;
  try {
    url = await prometheusOf(bus);
    assert.ok(bus.log().includes(`console on ${bus.admin_url}/console/`), bus.log());
    await until("the bus is read", async () => await first(url, 'up{job="arqon-dev"}') === "1");
    // A recording rule: the files of deploy/ are loaded.
    await found("the rule", () => first(url, "instance:shield_active_connections:sum"));
  } finally {
    assert.equal((await bus.stop()).code, 0, bus.log());
  }
  assert.equal(await answers(url), false);
});

Deno.test("a Prometheus of dev does not outlive a killed one", async () => {
  const bus = await startBus(["--observe-port", "0"]);
  const url = await prometheusOf(bus);
  await bus.stop("SIGKILL");
  await until("it answers no more", async () => !await answers(url));
});

Deno.test("dev --observe continues without a Prometheus and reports what to install", async () => {
  const folder = await Deno.makeTempDir();
  const link = 'ln -s "$(command -v sh)" "$(command -v ps)" "$0"';
  assert.ok((await new Deno.Command("sh", { args: ["-c", link, folder] }).output()).success);
  const bus = await startBus(["--observe"], false, ["env", `PATH=${folder}`]);
  try {
    const notice = /no Prometheus: install it \(apt-get install prometheus/;
    await until("a word of it", () => notice.test(bus.log()));
    const live = await fetch(`${bus.ops_url}/health/live`);
    assert.equal(live.status, 200);
    await live.body?.cancel();
  } finally {
    await bus.stop();
    await Deno.remove(folder, { recursive: true });
  }
});
