/** Alerts that compare clocks: a Shield whose clock is behind, on a real NATS, with libfaketime. */
import { startNats } from "../harness/nats_server.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import { openText } from "../peers/raw_client.ts";
import { createWallClock, type WallClock } from "../wall_clock.ts";
import { again, play, type Row } from "./play.ts";
import { type ServerStage, socketUrl, startServerStage } from "./server_stage.ts";

const BEHIND_S = -10;

interface Clocked extends ServerStage {
  readonly clock: WallClock;
  /** Of the Shield with that clock. */
  readonly late_url: string;
}

const ROWS: readonly Row<Clocked>[] = [{
  alert: "ArqonDeliverySlow",
  async breaks({ url, late_url, issuer }) {
    const reader = await openText(socketUrl(url), await issuer.tokenFor());
    reader.send({ op: "sub", room: "lobby", id: 1 });
    await reader.json();
    const client = new HttpPeer(late_url, await issuer.tokenFor());
    const stop = again(100, () => client.call("POST", "rooms/lobby/messages", { type: "t" }));
    return async () => {
      await stop();
      reader[Symbol.dispose]();
    };
  },
  says: /a clock: repair NTP/,
  shows: { "/v1/rooms?sort=subscribers": /lobby/ },
}, {
  alert: "ArqonPresenceLag",
  async breaks({ clock, late_url, issuer }) {
    const token = await issuer.tokenFor({ sub: "bob" });
    const stop = again(200, async () => {
      using client = await openText(socketUrl(late_url), token);
      client.send({ op: "sub", room: "lobby", id: 1, presence: true });
      await client.json();
    });
    return async () => {
      await stop();
      await clock.set(0);
    };
  },
  says: /only one Shield late: repair NTP/,
  shows: { "consistency_convergence_lag_max": / 1\d(\.\d+)?$/m },
  stays: "the figure is that of the last two minutes",
}];

Deno.test("alerts that compare clocks", async () => {
  const dir = await Deno.makeTempDir({ prefix: "arqon-clocks-" });
  try {
    const clock = await createWallClock(dir);
    if (clock === undefined) return;
    await using nats = await startNats({ jetstream: true });
    let config = "";
    await using stage = await startServerStage(
      (issuer) => config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`,
    );
    const brain = await stage.add("brain", config);
    await clock.set(BEHIND_S);
    const late = await stage.add("shield", config, { env: clock.env });
    const pages = { ...stage.pages, "arqon-brain": brain.ready.ops_url! };
    await play({ ...stage, clock, late_url: late.ready.url!, pages }, [ROWS]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
