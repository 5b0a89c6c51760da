/**
 * The wall clock of a Brain jumps an hour forth and back while it runs, and between two starts: no lease
 * lasts longer or ends sooner for it, no version and no fence of a room is given twice. Real processes;
 * the machine's own clock stays as it is.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { OUTAGE_MS } from "./outage/prober.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { DurableClient } from "./peers/durable_client.ts";
import { startNats } from "./harness/nats_server.ts";
import { createWallClock } from "./wall_clock.ts";

const HOUR_S = 3_600;
const ROOM = "desk";
/** Long enough to ask once in it on any machine. */
const LONG_MS = 60_000;
const SHORT_MS = 1_000;
/** A lease that lasted for the hour would not end within it. */
const ENDS_MS = 60_000;

/** What a room has given out, over all its lives. */
class Numbers {
  readonly #versions = new Set<string>();
  #fence = 0;

  /** Takes the answer to a command. */
  take({ code, result }: { code: number; result?: Record<string, unknown> }): void {
    assert.equal(code, 0, JSON.stringify(result));
    const { epoch, version, fence } = result ?? {};
    if (version !== undefined) {
      const place = `${epoch} ${version}`;
      assert.ok(!this.#versions.has(place), `version ${place} was given before`);
      this.#versions.add(place);
    }
    if (fence === undefined) return;
    assert.ok(Number(fence) > this.#fence, `fence ${fence} after ${this.#fence}`);
    this.#fence = Number(fence);
  }
}

Deno.test("a Brain's wall clock that jumps an hour: leases last as long as granted, numbers are new", async () => {
  const issuer = await createIssuer();
  try {
    const clock = await createWallClock(issuer.dir);
    if (clock === undefined) return;
    await using nats = await startNats({ jetstream: true });
    const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
    const startBrain = () => startServer("brain", config, issuer.dir, "", 0, [], "", "", clock.env);
    await using shield = await startServer("shield", config, issuer.dir, "drain_ms = 0");
    const url = `${shield.ready.url?.replace(/^http/, "ws")}/v1/socket`;
    const open = async (sub: string) =>
      await DurableClient.open(url, await issuer.tokenFor({ sub }));
    using holder = await open("ann");
    using other = await open("bob");
    const numbers = new Numbers();
    const ask = (client: DurableClient, name: string, data: object = {}) =>
      client.ask({
        op: "cmd",
        room: ROOM,
        name,
        ...(Object.keys(data).length > 0 ? { data } : {}),
      });
    const taken = async (client: DurableClient, name: string, data: object = {}) => {
      let answer = await ask(client, name, data);
      // A Brain that has just started is found a moment later.
      await until("a Brain", async () => {
        if (answer.reason !== "brain-unavailable") return true;
        answer = await ask(client, name, data);
        return false;
      }, OUTAGE_MS);
      numbers.take(answer);
    };
    let count = 0;
    const write = () => taken(holder, "room.set", { key: "k", value: ++count });

    for (const start_s of [HOUR_S, -HOUR_S, 0]) {
      await clock.set(start_s);
      await using brain = await startBrain();
      const started_ms = Date.parse(brain.ready.ts ?? "");
      const ahead_s = (started_ms - Date.now()) / 1_000;
      assert.ok(Math.abs(ahead_s - start_s) < HOUR_S / 2, `the Brain is ahead by ${ahead_s} s`);
      await write();
      for (const jump_s of [start_s + HOUR_S, start_s]) {
        await taken(holder, "room.lock", { ttl_ms: LONG_MS });
        await clock.set(jump_s);
        // The Brain itself is in another hour now, and the lease is not over.
        assert.equal((await ask(other, "room.lock", { ttl_ms: SHORT_MS })).reason, "locked");
        await write();
        await taken(holder, "room.unlock");
        await taken(holder, "room.lock", { ttl_ms: SHORT_MS });
        const granted_ms = performance.now();
        await clock.set(jump_s - HOUR_S);
        await until("the end of the lease", async () => {
          const answer = await ask(other, "room.lock", { ttl_ms: SHORT_MS });
          if (answer.code !== 0) return false;
          numbers.take(answer);
          return true;
        }, OUTAGE_MS);
        const lasted_ms = performance.now() - granted_ms;
        assert.ok(lasted_ms < ENDS_MS, `a lease of ${SHORT_MS} ms lasted ${lasted_ms} ms`);
        await taken(other, "room.unlock");
        await write();
      }
      await brain.stop();
    }
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
});
