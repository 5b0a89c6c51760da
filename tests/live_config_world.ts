/**
 * The bus on which live keys are tested, and ways to observe an effect that several keys share. `live_config_rows.ts`
 * has the keys.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import type { TestBus } from "./harness/bus.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { answered, type RawClient } from "./peers/raw_client.ts";
import { refusedUpgrade, sendUpgrade } from "./peers/raw_upgrade.ts";

/** The running bus, and a client that was connected before any change. */
export interface World {
  readonly bus: TestBus;
  readonly client: RawClient;
}

/** How one key is tested. */
export interface Row {
  /** The file's tables; they replace those of `BASE` with the same name. */
  readonly tables: Readonly<Record<string, string>>;
  /** Fails unless the new value has taken effect. */
  readonly see: (world: World) => Promise<void>;
}

/** A file with one limit. */
export const limit = (name: string, value: string): Row["tables"] => ({
  limits: `${name} = ${value}`,
});

/** Messages at once: more than the tested rates allow, however slow the machine is. */
const BURST = 8;

/** The answers to messages that are sent at once. */
async function answersToBurst(client: RawClient, room: string) {
  const publish = { op: "pub", room, data: "x".repeat(1_000) };
  for (let sent = 1; sent < BURST; sent++) client.send({ ...publish, id: 1 });
  const answers = [await answered(client, publish)];
  while (answers.length < BURST) answers.push(await client.json());
  return answers;
}

/** The rates of the connected client, observed by the refusal that names them. */
export function rate(name: string, scope: string, unit: "messages" | "bytes"): Row {
  const value = unit === "messages" ? 3 : 2_000;
  const detail = `this ${scope} has ${value} ${unit} a second`;
  return {
    tables: limit(name, String(value)),
    async see({ client }) {
      await until(detail, async () => {
        const answers = await answersToBurst(client, "rated");
        return answers.some(({ message }) => String(message).includes(detail));
      });
    },
  };
}

/** A message of the client is refused with this reason. */
export function refused(tables: Row["tables"], message: object, reason: string): Row {
  return {
    tables,
    async see({ client }) {
      const { code, ...more } = await answered(client, { op: "pub", room: "r", ...message });
      assert.deepEqual([code > 0, more.reason], [true, reason]);
    },
  };
}

/** With one client connected, the next upgrade of its user is refused. */
export function crowded(tables: Row["tables"], reason: string): Row {
  return {
    tables,
    async see({ bus }) {
      assert.equal((await refusedUpgrade(bus.http_url, { token: bus.token }))[1], reason);
    },
  };
}

/** Enough upgrades that the rate refuses one with a retry delay; accepted ones are ignored. */
export const SENT_AWAY: Row["see"] = async ({ bus }) => {
  await until("an upgrade is rejected", async () => {
    const sockets = await Promise.all(
      Array.from({ length: 8 }, () => sendUpgrade(bus.http_url, { token: bus.token })),
    );
    const heads = await Promise.all(sockets.map(async (socket) => {
      const bytes = new Uint8Array(4_096);
      const size = await socket.read(bytes);
      socket.close();
      return new TextDecoder().decode(bytes.subarray(0, size ?? 0));
    }));
    return heads.some((head) => head.startsWith("HTTP/1.1 503"));
  });
};

/** A new admin, so that nobody shares its rates. */
export const adminOf = async (bus: TestBus, user: string, tenant = "default") =>
  new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", user, tenant }));

/** What the client publishes is journaled. */
export function journaled(lines: string, room: string): Row {
  return {
    tables: { journal: `#constant journal.flush_ms = 100\n${lines}` },
    async see({ bus, client }) {
      const admin = await adminOf(bus, "auditor");
      await until("a decision in the journal", async () => {
        assert.equal((await answered(client, { op: "pub", room })).code, 0);
        const { text } = await admin.get(`/v1/journal?tenant=default&room=${room}`);
        return text.includes(`"${room}"`);
      });
    },
  };
}

/** The levels of the logs in force. */
export const levels = async (bus: TestBus) =>
  (await (await adminOf(bus, "logs")).read("/v1/log")).levels.at(-1);

/** The server of quotas is down, so this Shield counts alone. */
export function quota(lines: string): Row {
  return {
    tables: { quota: `url = "redis://127.0.0.1:1"\n${lines}` },
    async see({ client }) {
      await until("429", async () => {
        const answers = await answersToBurst(client, "r");
        return answers.some(({ reason }) => reason === "tenant-quota");
      });
    },
  };
}
