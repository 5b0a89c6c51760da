/**
 * A bus whose Shields are killed during a test, and restart at the same address: `arq serve` on the embedded Spine, or
 * two Shields and a Brain on NATS with the documented accounts. Rooms `orders*` are durable.
 */
import { createIssuer, startServer } from "../harness/cluster.ts";
import { documentedAccounts } from "../harness/documented_accounts.ts";
import { freePort } from "../harness/free_ports.ts";
import { startNatsCluster } from "../harness/nats_cluster.ts";
import { startNats } from "../harness/nats_server.ts";
import { initFolder, startServe, tokenOf } from "../harness/serve_bus.ts";

/** A bus on several Shields, each of which can be killed and restarts at the same address. */
export interface KillableBus extends AsyncDisposable {
  readonly urls: readonly string[];
  readonly token: string;
  /** Resolves when it has restarted; with SIGTERM it stops orderly. */
  killOne(turn: number, signal?: Deno.Signal): Promise<void>;
}

/** On the embedded Spine. */
export async function killableEmbedded(): Promise<KillableBus> {
  const folder = await initFolder();
  const file = `${folder.path}/config.toml`;
  const port = freePort();
  const config = await Deno.readTextFile(file);
  await Deno.writeTextFile(file, config.replace(/(\[server\][^[]*?^port = )0$/m, `$1${port}`));
  let bus = await startServe(folder.path);
  return {
    urls: [`http://127.0.0.1:${port}`],
    token: await tokenOf(folder.path, "user"),
    async killOne(_turn, signal = "SIGKILL") {
      await bus.stop(signal);
      bus = await startServe(folder.path);
    },
    async [Symbol.asyncDispose]() {
      await bus.stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}

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
[[rooms]]
room = "orders*"
durable = true
history_size = 100_000
${more}
${issuer.config}`;
  const start = (port: number) =>
    startServer("shield", config("shield"), issuer.dir, server_lines, port);
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
