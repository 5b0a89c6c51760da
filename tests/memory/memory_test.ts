/**
 * Clients that send one endless message, alone and several at once, to a Shield with a memory limit: they are
 * identified, closed and banned, and everybody else continues. With Deno's own sockets the process restarts for that;
 * with our own sockets nobody else notices.
 */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { BINARY, rawFrame, RawPeer } from "../../shield/socket/testing/conformance_peer.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "../harness/cluster.ts";
import type { Attack, AttackerNews, Manner } from "./memory_attacker.ts";
import { Other } from "./memory_other.ts";
import { startNats } from "../harness/nats_server.ts";
import { logged } from "../harness/server_state.ts";

/** `[limits] memory_bytes`. */
const LIMIT_BYTES = 600_000_000;
/** The offender must be disconnected before the process uses this much. */
const PEAK_BYTES = 1_000_000_000;
/** That many at once are identified, too, although each check of the sockets may find a different one. */
const SEVERAL = 4;
/** Twice the limit, and the growth during one check. */
const SEVERAL_PEAK_BYTES = 1_500_000_000;
/** The window in which clients reconnect. */
const DRAIN_MS = 5_000;
const WAIT_MS = 60_000;
/** `limits.memory_ban_seconds`. */
const BAN_SECONDS = 500;
/** 30 MB per second in total: an answer to a close frame does not wait behind seconds of fragments. */
const PACE_MS = 2;
/** 130 MB per second in total, more than a network of 1 Gbit/s carries; a faster pace would measure the machine. */
const FLOOD_PACE_MS = 2;
const EXIT_RESTART = 75;
const OTHERS = 20;

interface Place extends Issuer {
  readonly nats: string;
}

async function start(
  issuer: Place,
  websocket: "native" | "own",
  port = 0,
): Promise<ServerProcess> {
  const lines = [
    `websocket = "${websocket}"`,
    `drain_ms = ${DRAIN_MS}`,
  ].join("\n");
  const limits =
    `[nats]\nurls = ["${issuer.nats}"]\n[limits]\nmemory_bytes = ${LIMIT_BYTES}\n#constant limits.memory_ban_seconds = ${BAN_SECONDS}\n[policy]\nworkers = 1\n`;
  return await startServer("shield", limits + issuer.config, issuer.dir, lines, { port });
}

/** The process's peak memory, as the kernel counts it; 0 once it has ended. */
async function peakBytes({ pid }: { pid: number }): Promise<number> {
  // Deno itself must not read `/proc` without -A.
  const { stdout } = await new Deno.Command("cat", {
    args: [`/proc/${pid}/status`],
    stderr: "null",
  }).output();
  const status = new TextDecoder().decode(stdout);
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1_024;
}

/**
 * Clients that all connect, then all begin, each in its own thread and until its connection ends; resolves with whether
 * each was asked to close.
 */
async function attack(
  url: string,
  tokens: readonly string[],
  manner: Manner,
  pace_ms = 0,
): Promise<boolean[]> {
  const workers = tokens.map(() =>
    new Worker(new URL("./memory_attacker.ts", import.meta.url), { type: "module" })
  );
  const newsOf = (worker: Worker) =>
    new Promise<AttackerNews>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
    });
  try {
    const connected = workers.map(newsOf);
    for (const [index, worker] of workers.entries()) {
      const token = tokens[index] as string;
      worker.postMessage({ url, token, manner, pace_ms } satisfies Attack);
    }
    await Promise.all(connected);
    const over = workers.map(newsOf);
    for (const worker of workers) worker.postMessage("begin");
    return (await Promise.all(over)).map((news) => news.kind === "over" && news.is_notified);
  } finally {
    for (const worker of workers) worker.terminate();
  }
}

/** Of `count` users, or of `name` only. */
function tokensOf(issuer: Place, count: number, name = "mallory"): Promise<string[]> {
  const names = count === 1 ? [name] : Array.from({ length: count }, (_, at) => `${name}-${at}`);
  return Promise.all(names.map((sub) => issuer.tokenFor({ sub })));
}

/** Clients of both kinds: every second one answers PINGs, the others only receive. */
async function openOthers(http_url: string, issuer: Place): Promise<Other[]> {
  const clients: Other[] = [];
  for (let index = 0; index < OTHERS; index++) {
    const token = await issuer.tokenFor({ sub: `other-${index}` });
    clients.push(await Other.open(http_url, token, index % 2 === 0));
  }
  return clients;
}

async function upgradeStatus(http_url: string, token: string): Promise<string> {
  using peer = await RawPeer.connect(http_url, [`Authorization: Bearer ${token}`]);
  return peer.head.slice(9, 12);
}

/** NATS keeps the bans while the Shield is down. */
async function withNats(run: (place: Place) => Promise<void>): Promise<void> {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  await run({ ...issuer, nats: nats.url });
}

/** Users that the Shield logs as banned. */
function banned(shield: ServerProcess): string[] {
  return [...shield.log().matchAll(/ user=(\S+) .*msg="a user was banned"/g)]
    .map(([, user = ""]) => user).sort();
}

async function contained(issuer: Place, manner: Manner, offenders = 1): Promise<void> {
  const most_bytes = offenders === 1 ? PEAK_BYTES : SEVERAL_PEAK_BYTES;
  await using shield = await start(issuer, "native");
  const url = shield.ready["url"] ?? "";
  const others = await openOthers(url, issuer);
  const tokens = await tokensOf(issuer, offenders);
  let peak = 0;
  const timer = setInterval(async () => {
    peak = Math.max(peak, await peakBytes(shield));
  }, 20);
  const pace_ms = offenders === 1 ? 0 : FLOOD_PACE_MS;
  const attacking = attack(`${url}/v1/socket`, tokens, manner, pace_ms);
  const { code } = await shield.status;
  clearInterval(timer);
  const log = shield.log();
  assert.equal(code, EXIT_RESTART, log);
  assert.deepEqual(await attacking, tokens.map(() => true), "told to go");
  assert(peak > LIMIT_BYTES / 2 && peak < most_bytes, `${peak} bytes at most`);
  for (const [index, client] of others.entries()) {
    const { code, reason } = await client.closed();
    // A close that crosses a PONG may end in a reset, which the client sees as 1006; and when several flood, there may
    // be no time for an orderly end.
    if ((index % 2 === 0 || offenders > 1) && code === 1006) continue;
    assert.deepEqual({ code, reason }, { code: 1012, reason: `restart;spread_ms=${DRAIN_MS}` });
  }
  const started_ms = performance.now();
  await using again = await start(issuer, "native", Number(new URL(url).port));
  // All of them reconnect: so nobody else was banned.
  const back = await openOthers(again.ready["url"] ?? "", issuer);
  // The start time of a process under test depends on the machine, not on the Shield.
  assert(performance.now() - started_ms < WAIT_MS);
  for (const token of tokens) {
    assert.equal(await upgradeStatus(`${again.ready["url"]}/v1/socket`, token), "403", log);
  }
  for (const client of back) client[Symbol.dispose]();
}

async function left(issuer: Place, offenders = 1): Promise<void> {
  await using shield = await start(issuer, "native");
  const url = shield.ready["url"] ?? "";
  const others = await openOthers(url, issuer);
  const tokens = await tokensOf(issuer, offenders, "oscar");
  const manner = { pongs: true, closes: true };
  const notified = await attack(`${url}/v1/socket`, tokens, manner, PACE_MS * offenders);
  assert.deepEqual(notified, tokens.map(() => true));
  for (const token of tokens) {
    await until(
      "it is banned",
      async () => await upgradeStatus(`${url}/v1/socket`, token) === "403",
    );
  }
  const [token = ""] = tokens;
  const headers = { authorization: `Bearer ${token}` };
  const { reason, detail } = await (await fetch(`${url}/v1/auth/check`, { headers })).json();
  assert.equal(reason, "banned");
  assert.match(detail, /unfinished messages took the memory of the process/);
  const until_ms = Date.parse(/until (\S+Z)/.exec(detail)?.[1] ?? "");
  assert(until_ms > Date.now() && until_ms < Date.now() + BAN_SECONDS * 1_000, detail);
  assert(await peakBytes(shield) < PEAK_BYTES);
  assert.equal(banned(shield).length, offenders, `nobody else: ${banned(shield)}`);
  for (const [index, client] of others.entries()) {
    // A client that answers no PING, or a late one, cannot be distinguished from the offender.
    if (index % 2 === 0 && await client.isThere()) continue;
    const { code } = await client.closed();
    assert(code === 1012 || (index % 2 === 0 && code === 1006), String(code));
    client[Symbol.dispose]();
  }
}

async function refused(issuer: Place): Promise<void> {
  await using shield = await start(issuer, "own");
  const url = shield.ready["url"] ?? "";
  const others = await openOthers(url, issuer);
  const before = await peakBytes(shield);
  const manner = { pongs: true, closes: false };
  const notified = await attack(`${url}/v1/socket`, await tokensOf(issuer, 1), manner);
  assert.deepEqual(notified, [true]);
  const more = await peakBytes(shield) - before;
  assert(more < 200_000_000, `${more} bytes more`);
  for (const client of others) assert(await client.isThere());
  for (const client of others) client[Symbol.dispose]();
  let metrics = "";
  // The client gets the close frame before its connection has ended.
  await until("the close is counted", async () => {
    metrics = await (await fetch(`${shield.ready["ops_url"]}/metrics`)).text();
    return metrics.includes('shield_closes_total{code="4413"} 1\n');
  });
  assert.ok(metrics.includes(`shield_socket_implementation{implementation="own"} 1`));
  assert.match(metrics, /^shield_memory_limit_bytes 600000000$/m);
}

/** Each holds a message just below the limit, and leaves it unfinished. */
async function cutOff(issuer: Place): Promise<void> {
  await using shield = await start(issuer, "own");
  const url = shield.ready["url"] ?? "";
  const others = await openOthers(url, issuer);
  const token = await issuer.tokenFor({ sub: "legion" });
  const peers: RawPeer[] = [];
  const part = rawFrame(BINARY, new Uint8Array(30_000_000), false);
  await until("nobody is let in any more", async () => {
    const peer = await RawPeer.connect(`${url}/v1/socket`, [`Authorization: Bearer ${token}`]);
    peers.push(peer);
    assert(peers.length < 1_000, "so many cannot hold what they hold");
    // It may be disconnected while it sends; and new connections are refused when memory runs short.
    if (peer.head.startsWith("HTTP/1.1 101 ")) await peer.write(part).catch(() => {});
    return peer.head.startsWith("HTTP/1.1 403 ");
  });
  assert(await peakBytes(shield) < PEAK_BYTES);
  await logged(shield, /clients that held the memory were cut off/);
  for (const client of others) assert(await client.isThere());
  for (const one of [...others, ...peers]) one[Symbol.dispose]();
}

Deno.test("native: a client that neither ends a message nor closes is banned, the others reconnect", () =>
  withNats((place) => contained(place, { pongs: true, closes: false })));

Deno.test("native: one that does not answer pings either is banned, the others reconnect", () =>
  withNats((place) => contained(place, { pongs: false, closes: false })));

Deno.test("native: several who flood at once are all banned, and nobody else is", () =>
  withNats((place) => contained(place, { pongs: true, closes: false }, SEVERAL)));

Deno.test("native: several that close with the memory in use are all banned, and nobody else is", () =>
  withNats((place) => left(place, SEVERAL)));

Deno.test("native: one that closes with the memory in use is banned, the process continues", () =>
  withNats((place) => left(place)));

Deno.test("own: an endless message is refused at the limit, and nobody else notices", () =>
  withNats((place) => refused(place)));

Deno.test("own: many below the limit are disconnected and banned, and nobody else notices", () =>
  withNats((place) => cutOff(place)));
