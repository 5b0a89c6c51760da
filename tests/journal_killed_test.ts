/** What readers see of a killed Shield: a real `arq serve`, SIGKILL, NATS, and the admin API. */
import assert from "node:assert/strict";
import { configFrom } from "../shared/config/load.ts";
import { isHole, type JournalHole } from "../shared/journal/record.ts";
import type { Spine } from "../shared/spine/contract/spine.ts";
import { openSpine } from "../shared/spine/open.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { until } from "../shared/testing/until.ts";
import { Lives } from "../shared/lives/lives.ts";
import { testLog } from "../shared/testing/logs.ts";
import { startNats } from "./harness/nats_server.ts";
import { initFolder, type ServedBus, startServe, tokenOf } from "./harness/serve_bus.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { ask, openText } from "./peers/raw_client.ts";

const log = testLog();

/** The folder of a bus on that NATS server, which journals every decision and stores none for a minute. */
async function folderOn(nats_url: string, node_id = "shield-1") {
  const folder = await initFolder();
  const file = `${folder.path}/config.toml`;
  const config = (await Deno.readTextFile(file)).replace("\ndata_dir =", "\n# data_dir =")
    .replace("[server]\n", `[server]\nnode_id = "${node_id}"\n`);
  const journal = '[journal]\njournal = "all"\n#constant journal.flush_ms = 60_000\n';
  const nats = `[nats]\nurls = [${JSON.stringify(nats_url)}]\n`;
  await Deno.writeTextFile(file, `${config}\n${journal}${nats}`);
  return folder;
}

async function send(bus: ServedBus, token: string, message_id: string): Promise<void> {
  using client = await openText(bus.url, token);
  await ask(client, { op: "pub", room: "lobby", type: "chat", data: {}, message_id });
}

async function journalOf(bus: ServedBus, token: string) {
  const lines = await new AdminClient(bus.admin_url, token).journal("default");
  const holes = lines.filter(isHole);
  const ids = lines.flatMap((line) => isHole(line) ? [] : line.message_id ?? []);
  return { holes: holes.map(({ hole }) => hole), ids };
}

/** The number of known runs of Shields that write a journal. */
const marksIn = async (spine: Spine): Promise<number> =>
  (await new Lives(spine).all()).filter(({ parts }) => parts.journal !== undefined).length;

Deno.test("journal: a Shield that is killed leaves a hole, and an orderly stop leaves none", async () => {
  await using nats = await startNats({ jetstream: true });
  await using folder = await folderOn(nats.url);
  const token = await tokenOf(folder.path, "admin");
  const spine = await openSpine(configFrom({ nats: { urls: [nats.url] } }), { log, now: Date.now });
  await using _end = atEnd(() => spine.drain());
  const marks = () => marksIn(spine);
  const began_ms = Date.now();
  await using killed = await startServe(folder.path);
  await send(killed, token, "m-lost");
  await until("its mark is stored", async () => await marks() === 1);
  await killed.stop("SIGKILL");
  const killed_ms = Date.now();
  await using ended = await startServe(folder.path);
  const again_ms = Date.now();
  await send(ended, token, "m-kept");
  await until("its mark is stored", async () => await marks() === 2);
  assert.equal(await ended.stop(), 0, ended.log());
  await using reader = await startServe(folder.path);
  const { holes, ids } = await journalOf(reader, token);
  assert.deepEqual(ids, ["m-kept"]);
  assert.deepEqual(holes.map(({ node, tenant, records, why }) => [node, tenant, records, why]), [
    ["shield-1", "default", null, "killed"],
  ]);
  const [{ from_ms, to_ms }] = holes as [JournalHole["hole"]];
  assert(from_ms >= began_ms - 1_000 && from_ms <= killed_ms, `from ${from_ms}`);
  assert(to_ms >= killed_ms && to_ms <= again_ms, `to ${to_ms}, its successor at ${again_ms}`);
});
