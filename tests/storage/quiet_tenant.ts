/**
 * A tenant that does a little of everything that is stored, all the time: durable publishes, room state,
 * locks, bans, revocations. It counts what was answered, and keeps what was refused.
 */
import { AdminClient } from "../peers/admin_client.ts";
import { DurableClient } from "../peers/durable_client.ts";
import type { Deployment } from "./deployment.ts";

/** What it does, one after the other. */
export const DEEDS = ["publish", "room.set", "lock", "ban", "revoke"] as const;
/** One of `DEEDS`. */
export type Deed = typeof DEEDS[number];

/** The outcome of one kind of deed in one phase. */
export interface Tally {
  done: number;
  /** The answers of those that were refused. */
  readonly refused: string[];
  worst_ms: number;
}

/** By deed. */
export type Tallies = Readonly<Record<Deed, Tally>>;

const fresh = (): Tallies => {
  const tally = (): Tally => ({ done: 0, refused: [], worst_ms: 0 });
  return { publish: tally(), "room.set": tally(), lock: tally(), ban: tally(), revoke: tally() };
};

/** The tenant, until its scope ends. */
export class QuietTenant implements Disposable {
  readonly #client: DurableClient;
  readonly #admin: AdminClient;
  readonly #tenant: string;
  #tallies = fresh();
  #rounds = 0;

  private constructor(tenant: string, client: DurableClient, admin: AdminClient) {
    this.#tenant = tenant;
    this.#client = client;
    this.#admin = admin;
  }

  static async open(bus: Deployment, tenant: string): Promise<QuietTenant> {
    const client = await DurableClient.open(bus.url, await bus.tokenFor(tenant, "mod", "admin"));
    const admin = new AdminClient(bus.admin_url, await bus.tokenFor("ops", "root", "admin"));
    return new QuietTenant(tenant, client, admin);
  }

  /** Each deed once, in rooms and of users that never came before. */
  async round(): Promise<void> {
    const n = ++this.#rounds;
    const room = `room-${n}`;
    const command = (name: string, data?: object) =>
      this.#client.ask({ op: "cmd", room, name, ...(data === undefined ? {} : { data }) });
    await this.#note("publish", () => this.#client.pub("log-quiet", { n, text: "x".repeat(500) }));
    await this.#note("room.set", () => command("room.set", { key: "k", value: "x".repeat(500) }));
    await this.#note("lock", () => command("room.lock", { ttl_ms: 5_000 }));
    await this.#note("ban", () => command("room.ban", { user_id: `u${n}`, ttl_ms: 600_000 }));
    await this.#note("revoke", async () => {
      const body = { tenant: this.#tenant, user: `gone${n}` };
      const { status, text } = await this.#admin.ask("POST", "/v1/revocations", body);
      return { code: status === 200 ? 0 : status, message: text };
    });
  }

  /** What was done since the last call. */
  take(): Tallies {
    const tallies = this.#tallies;
    this.#tallies = fresh();
    return tallies;
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }

  async #note(
    deed: Deed,
    run: () => Promise<{ code: number; reason?: string; message?: string }>,
  ): Promise<void> {
    const tally = this.#tallies[deed];
    const began_ms = performance.now();
    const { code, reason, message } = await run();
    tally.worst_ms = Math.max(tally.worst_ms, performance.now() - began_ms);
    if (code === 0) tally.done++;
    else tally.refused.push(`${code} ${reason ?? ""} ${message ?? ""}`);
  }
}
