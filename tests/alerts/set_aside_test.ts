/** The alert about work in whose middle two processes died. */
import assert from "node:assert/strict";
import { freePorts } from "../harness/free_ports.ts";
import { initFolder, type ServedBus, startServe, tokenOf } from "../harness/serve_bus.ts";
import { deadlyHook, Receiver } from "../hooks/receiver.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { play, type Row, type Stage } from "./play.ts";
import { runAsOperator } from "./runbook.ts";

interface Deadly extends Stage {
  /** Publishes a schedule in whose middle the process dies, twice. */
  die(): Promise<void>;
  readonly receiver: Receiver;
}

const ROWS: readonly Row<Deadly>[] = [{
  alert: "ArqonSetAside",
  async breaks(stage) {
    await stage.die();
    return async () => {
      stage.receiver.answer = () => undefined;
      const words = ["schedule", "resume", "deadly", "--tenant", "default"];
      const output = await runAsOperator(stage, words);
      assert.match(output, /exit code 0/);
    };
  },
  says: /`arq schedule resume ID --tenant TENANT`/,
  shows: { "it is set aside": /schedule=deadly/ },
}];

/** The folder of a bus whose hook decides what a schedule publishes, on ports that stay. */
async function folderOf(receiver: Receiver) {
  const folder = await initFolder();
  const file = `${folder.path}/config.toml`;
  const ports = freePorts(3);
  let text = await Deno.readTextFile(file);
  for (const port of ports) text = text.replace(/^port = 0$/m, `port = ${port}`);
  await Deno.writeTextFile(file, text + deadlyHook(receiver.url));
  return folder;
}

Deno.test("the alert about work during which two processes died", async () => {
  await using receiver = new Receiver();
  await using folder = await folderOf(receiver);
  let bus: ServedBus = await startServe(folder.path);
  const token = await tokenOf(folder.path, "admin");
  let log = "";
  const die = async () => {
    let killed = Promise.withResolvers<void>();
    receiver.answer = () => {
      bus.signal("SIGKILL");
      killed.resolve();
      return undefined;
    };
    const schedule = { room: "deadly", message: { type: "tick", data: {} }, every_ms: 1_000 };
    const path = "/v1/tenants/default/schedules/deadly";
    const put = await new AdminClient(bus.admin_url, token).ask("PUT", path, schedule);
    assert.equal(put.status, 200, put.text);
    for (let death = 0; death < 2; death++) {
      await killed.promise;
      assert.equal(await bus.stop(), 137);
      log += bus.log();
      killed = Promise.withResolvers();
      bus = await startServe(folder.path);
    }
  };
  try {
    const { url, admin_url, ops_url } = bus;
    const stage: Deadly = {
      url,
      admin_url,
      ops_url,
      token,
      receiver,
      die,
      pages: { "arqon-bus": ops_url },
      words: {},
      log: () => log + bus.log(),
      async [Symbol.asyncDispose]() {},
    };
    await play(stage, [ROWS]);
  } finally {
    await bus.stop();
  }
});
