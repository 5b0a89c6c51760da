/**
 * `arq status`: shows whether the bus is ready and its activity. Readiness comes from the ops listener of one node.
 * With a token of role admin it also shows every node of the cluster, and the figures of the node that answers.
 */
import { ArqonError } from "@arqon/proto";
import { errorFromWire } from "../../../sdk/typescript/wire/wire_error.ts";
import { EXIT, printable, whyOf } from "../../terminal/exit.ts";
import { clusterTable, readCluster } from "../../answers/cluster.ts";
import { type Ended, type Io, print, sleep } from "../../terminal/io.ts";
import {
  findTarget,
  givenToken,
  noListener,
  opsToken,
  refusedToken,
  tokenRenewal,
} from "../../bus/target.ts";
import { openScreen } from "../../terminal/screen.ts";
import { readStack, type StackService, stackText } from "../../serve/stack.ts";
import type { Flags } from "../../program/flags.ts";
import { exchange } from "../../bus/admin.ts";
import { awaitedLater } from "../../../shared/awaited_later.ts";
import { inColumns, linesText } from "../../terminal/columns.ts";
import { time } from "../../answers/figures.ts";

type Members = Readonly<Record<string, unknown>>;

/** A `_ms` figure beyond this is a point in time, not a duration. */
const YEAR_2000_MS = 946_684_800_000;

const isMembers = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `49h 0m 7s`: whole seconds, with larger units as needed. */
export function duration(duration_ms: number): string {
  const seconds = Math.max(0, Math.floor(duration_ms / 1_000));
  const hours = Math.floor(seconds / 3_600);
  const minutes = Math.floor(seconds / 60) % 60;
  const parts = [hours > 0 ? `${hours}h` : "", seconds >= 60 ? `${minutes}m` : ""];
  return [...parts, `${seconds % 60}s`].filter((part) => part !== "").join(" ");
}

const isTime = (value: unknown): value is number =>
  typeof value === "number" && value > YEAR_2000_MS;

/** Any value in one line: `name value` pairs with commas between them. */
function plain(name: string, value: unknown): string {
  if (Array.isArray(value)) return value.map((item) => plain("", item)).join("; ");
  if (isMembers(value)) {
    return Object.entries(value).map(([inner, item]) => `${inner} ${plain(inner, item) || "none"}`)
      .join(", ");
  }
  return name.endsWith("_ms") && isTime(value) ? time(value) : String(value);
}

/** The rows of one member, each a label and a text. An empty member has no rows. */
function rowsOf(name: string, value: unknown): [string, string][] {
  if (name === "uptime_ms" && typeof value === "number") return [["uptime", duration(value)]];
  const all = Array.isArray(value) ? value : [value];
  return all.map((one) => plain(name, one)).flatMap((text) => text === "" ? [] : [[name, text]]);
}

/** All figures as aligned and indented lines. No server's answer can control the terminal. */
export function figureLines(figures: unknown): string {
  const members = isMembers(figures) ? figures : { answer: figures };
  const rows = Object.entries(members).flatMap(([name, value]) => rowsOf(name, value))
    .map((row) => row.map(printable));
  return linesText(inColumns(rows), "  ");
}

interface Check {
  status: string;
  since?: string;
  detail?: string;
}

interface Health {
  status: string;
  checks?: Record<string, Check>;
}

const REQUEST_MS = 5_000;
const WATCH_SECONDS = 2;

async function getJson(io: Io, url: string, token?: string): Promise<unknown> {
  const request = { method: "GET", path: "" } as const;
  const { response, text } = await exchange(io, { admin_url: url, token }, request, REQUEST_MS);
  try {
    const body: unknown = JSON.parse(text);
    if (response.ok || response.status === 503) return body;
    const { detail, reason } = body as { detail?: unknown; reason?: unknown };
    throw errorFromWire({
      code: response.status,
      reason: String(reason ?? ""),
      message: typeof detail === "string" ? detail : "",
    });
  } catch (error) {
    if (error instanceof ArqonError) throw error;
    throw new ArqonError("unreachable", `${url}: it answers HTTP ${response.status}, but not JSON`);
  }
}

function healthLines(ops_url: string, health: Health): string {
  const rows = Object.entries(health.checks ?? {}).map(([name, { status, detail = "" }]) => [
    name,
    `${status}  ${detail}`,
  ]);
  const head = `${health.status === "ok" ? "ready" : "NOT READY"}  ${ops_url}`;
  return linesText([head]) + linesText(inColumns(rows), "  ");
}

function servicesText(file: string, services: readonly StackService[] | undefined): string {
  const text = services === undefined ? "  Docker does not say\n" : stackText(services);
  return `services  ${file}\n${text}`;
}

/** Prints the services of the stack, also when its Shield does not answer. */
async function tellServices(io: Io, { compose }: Source, is_json: boolean): Promise<void> {
  io.signal.throwIfAborted();
  if (compose === undefined) return;
  const services = await readStack(compose, io.signal);
  const all = {
    ready: false,
    health: null,
    status: null,
    cluster: null,
    services: services ?? null,
  };
  await print(io.stdout, is_json ? `${JSON.stringify(all)}\n` : servicesText(compose, services));
}

/** Addresses and tokens for the status of a bus. */
interface Source {
  readonly ops_url: string;
  /** Undefined when the ops listener asks for no token, or no token is known. */
  readonly ops_token: string | undefined;
  readonly admin: { readonly url: string; readonly token: string } | undefined;
  /** What to do when the admin listener refuses the token. */
  readonly renewal: string | undefined;
  /** The compose file of the bus's stack; undefined when the bus is in no stack. */
  readonly compose: string | undefined;
}

async function findSource(io: Io, flags: Flags): Promise<Source> {
  const needs_bus = flags.opsUrl === undefined;
  const target = needs_bus || flags.adminUrl === undefined
    ? await findTarget(io, flags)
    : undefined;
  const ops_url = (flags.opsUrl ?? target?.ops_url)?.replace(/\/+$/, "");
  if (ops_url === undefined) throw noListener(io, flags, target, "ops");
  const is_own = target !== undefined &&
    (needs_bus || target.is_named || target.ops_url?.replace(/\/+$/, "") === ops_url);
  const own = is_own ? target : undefined;
  const url = (flags.adminUrl ?? own?.admin_url)?.replace(/\/+$/, "");
  const token = await givenToken(io, flags) ??
    (own?.has_token === true ? await own.token("admin") : undefined);
  const renewal = tokenRenewal(io, flags, own, "admin");
  const admin = url === undefined || token === undefined ? undefined : { url, token };
  const ops_token = await opsToken(io, flags, own);
  return { ops_url, ops_token, admin, renewal, compose: own?.context?.compose };
}

/** The result of one request to the bus. */
interface Look {
  readonly ready: boolean;
  readonly text: string;
}

async function look(
  io: Io,
  { ops_url, ops_token, admin, renewal, compose }: Source,
  is_json: boolean,
): Promise<Look> {
  const stack = compose === undefined ? undefined : awaitedLater(readStack(compose, io.signal));
  const health = await getJson(io, `${ops_url}/health/ready`, ops_token) as Health;
  const ask = async (path: string) =>
    admin === undefined ? undefined : await getJson(io, `${admin.url}${path}`, admin.token);
  const [figures, answer] = await Promise.all([ask("/v1/status"), ask("/v1/cluster")])
    .catch((error: unknown) => {
      throw refusedToken(error, renewal);
    });
  const cluster = answer === undefined ? undefined : readCluster({ ...answer as object });
  const is_whole = cluster === undefined ||
    cluster.silent.length === 0 && cluster.nodes.every((node) => node.ready);
  const ready = health.status === "ok" && is_whole;
  if (is_json) {
    const all = {
      ready,
      health,
      status: figures ?? null,
      cluster: answer ?? null,
      ...(stack === undefined ? {} : { services: await stack ?? null }),
    };
    return { ready, text: `${JSON.stringify(all)}\n` };
  }
  const more = admin === undefined || cluster === undefined
    ? "For the cluster and figures give --admin-url and a token of role admin.\n"
    : `cluster  ${admin.url}\n${clusterTable(cluster).replace(/^/gm, "  ").trimEnd()}\n` +
      `figures  ${admin.url}\n${figureLines(figures)}`;
  const services = stack === undefined ? "" : servicesText(compose ?? "", await stack);
  return { ready, text: healthLines(ops_url, health) + services + more };
}

/** Prints health, nodes and figures. Returns 0 when every node of the bus is ready, 1 when one is not. */
export async function status(io: Io, flags: Flags): Promise<Ended> {
  const is_json = flags.json === true;
  if (flags.path === true) {
    const { GATES } = await import("../../../shield/message/gate_order.ts");
    const rows = GATES.map(([gate, ...refusals]) => ({ gate, refusals }));
    const lines = rows.map(({ gate, refusals }) => `${gate.padEnd(18)}  ${refusals.join(", ")}\n`);
    return { json: rows, text: lines.join("") };
  }
  const source = await findSource(io, flags);
  if (flags.watch === undefined) {
    const { ready, text } = await look(io, source, is_json).catch(async (error: unknown) => {
      await tellServices(io, source, is_json);
      throw error;
    });
    await print(io.stdout, text);
    return ready ? EXIT.ok : EXIT.failure;
  }
  const interval_ms = 1_000 * (flags.watch === true ? WATCH_SECONDS : flags.watch);
  const screen = openScreen(io, is_json);
  try {
    while (true) {
      const { text } = await look(io, source, is_json).catch((error: unknown) => {
        io.signal.throwIfAborted();
        return { text: is_json ? "" : `${whyOf(error)}\n` };
      });
      await screen.show(text);
      await sleep(interval_ms, io.signal);
    }
  } finally {
    await screen.close();
  }
}
