/**
 * The first moments of a process: it answers on its ops port before it has reached any dependency, and every line of
 * its JSON log names its process. Real processes.
 */
import assert from "node:assert/strict";
import { startTask, withConfig } from "./harness/server_task.ts";

const JSON_LOG = '[log]\nformat = "json"\nlevel = "debug"\n';
/** Only a hanging process takes this long. */
const DEADLINE_MS = 120_000;

/** A server that accepts connections and sends nothing. */
function silent() {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open: Deno.Conn[] = [];
  (async () => {
    for await (const connection of listener) open.push(connection);
  })();
  const close = () => {
    listener.close();
    for (const connection of open) connection.close();
  };
  return { port: listener.addr.port, [Symbol.dispose]: close };
}

type Line = Readonly<Record<string, unknown>>;

/** Lines of its log, as they come; one that is no JSON object fails the test. */
async function* linesOf(child: Deno.ChildProcess): AsyncGenerator<Line> {
  let text = "";
  for await (const part of child.stderr.pipeThrough(new TextDecoderStream())) {
    const lines = (text + part).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line);
  }
  assert.equal(text, "", "the last line has no end");
}

/** The `starting` line, then the rest. */
async function startingLine(lines: AsyncGenerator<Line>): Promise<Line> {
  for (;;) {
    const { value, done } = await lines.next();
    assert.ok(!done, "it ended before it said that it starts");
    if (value.msg === "starting") return value;
  }
}

async function ask(ops_url: unknown, path: string): Promise<{ status: number; body: string }> {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const response = await fetch(`${ops_url}${path}`, { signal });
  return { status: response.status, body: await response.text() };
}

Deno.test("a process that cannot reach NATS yet is alive, has metrics, and is not ready", async (t) => {
  for (const part of ["shield", "brain", "arq"] as const) {
    await t.step(part, async () => {
      using nats = silent();
      const spine =
        `[nats]\nurls = ["nats://127.0.0.1:${nats.port}"]\n#constant nats.connect_timeout_ms = 600_000\n`;
      await withConfig(`${JSON_LOG}${spine}`, async (file) => {
        const child = startTask(part, file);
        const timer = setTimeout(() => child.kill("SIGKILL"), DEADLINE_MS);
        const lines = linesOf(child);
        const all = [await startingLine(lines)];
        const { ops_url } = all[0]!;
        const live = await ask(ops_url, "/health/live");
        assert.equal(live.status, 200, live.body);
        const ready = await ask(ops_url, "/health/ready");
        assert.equal(ready.status, 503);
        const { status, checks } = JSON.parse(ready.body);
        assert.equal(status, "unavailable");
        assert.match(checks.start.detail, /^starting: (loading the program|connecting to NATS)$/);
        const metrics = await ask(ops_url, "/metrics");
        assert.equal(metrics.status, 200);
        assert.match(metrics.body, /^arqon_build_info\{/m);
        child.kill("SIGTERM");
        for await (const line of lines) all.push(line);
        assert.equal((await child.status).code, 0);
        clearTimeout(timer);
        const [{ node_id }] = all as [Line];
        assert.ok(typeof node_id === "string" && node_id !== "");
        assert.deepEqual(all.filter((line) => line.node_id !== node_id), []);
      });
    });
  }
});
