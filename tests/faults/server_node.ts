/**
 * One Brain or Shield of the cluster as a process with fault injection: killed, stopped, restarted, cut off from NATS
 * by a proxy. It keeps the log of every start in a file. The caller chooses the faults.
 */
import { pace } from "../../shared/testing/pace.ts";
import { type ServerProcess, startServer } from "../harness/cluster.ts";
import { startTcpProxy, type TcpProxy } from "../harness/tcp_proxy.ts";

/** The options of a node. */
export interface NodeOptions {
  /** Its node id. */
  readonly name: string;
  readonly part: "shield" | "brain";
  /** Everything of the configuration except `[server]` and `[nats]`. */
  readonly config: string;
  /** Additional lines of `[server]`. */
  readonly server_lines: string;
  /** With a proxy before each of these ports; or addresses that the node uses directly, and then `cut` does nothing. */
  readonly nats: readonly (number | string)[];
  /** For configuration files and logs. */
  readonly dir: string;
  /** Receives unexpected events: a process that ended on its own. */
  readonly onSurprise: (text: string) => void;
  /** Port for clients; absent: another one with each start. */
  readonly port?: number;
  /** Additional environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Failed starts in a row, because NATS has faults too, after which the run is abandoned. */
const ATTEMPTS = 20;
const RETRY_MS = 500;
/** Time for a process to drain and end. */
const END_MS = 60_000;
/** The log line of an uncaught error. */
const BUG = /level=error .*msg="(uncaught error|unhandled rejection)".*/g;

/** One node of a fleet; its construction does not start it. */
export class ServerNode implements AsyncDisposable {
  readonly #options: NodeOptions;
  readonly #proxies: readonly TcpProxy[];
  readonly #nats_urls: readonly string[];
  #process: ServerProcess | undefined;
  #ready: Readonly<Record<string, string>> = {};
  #starts = 0;
  #stopped = false;

  constructor(options: NodeOptions) {
    this.#options = options;
    const { nats } = options;
    this.#proxies = nats.flatMap((one) => typeof one === "number" ? startTcpProxy(one) : []);
    const proxied = this.#proxies.map(({ port }) => `nats://127.0.0.1:${port}`);
    this.#nats_urls = [...proxied, ...nats.filter((one) => typeof one === "string")];
  }

  get name(): string {
    return this.#options.name;
  }

  /** Port of the client listener, undefined while the process is down; a stopped one has it. */
  get client_port(): number | undefined {
    const url = this.#process?.ready.url;
    return url === undefined ? undefined : Number(new URL(url).port);
  }

  /** Whether it accepts new clients, as far as it was not told to end. */
  get is_open(): boolean {
    return this.#process !== undefined && !this.#stopped;
  }

  /** The fields of its last ready line. */
  get ready(): Readonly<Record<string, string>> {
    return this.#ready;
  }

  /** Base of its admin listener, undefined while the process is down. */
  get admin_url(): string | undefined {
    return this.#process?.ready["admin_url"];
  }

  /** As a supervisor would: repeatedly until it is ready. Rejects with the log when it never is. */
  async start(): Promise<void> {
    const { part, config, server_lines, name, dir, port, env = {} } = this.#options;
    const nats = `[nats]\nurls = ${JSON.stringify(this.#nats_urls)}\n`;
    for (let attempt = 1;; attempt++) {
      try {
        const lines = `node_id = "${name}"\n${server_lines}`;
        const process = await startServer(part, nats + config, dir, lines, { port, env });
        this.#process = process;
        this.#ready = process.ready;
        this.#starts++;
        void process.status.then((status) => this.#onEnd(process, status));
        return;
      } catch (error) {
        if (attempt === ATTEMPTS) throw error;
        await pace(RETRY_MS);
      }
    }
  }

  /** SIGKILL, or SIGTERM and waiting for the drain. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const process = this.#process;
    if (process === undefined) return;
    if (signal === "SIGKILL") this.#process = undefined;
    this.#stopped = true;
    const timer = setTimeout(() => {
      this.#options.onSurprise(`${this.name} did not end within ${END_MS} ms of ${signal}`);
      process.signal("SIGKILL");
    }, END_MS);
    await process.stop(signal);
    clearTimeout(timer);
    this.#process = undefined;
    this.#stopped = false;
    await this.#keepLog(process);
  }

  /** SIGSTOP or SIGCONT. */
  signal(name: "SIGSTOP" | "SIGCONT"): void {
    this.#process?.signal(name);
  }

  /** Ends its connections to NATS and refuses new ones, until `restore`. */
  async cut(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.cut()));
  }

  restore(): void {
    for (const proxy of this.#proxies) proxy.restore();
  }

  /** The log of its present process. */
  get log(): string {
    return this.#process?.log() ?? "";
  }

  /** Uncaught errors of its present process. */
  bugs(): string[] {
    return this.log.match(BUG) ?? [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGKILL");
    await Promise.all(this.#proxies.map((proxy) => proxy[Symbol.asyncDispose]()));
  }

  #onEnd(process: ServerProcess, { code, signal }: Deno.CommandStatus): void {
    if (this.#stopped || this.#process !== process) return;
    this.#process = undefined;
    const how = signal === null ? `code ${code}` : signal;
    this.#options.onSurprise(`${this.name} ended by itself (${how})`);
    void this.#keepLog(process);
  }

  async #keepLog(process: ServerProcess): Promise<void> {
    const { dir, name, onSurprise } = this.#options;
    for (const line of process.log().match(BUG) ?? []) onSurprise(`${name} logged: ${line}`);
    await Deno.writeTextFile(`${dir}/${name}.${this.#starts}.log`, process.log());
  }
}
