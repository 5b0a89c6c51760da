/**
 * Shared by the tests of restored copies: clients of one durable room and of one room with state, what they received
 * over all incarnations, and publishers under load.
 */
import assert from "node:assert/strict";
import { pace } from "../../shared/testing/pace.ts";
import { insist, seen, until } from "../../shared/testing/until.ts";
import { DurableClient, type Place } from "../peers/durable_client.ts";

/** Durable. */
export const ROOM = "orders";
/** Has state. */
export const DESK = "desk";

/** Replaces `to`. */
export async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.remove(to, { recursive: true }).catch(() => {});
  const { success } = await new Deno.Command("cp", { args: ["-a", from, to] }).output();
  assert.ok(success, `cp -a ${from} ${to}`);
}

/** What clients have received, over all incarnations. */
export class Given {
  readonly #offsets = new Set<string>();
  readonly #epochs = new Set<string>();
  #version = 0;
  #fence = 0;

  /** Offsets acknowledged to publishers, in the epoch that subscribers see. */
  offsets(epoch: string, offsets: readonly number[]): void {
    for (const offset of offsets) {
      const position = `${epoch} ${offset}`;
      assert.ok(!this.#offsets.has(position), `${position} was given before`);
      this.#offsets.add(position);
    }
  }

  /** Writes and locks in the room: all returned numbers exceed earlier ones. */
  async desk(client: DurableClient, is_another_life: boolean): Promise<void> {
    // The Brain may restart later than the Shield.
    const ask = (name: string, more: object = {}) =>
      seen(
        `a Brain answers ${name}`,
        () => client.ask({ op: "cmd", room: DESK, name, ...more }),
        ({ reason }) => reason !== "brain-unavailable",
      );
    const cmd = async (name: string, more: object = {}) => {
      const answer = await ask(name, more);
      assert.equal(answer.code, 0, JSON.stringify(answer));
      return answer.result;
    };
    if (this.#version > 0 && is_another_life) {
      const stale = { data: { key: "k", value: 0 }, expect_version: this.#version };
      const { reason } = await ask("room.set", stale);
      assert.equal(reason, "version-conflict", "a version of an earlier life");
    }
    const set = await cmd("room.set", { data: { key: "k", value: 1 } });
    assert.ok(set.version > this.#version, `version ${set.version} after ${this.#version}`);
    assert.equal(this.#epochs.has(set.epoch), !is_another_life, `epoch ${set.epoch}`);
    const locked = await cmd("room.lock", { data: { ttl_ms: 30_000 } });
    assert.ok(locked.fence > this.#fence, `fence ${locked.fence} after ${this.#fence}`);
    const unlocked = await cmd("room.unlock");
    assert.ok(Number.isSafeInteger(unlocked.version) && unlocked.version === set.version + 2);
    this.#epochs.add(set.epoch);
    this.#version = unlocked.version;
    this.#fence = locked.fence;
  }
}

/** Publishes without a pause until it is ended; records what was acknowledged, in order. */
export class Load {
  readonly acknowledged: { readonly data: string; readonly offset: number }[] = [];
  readonly #client: DurableClient;
  readonly #name: string;
  #ended = false;
  readonly #running: Promise<void>;

  constructor(client: DurableClient, name: string) {
    this.#client = client;
    this.#name = name;
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    for (let number = 0; !this.#ended; number++) {
      const data = `${this.#name} ${number}`;
      // The bus may be killed meanwhile: then nothing more is acknowledged.
      const answer = await this.#client.pub(ROOM, data).catch(() => undefined);
      if (answer === undefined) return;
      if (answer.code === 0) this.acknowledged.push({ data, offset: answer.offset as number });
      else await pace(5);
    }
  }

  /** Resolves when `count` more are acknowledged. */
  async more(count: number): Promise<void> {
    const enough = this.acknowledged.length + count;
    const what = `${this.#name}: ${count} more publishes are taken`;
    await until(what, () => this.acknowledged.length >= enough);
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#running;
  }
}

/** Everything stored in the room after that offset, from its history. */
async function stored(client: DurableClient, after: number): Promise<number[]> {
  const offsets: number[] = [];
  for (let more = true; more;) {
    const data = { after: offsets.at(-1) ?? after, limit: 1_000 };
    const ask = () => client.ask({ op: "cmd", room: ROOM, name: "history.get", data });
    const { result } = await seen("a page of the history", ask, ({ code }) => code !== 503);
    offsets.push(...result.messages.map(({ offset }: { offset: number }) => offset));
    more = result.more;
  }
  return offsets;
}

/** Connections are refused while NATS restarts. */
export function dial(url: string, token: string): Promise<DurableClient> {
  return insist("a client is let in", () => DurableClient.open(url, token));
}

/** A client that was disconnected: with a valid position it gets everything stored after it, else it is notified. */
export async function comesBack(url: string, token: string, place: Place, is_good: boolean) {
  using client = await dial(url, token);
  const answer = await client.join(ROOM, place);
  if (is_good) {
    assert.equal(answer.recovered, true, JSON.stringify(answer));
    const offsets = await stored(client, place.after_offset ?? 0);
    await client.receives(offsets.filter((offset) => offset <= answer.offset));
  } else assert.deepEqual([answer.recovered, answer.reason], [false, "epoch-changed"]);
  return answer.epoch as string;
}

/** The room's epoch, as a new client sees it. */
export async function epochOf(url: string, token: string): Promise<string> {
  using client = await dial(url, token);
  return (await client.join(ROOM)).epoch;
}
