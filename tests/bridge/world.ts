/**
 * A bus, a PostgreSQL and bridges between them as processes, for tests and for `deno task chaos --focus bridge`:
 * writers that commit and roll back, and the messages that each room must have then.
 */
import assert from "node:assert/strict";
import { arqCommand } from "../../arq/testing/run_arq.ts";
import { BRIDGE_SQL } from "../../arq/bridge/sql.ts";
import { until } from "../../shared/testing/until.ts";
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";
import { freePort } from "../harness/free_ports.ts";
import { initFolder, type ServedBus, startServe, tokenOf } from "../harness/serve_bus.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import { type PostgresServer, somePostgres } from "./postgres_server.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";

/** Time for a killed bus to read a log of a million messages on a busy machine. */
const RESTART_MS = 300_000;
/** Time for a killed process to catch up on a busy machine. */
export const CATCH_UP_MS = 180_000;
/** Rooms in which every second transaction publishes. */
export const ROOMS = ["orders-0", "orders-1", "orders-2"];
/** A stored message has some 800 bytes. */
const STORED_BYTES = 2_000;
const tablesFor = (messages: number) => `
[durable]
log_bytes = ${Math.max(1_073_741_824, ROOMS.length * messages * STORED_BYTES)}

${durableRooms("orders-*", `history_size = ${messages}`)}
`;

interface Stored {
  readonly offset: number;
  readonly data: { readonly w: number; readonly n: number };
  readonly message_id: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** All messages of a room after an offset. */
export async function storedIn(peer: HttpPeer, room: string, begin = 0): Promise<Stored[]> {
  const all: Stored[] = [];
  for (let after = begin;;) {
    const { status, body } = await peer.call(
      "GET",
      `rooms/${room}/messages?limit=1000&after=${after}`,
    );
    assert.equal(status, 200, JSON.stringify(body));
    all.push(...body.messages);
    after = body.messages.at(-1)?.offset ?? after;
    if (!body.more) return all;
  }
}

/** `arq bridge postgres` as a process of its own. */
export async function startBridge(
  folder: string,
  database: string,
  url: string,
  more: string[] = [],
) {
  const token = await tokenOf(folder, "service");
  const args = ["--database", database, "--url", url, "--token", token, ...more];
  const bridge = StreamedCommand.start(
    [...await arqCommand(), "bridge", "postgres", ...args],
    { cwd: folder, env: { INIT_CWD: folder }, stdout: "null" },
  );
  return {
    get lines() {
      return bridge.stderr.split("\n").slice(0, -1);
    },
    status: bridge.child.status,
    stop: (signal?: Deno.Signal) => bridge.stop(signal),
    says: (text: string) =>
      until(() => `it says ${text}:\n${bridge.stderr}`, () => bridge.stderr.includes(text)),
  };
}

/** A bridge as a process. */
export type Bridge = Awaited<ReturnType<typeof startBridge>>;

/** Everything except the bridges. */
export interface World extends AsyncDisposable {
  readonly folder: string;
  readonly database: PostgresServer;
  readonly peer: HttpPeer;
  readonly url: string;
  readonly bus: ServedBus;
  restartBus(): Promise<void>;
}

/** `messages`: how many a room may store; `tablesOf`: additional configuration. Undefined: there is no PostgreSQL. */
export async function openWorld(
  messages = 100_000,
  tablesOf: (database: PostgresServer) => string = () => "",
): Promise<World | undefined> {
  const database = await somePostgres();
  if (database === undefined) return undefined;
  const port = freePort();
  const kept = Math.min(1_000_000, 2 * messages + 10_000);
  const folder = await initFolder(`${tablesFor(kept)}${tablesOf(database)}`, port);
  await database.sql(BRIDGE_SQL);
  let bus = await startServe(folder.path).catch(async (error) => {
    await database[Symbol.asyncDispose]();
    throw error;
  });
  return {
    folder: folder.path,
    database,
    url: bus.url,
    get bus() {
      return bus;
    },
    peer: new HttpPeer(`http://127.0.0.1:${port}`, await tokenOf(folder.path, "user")),
    async restartBus() {
      await bus.stop("SIGKILL");
      bus = await startServe(folder.path, RESTART_MS);
    },
    async [Symbol.asyncDispose]() {
      await bus.stop();
      await database[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Transactions of one writer: every third is rolled back; each committed one is recorded with its rooms. */
export function writing(w: number, from: number, count: number): string {
  return Array.from({ length: count }, (_, at) => {
    const n = from + at;
    const publish = ROOMS.filter((_, room) => (n + room) % 2 === 0)
      .map((room) => `select arqon.publish('${room}', 'order', '{"w":${w},"n":${n}}');`).join(" ");
    // The order of the rows is that of the commits: each transaction holds the lock until its end.
    const note = `insert into done (w, n) values (${w}, ${n});`;
    const end = n % 3 === 0 ? "rollback" : "commit";
    return `begin; select pg_advisory_xact_lock(1); ${publish} ${note} ${end};`;
  }).join("\n");
}

/** The messages that each room must have, in commit order. */
export async function wantedOf(database: PostgresServer): Promise<string[][]> {
  const rows = (await database.sql("select w || ':' || n from done order by id")).split("\n");
  return ROOMS.map((_, room) => rows.filter((row) => (Number(row.split(":")[1]) + room) % 2 === 0));
}

/** The transaction of each message. */
export const shown = (all: readonly Stored[]) => all.map(({ data: { w, n } }) => `${w}:${n}`);
