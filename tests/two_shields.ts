/**
 * Two Shields and a Brain on one NATS, all separate processes, for tests that are not written in TypeScript: one line
 * of JSON has their addresses, then each line `stop N` on stdin sends SIGTERM to a Shield and is answered with its exit
 * status. The end of stdin ends everything.
 */
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";

const write = (answer: unknown) =>
  Deno.stdout.write(new TextEncoder().encode(`${JSON.stringify(answer)}\n`));

async function main(users: readonly string[]): Promise<void> {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
  const drain = "drain_ms = 20_000\ndrain_timeout_ms = 60_000";
  await using _brain = await startServer("brain", config, issuer.dir);
  await using one = await startServer("shield", config, issuer.dir, `node_id = "one"\n${drain}`);
  await using two = await startServer("shield", config, issuer.dir, `node_id = "two"\n${drain}`);
  const shields = [one, two];
  const tokens = await Promise.all(
    users.map(async (sub) => [sub, await issuer.tokenFor({ sub })]),
  );
  const ports = shields.map(({ ready }) => Number(new URL(ready.url ?? "").port));
  await write({ ports, tokens: Object.fromEntries(tokens) });
  let text = "";
  for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) {
      const status = await shields[Number(line.replace("stop ", ""))]?.stop();
      await write({ code: status?.code });
    }
  }
}

if (import.meta.main) await main(Deno.args);
