/**
 * A program that sends the same trace ids through two Shields (processes) on one NATS, in the opposite order
 * through one of them, and compares which ids each Shield has mirrored. Prints JSON; `governance_share.ts`
 * starts it.
 */
import { decodeServerFrame, encodePub, readEnvelope, writeEnvelope } from "@arqon/proto";
import { isSampled } from "../../shared/sampling.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { subjectPattern } from "../../shared/subjects/subject.ts";
import {
  createIssuer,
  type Issuer,
  type ServerProcess,
  startServer,
} from "../../tests/harness/cluster.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { openNatsSpine, Scrape, until } from "../measure/brains.ts";
import { traceIds } from "./governance_ids.ts";
import { connectSocket } from "../measure/socket.ts";

/** The plan of the comparison. */
export interface ShieldsPlan {
  readonly ids: number;
  readonly percent: number;
}

/** The result of the comparison. */
export interface ShieldsReport {
  readonly ids: number;
  readonly percent: number;
  /** Number of ids that each Shield mirrored. */
  readonly mirrored: readonly number[];
  /** Number of ids that one Shield mirrored and the other did not. */
  readonly differing: number;
  /** Number of ids about which a Shield and this program's own `isSampled` differ. */
  readonly differing_from_table: number;
  /** Number of copies that were dropped or failed. Each would be a difference. */
  readonly lost: number;
}

const SHIELDS = 2;
const TENANT = "acme";
/** Messages after which one is waited for. */
const WINDOW = 500;

const roomOf = (shield: number) => `shield-${shield}`;

/** Publishes each id once, and resolves when the Shield has acknowledged the last one. */
async function publishAll(url: string, token: string, room_id: string, ids: readonly string[]) {
  const socket = await connectSocket(url, ["arqon.v1", `arqon.token.${token}`]);
  let acknowledged = Promise.withResolvers<void>();
  socket.onmessage = (bytes) => {
    const frame = decodeServerFrame(bytes);
    if (frame.kind === "err") acknowledged.reject(new Error(frame.message));
    if (frame.kind !== "ack") return;
    if (frame.ack.code === 0) acknowledged.resolve();
    else acknowledged.reject(new Error(frame.ack.message));
  };
  for (let at = 0; at < ids.length; at += WINDOW) {
    acknowledged = Promise.withResolvers<void>();
    const window = ids.slice(at, at + WINDOW);
    for (const [index, trace_id] of window.entries()) {
      const request_id = index === window.length - 1 ? 1 : 0;
      const event = { type: "bench", data: new Uint8Array(64) };
      socket.send(encodePub(writeEnvelope({ trace_id, room_id, request_id, event })));
    }
    await acknowledged.promise;
  }
  socket.close();
}

async function trafficOf({ ready }: ServerProcess, outcome = ""): Promise<number> {
  const answer = await fetch(`${ready["ops_url"]}/metrics`);
  return new Scrape(await answer.text()).sum("shield_mirror_traffic_total", outcome);
}

/** The ids that arrive on the shadow of each Shield's room. */
function listen(spine: Spine): readonly Set<string>[] {
  const heard = Array.from({ length: SHIELDS }, () => new Set<string>());
  spine.subscribe(subjectPattern(`shadow.in.t.${TENANT}.r.*`), ({ payload }) => {
    const { trace_id, room_id } = readEnvelope(payload);
    heard.find((_, shield) => roomOf(shield) === room_id)?.add(trace_id);
  });
  return heard;
}

async function run({ ids: count, percent }: ShieldsPlan, issuer: Issuer): Promise<ShieldsReport> {
  await using running = new AsyncDisposableStack();
  const nats = running.use(await startNats({ jetstream: true }));
  const rule = `{ prefix = "in.t.${TENANT}.*", percent = ${percent} }`;
  const config = `[nats]\nurls = ["${nats.url}"]\n[platform.mirroring]\nrules = [${rule}]\n` +
    issuer.config;
  const starting = Array.from(
    { length: SHIELDS },
    () => startServer("shield", config, issuer.dir),
  );
  const shields = await Promise.all(starting);
  for (const shield of shields) running.use(shield);
  const spine = await openNatsSpine(nats.url, "bench");
  running.defer(() => spine.drain());
  const heard = listen(spine);
  await spine.flush();
  const ids = traceIds(count);
  const token = await issuer.tokenFor({ tenant_id: TENANT });
  await Promise.all(shields.map(({ ready }, shield) => {
    const url = `${ready["url"]?.replace(/^http/, "ws")}/v1/socket`;
    return publishAll(url, token, roomOf(shield), shield === 0 ? ids : ids.toReversed());
  }));
  let lost = 0;
  for (const [index, shield] of shields.entries()) {
    await until(async () => await trafficOf(shield) === count, "every message is decided", 50);
    lost += await trafficOf(shield, '"dropped"') + await trafficOf(shield, '"failed"');
    const published = await trafficOf(shield, '"published"');
    await until(() => heard[index]!.size >= published, "every copy arrives", 50);
  }
  const [one, other] = heard as [Set<string>, Set<string>];
  const table = new Set(ids.filter((id) => isSampled(id, percent)));
  return {
    ids: count,
    percent,
    mirrored: heard.map(({ size }) => size),
    differing: one.symmetricDifference(other).size,
    differing_from_table: heard.reduce(
      (sum, mirrored) => sum + mirrored.symmetricDifference(table).size,
      0,
    ),
    lost,
  };
}

if (import.meta.main) {
  const issuer = await createIssuer();
  try {
    console.log(JSON.stringify(await run(JSON.parse(Deno.args[0] ?? "{}"), issuer)));
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
  Deno.exit(0);
}
