/**
 * A bus of two Shields and two Brains on one NATS, where each process can be replaced by another tree's, and clients of
 * both trees and both languages that continue meanwhile.
 */
import { TextLineStream } from "../../bench/measure/text_lines.ts";
import { until } from "../../shared/testing/until.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "../harness/cluster.ts";
import { freePorts } from "../harness/free_ports.ts";
import { startNats } from "../harness/nats_server.ts";
import { startTcpProxy } from "../harness/tcp_proxy.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";

const CONFIG = `
${durableRooms("kept-*")}
[ledger]
store = true
`;
/** Publishes of each client between two replacements. */
const PUBLISHES = 25;

/** The processes, in the order of their replacement. */
export const NODES = ["shield-0", "brain-0", "shield-1", "brain-1"] as const;
/** One of them. */
export type NodeName = typeof NODES[number];

/** A client's final report. */
export interface Found {
  readonly acknowledged: number;
  readonly received: readonly (number | string)[];
  readonly refused: readonly string[];
}

/** A running client. */
class Client {
  readonly #child: Deno.ChildProcess;
  readonly #read: Promise<void>;
  #printed: Partial<Found> = {};

  constructor(readonly name: string, program: string, options: Deno.CommandOptions) {
    const piped = { stdin: "piped", stdout: "piped", stderr: "inherit" } as const;
    this.#child = new Deno.Command(program, { ...options, ...piped }).spawn();
    this.#read = this.#child.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream())
      .pipeTo(new WritableStream({ write: (line) => void (this.#printed = JSON.parse(line)) }));
  }

  get acknowledged(): number {
    return this.#printed.acknowledged ?? 0;
  }

  async end(): Promise<Found> {
    await this.#child.stdin.close();
    const [{ code }] = await Promise.all([this.#child.status, this.#read]);
    if (code !== 0 || this.#printed.received === undefined) {
      throw new Error(`${this.name} ended: ${code}`);
    }
    return this.#printed as Found;
  }

  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has already ended.
    }
    await Promise.all([this.#child.status, this.#read]);
  }
}

/** Made by `openWorld`. */
export class World implements AsyncDisposable {
  readonly issuer: Issuer;
  readonly #stack: AsyncDisposableStack;
  readonly #config: string;
  readonly #ports: ReadonlyMap<string, number>;
  readonly #processes = new Map<NodeName, ServerProcess>();
  readonly #logs: string[] = [];
  readonly #clients: Client[] = [];
  readonly #url: string;

  constructor(issuer: Issuer, nats_url: string, config: string, stack: AsyncDisposableStack) {
    this.issuer = issuer;
    this.#stack = stack;
    this.#config = `[nats]\nurls = ["${nats_url}"]\n${CONFIG}${config}${issuer.config}`;
    const ports = freePorts(NODES.length);
    this.#ports = new Map(NODES.map((name, at) => [name, ports[at]!]));
    let turn = 0;
    const { port } = stack.use(startTcpProxy(() => {
      const open = NODES.filter((name) => name.startsWith("shield") && this.#processes.has(name));
      return this.#ports.get(open[turn++ % open.length] ?? "");
    }));
    this.#url = `ws://127.0.0.1:${port}`;
  }

  /** What all processes have logged so far. */
  get log(): string {
    return [...this.#logs, ...[...this.#processes.values()].map((one) => one.log())].join("\n");
  }

  /** The process's addresses for operators, for `arq`. */
  flagsOf(name: NodeName): readonly string[] {
    const { ops_url = "", admin_url = "" } = this.#processes.get(name)?.ready ?? {};
    return ["--ops-url", ops_url, "--admin-url", admin_url];
  }

  async start(name: NodeName, tree: string): Promise<void> {
    const part = name.startsWith("shield") ? "shield" : "brain";
    const lines = `node_id = "${name}"\n`;
    const port = part === "shield" ? this.#ports.get(name) : 0;
    const process = await startServer(part, this.#config, this.issuer.dir, lines, {
      port,
      root: tree,
    });
    this.#processes.set(name, process);
  }

  async stop(name: NodeName, signal: Deno.Signal = "SIGTERM"): Promise<void> {
    const process = this.#processes.get(name);
    this.#processes.delete(name);
    await process?.stop(signal);
    this.#logs.push(process?.log() ?? "");
  }

  /**
   * A client of that tree's TypeScript SDK, or with `python` of its Python SDK; `tokens` is a URL that issues its
   * tokens, instead of one for an hour.
   */
  async addClient(
    name: string,
    tree: string,
    client_dir: string,
    python?: string,
    tokens?: string,
  ): Promise<void> {
    const url = this.#url;
    const token = tokens ?? await this.issuer.tokenFor({ sub: name });
    const program = python ?? Deno.execPath();
    const script = python === undefined
      ? ["run", "--no-prompt", "--allow-net", "--allow-env", `${tree}/tests/upgrade/client.ts`]
      : [`${client_dir}/tests/upgrade/client.py`];
    const env = python === undefined ? {} : { PYTHONPATH: `${tree}/sdk/python/src` };
    const options = { args: [...script, url, token, name], cwd: tree, env };
    this.#clients.push(new Client(name, program, options));
  }

  /** Resolves when each client has published `PUBLISHES` more. */
  async goesOn(): Promise<void> {
    const before = this.#clients.map(({ acknowledged }) => acknowledged);
    await until(
      () => `traffic goes on: ${this.#clients.map((one) => `${one.name} ${one.acknowledged}`)}`,
      () => this.#clients.every((one, at) => one.acknowledged >= before[at]! + PUBLISHES),
      120_000,
    );
  }

  /** Ends the clients. */
  async found(): Promise<ReadonlyMap<string, Found>> {
    const all = this.#clients.map(async (one) => [one.name, await one.end()] as const);
    return new Map(await Promise.all(all));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((one) => one.kill()));
    await Promise.all(NODES.map((name) => this.stop(name, "SIGKILL")));
    await this.#stack.disposeAsync();
  }
}

/** An empty NATS; `config` is additional configuration of all processes. */
export async function openWorld(config = ""): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const issuer = stack.use(await createIssuer());
  const nats = stack.use(await startNats({ jetstream: true }));
  return new World(issuer, nats.url, config, stack.move());
}
