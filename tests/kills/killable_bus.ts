/**
 * Two Shields and a Brain on NATS with the documented accounts, which are killed during a test, and restart at the same
 * address. Rooms `orders*` are durable.
 */
import { createIssuer, startServer } from "../harness/cluster.ts";
import { documentedAccounts } from "../harness/documented_accounts.ts";
import { freePort } from "../harness/free_ports.ts";
import { startNatsCluster } from "../harness/nats_cluster.ts";
import { startNats } from "../harness/nats_server.ts";
import type { KillableBus } from "./killable_embedded.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";

/** On NATS; `server_lines` are more lines of the Shields' `[server]`. `servers`: one with accounts, or a cluster. */
export async function killableOnNats(
  more = "",
  server_lines = "",
  servers: 1 | 3 = 1,
): Promise<KillableBus> {
  const issuer = await createIssuer();
  const nats = servers === 3
    ? await startNatsCluster()
    : await startNats({ jetstream: true, config: await documentedAccounts() });
  const urls = (user: string) =>
    "urls" in nats ? nats.urls : [nats.url.replace("nats://", `nats://${user}:secret@`)];
  const config = (user: string) =>
    `[nats]\nurls = ${JSON.stringify(urls(user))}
${durableRooms("orders*", "history_size = 100_000")}
${more}
${issuer.config}`;
  const start = (port: number) =>
    startServer("shield", config("shield"), issuer.dir, server_lines, { port });
  const ports = [freePort(), freePort()];
  const brain = await startServer("brain", config("brain"), issuer.dir);
  const shields = await Promise.all(ports.map(start));
  return {
    urls: ports.map((port) => `http://127.0.0.1:${port}`),
    token: await issuer.tokenFor(),
    async killOne(turn, signal = "SIGKILL") {
      const at = turn % ports.length;
      await shields[at]?.stop(signal);
      shields[at] = await start(ports[at] as number);
    },
    async [Symbol.asyncDispose]() {
      for (const server of [...shields, brain]) await server.stop();
      await nats[Symbol.asyncDispose]();
      await issuer[Symbol.asyncDispose]();
    },
  };
}
