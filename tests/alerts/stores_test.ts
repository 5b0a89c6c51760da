/** Alerts about NATS and Valkey themselves, as the exporters that `compose.yaml` starts show them. */
import { jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { freePort } from "../harness/free_ports.ts";
import { type NatsServer, startNats } from "../harness/nats_server.ts";
import { startValkey, type ValkeyServer } from "../harness/valkey_server.ts";
import { startNatsExporter, startValkeyExporter } from "./exporters.ts";
import { type LocalStage, startLocalStage } from "./local_stage.ts";
import { again, play, type Row } from "./play.ts";

interface Stores extends LocalStage {
  readonly nats: NatsServer;
  readonly valkey: ValkeyServer;
}

/** A subscriber that reads nothing from then on, so that NATS cuts it. */
async function deafReader(port: number, subject: string): Promise<Disposable> {
  const reader = await Deno.connect({ hostname: "127.0.0.1", port });
  const lines = `CONNECT {"verbose":false}\r\nSUB ${subject} 1\r\nPING\r\n`;
  await reader.write(new TextEncoder().encode(lines));
  const decoder = new TextDecoder();
  const bytes = new Uint8Array(4_096);
  for (let text = ""; !text.includes("PONG\r\n");) {
    const length = await reader.read(bytes);
    if (length === null) throw new Error(`NATS has closed it: ${text}`);
    text += decoder.decode(bytes.subarray(0, length));
  }
  return reader;
}

const FULL: readonly Row<Stores>[] = [{
  alert: "ArqonNatsStorageHigh",
  async breaks({ nats }) {
    const connection = await connect({ servers: nats.url });
    const { streams } = await jetstreamManager(connection);
    await streams.add({ name: "FILLING", subjects: ["filling"], storage: StorageType.File });
    for (let count = 0; count < 95; count++) {
      await jetstream(connection).publish("filling", new Uint8Array(1_000_000));
    }
    return async () => {
      await streams.delete("FILLING");
      await connection.close();
    };
  },
  says: /a larger disk and `max_file_store`/,
  shows: { "arq room class list": /./ },
}, {
  alert: "ArqonNatsSlowConsumers",
  async breaks({ nats }) {
    const connection = await connect({ servers: nats.url });
    const stop = again(500, async () => {
      using _deaf = await deafReader(nats.port, "flood");
      for (let count = 0; count < 20; count++) connection.publish("flood", new Uint8Array(500_000));
      await connection.flush();
    });
    return async () => {
      await stop();
      await connection.close();
    };
  },
  says: /subscribers received a GAP/,
  shows: {},
}];

const DOWN: readonly Row<Stores>[] = [{
  alert: "ArqonNatsDown",
  async breaks({ nats }) {
    await nats.kill();
    return () => nats.start();
  },
  says: /restore the server/,
  shows: {},
}, {
  alert: "ArqonValkeyDown",
  async breaks({ valkey }) {
    await valkey.kill();
    return () => valkey.start();
  },
  says: /restore the server; it needs no data/,
  shows: {},
}];

Deno.test("alerts about NATS and Valkey by their exporters", async () => {
  await using stack = new AsyncDisposableStack();
  const monitor = freePort();
  const nats = stack.use(
    await startNats({
      jetstream: true,
      max_file: "100MB",
      sync_interval: "2m",
      config: `http: "127.0.0.1:${monitor}"\nmax_pending: 2MB\nwrite_deadline: "500ms"\n`,
    }),
  );
  const valkey = stack.use(await startValkey());
  const pages = {
    "arqon-nats": stack.use(startNatsExporter(monitor)).url,
    "arqon-valkey": stack.use(startValkeyExporter(valkey)).url,
  };
  const local = stack.use(await startLocalStage(`[nats]\nurls = ["${nats.url}"]\n`));
  await play({ ...local, nats, valkey, pages }, [FULL, DOWN]);
});
