/**
 * The bucket of schemas for another tool: on NATS with only the client library, on the embedded engine with a plain
 * view. Tests only.
 */
import { jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-deno";
import { watched } from "../../../shared/spine/nats/testing/nats_harness.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { startNats } from "../../../tests/harness/nats_server.ts";
import { testSpine } from "../../testing/spine.ts";

/** Reads and writes raw keys and values, as another tool would. */
export interface BucketTool {
  put(key: string, value: Uint8Array): Promise<unknown>;
  get(key: string): Promise<Uint8Array | undefined>;
  /** Deletes a key; with `purge` also the key's history, if there is one. */
  delete(key: string, purge?: boolean): Promise<void>;
  keys(): Promise<string[]>;
}

/** A bus and another tool at its bucket. */
export interface ToolStage extends AsyncDisposable {
  readonly spine: Spine;
  /** Opens another connection; the embedded engine has only one. */
  connect(): Promise<Spine>;
  tool(bucket?: string): Promise<BucketTool>;
  /** Removes everything from a stream, which watches do not report. NATS only. */
  purgeStream?(stream: string): Promise<void>;
}

async function embeddedTool(spine: Spine, bucket: string): Promise<BucketTool> {
  const view = await spine.keyValue(bucket, { plain: true });
  const tokens = (key: string) => key.split(".");
  return {
    put: (key, value) => view.put(tokens(key), value),
    get: async (key) => (await view.get(tokens(key)))?.value,
    delete: (key) => view.delete(tokens(key)),
    keys: async () => (await view.keys()).map((key) => key.join(".")).sort(),
  };
}

/** Starts an embedded engine in memory. */
export function embeddedStage(): Promise<ToolStage> {
  const engine = testSpine();
  const { spine } = engine;
  return Promise.resolve({
    spine,
    connect: () => Promise.resolve(spine),
    tool: (bucket = "ARQON_SCHEMAS") => embeddedTool(spine, bucket),
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  });
}

/** Starts a real NATS server. */
export async function natsStage(): Promise<ToolStage> {
  const stack = new AsyncDisposableStack();
  try {
    const server = stack.use(await startNats({ jetstream: true }));
    const open = async () => stack.use(await watched(server.port)).spine;
    const spine = await open();
    const tool = async (bucket = "ARQON_SCHEMAS"): Promise<BucketTool> => {
      const connection = await connect({ servers: server.url });
      stack.defer(() => connection.close());
      const kv = await new Kvm(connection).create(bucket);
      return {
        put: (key, value) => kv.put(key, value),
        async get(key) {
          const entry = await kv.get(key);
          return entry?.operation === "PUT" ? new Uint8Array(entry.value) : undefined;
        },
        delete: (key, purge = false) => purge ? kv.purge(key) : kv.delete(key),
        keys: async () => (await Array.fromAsync(await kv.keys())).sort(),
      };
    };
    const purgeStream = async (stream: string) => {
      const connection = await connect({ servers: server.url });
      const { streams } = await jetstreamManager(connection);
      await streams.purge(stream);
      await connection.close();
    };
    return {
      spine,
      connect: open,
      tool,
      purgeStream,
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** A test on the embedded engine and on a real NATS server. */
export function onBoth(
  what: string,
  run: (stage: ToolStage, tool: BucketTool) => Promise<void>,
): void {
  for (const [engine, open] of [["embedded", embeddedStage], ["nats", natsStage]] as const) {
    Deno.test(`${engine}: ${what}`, async () => {
      await using stage = await open();
      await run(stage, await stage.tool());
    });
  }
}
