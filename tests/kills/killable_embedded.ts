/** `arq serve` on the embedded Spine that is killed during a test, and restarts at the same address. */
import { freePort } from "../harness/free_ports.ts";
import { initFolder, startServe, tokenOf } from "../harness/serve_bus.ts";

/** A bus on several Shields, each of which can be killed and restarts at the same address. */
export interface KillableBus extends AsyncDisposable {
  readonly urls: readonly string[];
  readonly token: string;
  /** Resolves when it has restarted; with SIGTERM it stops orderly. */
  killOne(turn: number, signal?: Deno.Signal): Promise<void>;
}

/** With `more` in its configuration; rooms `orders*` are durable. */
export async function killableEmbedded(more = ""): Promise<KillableBus> {
  const port = freePort();
  const folder = await initFolder(more, port);
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
