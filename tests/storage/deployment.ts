/** The bus that tenants fill: a Shield and Brains on a real NATS with a small `max_file`. For `room_bytes_test.ts`. */
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { createIssuer, startServer } from "../harness/cluster.ts";
import { startNats } from "../harness/nats_server.ts";

/** How large all is, in bytes. */
export interface Sizes {
  /** NATS' `max_file`. */
  readonly storage_bytes: number;
  /** `[durable] log_bytes`. */
  readonly log_bytes: number;
  /** Absent: 1. */
  readonly brains?: number;
}

/** A stream, as JetStream has it. */
export interface StreamSize {
  readonly name: string;
  readonly used_bytes: number;
  /** 0 or less: none. */
  readonly bound_bytes: number;
}

/** A running bus. */
export interface Deployment extends AsyncDisposable {
  /** Of WebSockets. */
  readonly url: string;
  readonly ops_url: string;
  readonly admin_url: string;
  tokenFor(tenant: string, user: string, role: "user" | "service" | "admin"): Promise<string>;
  /** All there are; of the embedded engine none. */
  streams(): Promise<StreamSize[]>;
}

const COMMON = `
[limits]
messages_per_second = 100_000
bytes_per_second = 1_000_000_000
[[rooms]]
room = "log-*"
durable = true
history_size = 1_000_000
`;

/** A Shield and Brains, each a process, on one NATS. */
export async function natsDeployment(sizes: Sizes): Promise<Deployment> {
  await using stack = new AsyncDisposableStack();
  const { storage_bytes, log_bytes, brains = 1 } = sizes;
  const folder = await Deno.makeTempDir({ prefix: "arqon-storage-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const config = `jetstream { store_dir: ${JSON.stringify(folder)}, max_file: ${storage_bytes} }`;
  const nats = stack.use(await startNats({ config }));
  const issuer = stack.use(await createIssuer());
  const text = `${COMMON}[durable]\nlog_bytes = ${log_bytes}\n[nats]\nurls = ["${nats.url}"]\n`;
  const shield = stack.use(await startServer("shield", `${text}${issuer.config}`, issuer.dir));
  for (let n = 0; n < brains; n++) stack.use(await startServer("brain", text, issuer.dir));
  const connection = await connect({ servers: nats.url.replace("nats://", "") });
  stack.defer(() => connection.close());
  const { streams } = await jetstreamManager(connection);
  const owned = stack.move();
  const { url = "", ops_url = "", admin_url = "" } = shield.ready;
  return {
    url: `${url.replace(/^http/, "ws")}/v1/socket`,
    ops_url,
    admin_url,
    tokenFor: (tenant_id, sub, role) => issuer.tokenFor({ tenant_id, sub, role }),
    async streams() {
      const found: StreamSize[] = [];
      for await (const { config, state } of streams.list()) {
        const { name, max_bytes: bound_bytes } = config;
        found.push({ name, used_bytes: state.bytes, bound_bytes });
      }
      return found;
    },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}
