/** Alerts about processes that end, and Shields and Brains that miss each other, on a real NATS. */
import { until } from "../../shared/testing/until.ts";
import type { ServerProcess } from "../harness/cluster.ts";
import { freePort } from "../harness/free_ports.ts";
import { startNats } from "../harness/nats_server.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import { api } from "./alerting.ts";
import { again, play, type Row } from "./play.ts";
import { runAsOperator } from "./runbook.ts";
import { type ServerStage, startServerStage } from "./server_stage.ts";

const FAST = `
[presence]
#constant presence.heartbeat_ms = 200
#constant presence.down_ms = 2_000
#constant presence.brain_timeout_ms = 1_000
`;
const OTHER = '[[rooms]]\nroom = "chat-*"\ndurable = true\n';

interface Cluster extends ServerStage {
  readonly config: string;
  /** By their node_id. */
  readonly servers: Map<string, ServerProcess>;
}

/** Starts the server of this node_id; its metrics return on the same port. */
async function start(
  { servers, add, config }: Pick<Cluster, "servers" | "add" | "config">,
  node_id: string,
): Promise<void> {
  const part = node_id.startsWith("s") ? "shield" : "brain";
  const before = servers.get(node_id)?.ready.ops_url;
  const port = before === undefined ? freePort() : new URL(before).port;
  const more = { lines: `node_id = "${node_id}"`, ops_lines: `port = ${port}` };
  servers.set(node_id, await add(part, config, more));
}

async function kill(stage: Cluster, node_id: string) {
  await stage.servers.get(node_id)!.stop("SIGKILL");
  return () => start(stage, node_id);
}

const DIFFERENT: readonly Row<Cluster>[] = [{
  alert: "ArqonRoomClassesDiffer",
  async breaks(stage) {
    const { dir } = stage.issuer;
    const change = async (from: string, to: string) => {
      for await (const { name } of Deno.readDir(dir)) {
        const file = `${dir}/${name}`;
        const text = name.endsWith(".toml") ? await Deno.readTextFile(file) : "";
        if (!text.includes('node_id = "b2"')) continue;
        await Deno.writeTextFile(file, from === "" ? text + to : text.replace(from, to));
      }
      await runAsOperator(stage, ["config", "reload"]);
    };
    await change("", OTHER);
    return () => change(OTHER, "");
  },
  says: /the same file, then `arq config reload` or SIGHUP/,
  shows: {
    "arq status": /b[12].*\[\[rooms\]\]|\[\[rooms\]\].*b[12]/s,
    "arq doctor": /b[12].*\[\[rooms\]\]|\[\[rooms\]\].*b[12]/s,
    "another Brain's configuration has other [[rooms]]": /b[12]/,
  },
}];

const GONE: readonly Row<Cluster>[] = [{
  alert: "ArqonShieldDown",
  breaks: (stage) => kill(stage, "s2"),
  says: /restart it with the same `node_id`/,
  shows: {},
}, {
  alert: "ArqonPresenceShieldLost",
  // deno-lint-ignore require-await -- the same Shield
  breaks: async () => () => {},
  says: /else start it, or repair its connection/,
  shows: { 'up{job="arqon-shield"}': / 0$/m },
}, {
  alert: "ArqonBrainDown",
  breaks: (stage) => kill(stage, "b2"),
  says: /restart it/,
  shows: { "brain_cluster_brains": / 1$/m, "brain_room_count": /\d/ },
}];

const ALONE: readonly Row<Cluster>[] = [{
  alert: "ArqonNoBrain",
  async breaks(stage) {
    const all = [await kill(stage, "b1"), await kill(stage, "b2")];
    return () => Promise.all(all.map((mend) => mend()));
  },
  says: /start a Brain/,
  shows: { 'up{job="arqon-brain"}': / 0$/m },
}, {
  alert: "ArqonServerErrors",
  async breaks({ url, issuer }) {
    const client = new HttpPeer(url, await issuer.tokenFor());
    const get = { name: "room.get", data: { key: "k" } };
    return again(200, () => client.call("POST", "rooms/state/commands", get));
  },
  says: /repair the part/,
  shows: {},
}];

const RESTARTS: readonly Row<Cluster>[] = [{
  alert: "ArqonRestarting",
  async breaks(stage, prometheus) {
    const { host } = new URL(stage.servers.get("b2")!.ready.ops_url!);
    const query = `query?query=process_start_time_seconds{instance="${host}"}`;
    const started = async () => (await api(prometheus, query)).result[0]?.value[1];
    for (let time = 0; time < 4; time++) {
      const before = await started();
      await (await kill(stage, "b2"))();
      await until("Prometheus knows the new start", async () => {
        const now = await started();
        return now !== undefined && now !== before;
      });
    }
    return () => {};
  },
  says: /roll back a changed release or configuration/,
  shows: { ready: /component=brain/ },
  stays: "it counts the starts of a quarter of an hour",
}];

Deno.test("alerts about processes that end, and that miss each other", async () => {
  await using nats = await startNats({ jetstream: true });
  let config = "";
  await using stage = await startServerStage(
    (issuer) => config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}${FAST}`,
    { lines: 'node_id = "s1"' },
  );
  const servers = new Map<string, ServerProcess>();
  for (const node_id of ["b1", "b2", "s2"]) await start({ ...stage, config, servers }, node_id);
  const at = (id: string) => servers.get(id)!.ready.ops_url!;
  const pages = {
    "arqon-shield": [stage.ops_url, at("s2")],
    "arqon-brain": [at("b1"), at("b2")],
  };
  const cluster = { ...stage, config, servers, pages };
  await play(cluster, [DIFFERENT, GONE, ALONE]);
  // A Brain starts as fast as the machine lets it: the whole quarter of an hour counts.
  await play(cluster, [RESTARTS], 1);
});
