/**
 * Two Shields on one NATS, whose journal keeps every decision, the script's policies on them, and `arq` as an
 * operator calls it. It starts, kills and asks; what comes of it is `run.ts`.
 */
import { runArq } from "../../arq/testing/run_arq.ts";
import { createIssuer, startServer } from "../harness/cluster.ts";
import type { Issuer, ServerProcess } from "../harness/cluster.ts";
import { freePorts } from "../harness/free_ports.ts";
import { startNats } from "../harness/nats_server.ts";
import type { NatsServer } from "../harness/nats_server.ts";
import { type SourceName, SOURCES } from "./sources.ts";

const SHIELDS = 2;
/** The script's policies in the order of their chain. */
export const CHAIN = ["sizes", "words", "rate", "repeats"] as const;
/** How long a Shield collects decisions before it stores them, in ms. */
export const FLUSH_MS = 200;

const CONFIG = `
[[rooms]]
room = "chat-*"
journal = "all"
journal_payload = "keep"
journal_bytes = 1_099_511_627_776
[journal]
flush_ms = ${FLUSH_MS}
queue_bytes = 268_435_456
`;

/** A running fleet. */
export class Fleet implements AsyncDisposable {
  readonly dir: string;
  readonly issuer: Issuer;
  readonly #nats: NatsServer;
  readonly #ports = freePorts(SHIELDS);
  readonly #shields: ServerProcess[] = [];
  #admin_token = "";

  private constructor(nats: NatsServer, issuer: Issuer, dir: string) {
    this.#nats = nats;
    this.issuer = issuer;
    this.dir = dir;
  }

  /** Starts it, with all policies in force. */
  static async open(): Promise<Fleet> {
    const [nats, issuer] = await Promise.all([startNats({ jetstream: true }), createIssuer()]);
    const fleet = new Fleet(nats, issuer, await Deno.makeTempDir({ prefix: "arqon-what-if-" }));
    fleet.#admin_token = await issuer.tokenFor({ role: "admin", sub: "root" });
    await Promise.all(fleet.#ports.map((_, shield) => fleet.#start(shield)));
    for (const [order, name] of CHAIN.entries()) {
      await fleet.build(name);
      const place = ["--room", "chat-*", "--order", String(order)];
      await fleet.arq(["policy", "deploy", fleet.module(name), ...place, ...fleet.admin]);
    }
    return fleet;
  }

  /** `ws://…` of each Shield. */
  get urls(): string[] {
    return this.#ports.map((port) => `ws://127.0.0.1:${port}`);
  }

  /** The options with which `arq` finds the admin API. */
  get admin(): string[] {
    const url = this.#shields[0]?.ready["admin_url"] ?? "";
    return ["--admin-url", url, "--token", this.#admin_token, "--tenant", "acme"];
  }

  /** The path of a built module. */
  module(name: SourceName): string {
    return `${this.dir}/${name}.wasm`;
  }

  /** Builds a policy from its source. */
  async build(name: SourceName): Promise<void> {
    const source = `${this.dir}/${name}.ts`;
    await Deno.writeTextFile(source, SOURCES[name]);
    await this.arq(["policy", "build", source, "--output", this.module(name)]);
  }

  /** What `arq` says to stdout. Rejects unless it ends with `code`. */
  async arq(args: readonly string[], code = 0): Promise<string> {
    const ran = await runArq([...args]);
    if (ran.code === code) return ran.stdout;
    throw new Error(`arq ${args.join(" ")} ended with ${ran.code}: ${ran.stderr}${ran.stdout}`);
  }

  /** Kills a Shield and starts it again. Gives the moment at which it died, Unix ms. */
  async kill(shield: number): Promise<number> {
    await this.#shields[shield]!.stop("SIGKILL");
    const at_ms = Date.now();
    await this.#start(shield);
    return at_ms;
  }

  async #start(shield: number): Promise<void> {
    const config = `[nats]\nurls = ["${this.#nats.url}"]\n${CONFIG}${this.issuer.config}`;
    const { dir } = this.issuer;
    const started = await startServer("shield", config, dir, "", this.#ports[shield]);
    this.#shields[shield] = started;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#shields.map((shield) => shield.stop()));
    await this.#nats[Symbol.asyncDispose]();
    await this.issuer[Symbol.asyncDispose]();
    await Deno.remove(this.dir, { recursive: true });
  }
}
