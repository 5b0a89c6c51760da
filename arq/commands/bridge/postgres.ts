/** `arq bridge postgres`: publishes what a database commits, until it is interrupted. */
import { type BridgeWatch, runBridge } from "../../bridge/bridge.ts";
import { connectedBus } from "../../bridge/bus.ts";
import { BRIDGE_SQL } from "../../bridge/sql.ts";
import { isDatabaseUrl } from "../../../shared/config/values/postgres.ts";
import { openConnection } from "../../bus/target.ts";
import { usageError } from "../../terminal/exit.ts";
import { type Ended, type Io, remark } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";
import { readText } from "../../terminal/input.ts";

const ACCEPT_HINT = "--accept-loss goes on";
const WAITING_MESSAGES = 2_000;
const nothing = () => {};
/** The watch of a process without metrics. */
const UNWATCHED: BridgeWatch = { state: nothing, over: nothing, waiting: nothing, kept: nothing };

async function databaseOf(io: Io, { database, databaseFile }: Flags<"slot">): Promise<string> {
  if ((database === undefined) === (databaseFile === undefined)) {
    throw usageError("expected --database or --database-file");
  }
  return database ?? (await readText(io, databaseFile!)).trim();
}

/** Follows the database until the signal; with `--sql` prints the setup for the database. */
export async function bridgePostgres(io: Io, flags: Flags<"slot">): Promise<Ended> {
  if (flags.sql === true) return { json: { sql: BRIDGE_SQL }, text: BRIDGE_SQL };
  const database = await databaseOf(io, flags);
  if (!isDatabaseUrl(database)) {
    throw usageError("the database: expected postgres://user:password@host:5432/name");
  }
  await using bus = await openConnection(io, flags, { role: "service" });
  const say = (text: string) => {
    const at = new Date(io.now()).toISOString();
    const line = flags.json === true ? JSON.stringify({ at, bridge: text }) : `bridge: ${text}`;
    void remark(flags.json === true ? io.stdout : io.stderr, `${line}\n`);
  };
  const { slot, acceptLoss = false, poll } = flags;
  await runBridge({
    database: () => database,
    slot,
    accept_loss: acceptLoss,
    accept_hint: ACCEPT_HINT,
    bus: connectedBus(bus),
    say,
    signal: io.signal,
    now: io.now,
    monotonic_ms: io.monotonic_ms,
    reading: poll === undefined ? { mode: "replication" } : { mode: "polling", poll_ms: poll },
    waiting_messages: WAITING_MESSAGES,
    watch: UNWATCHED,
  });
}
