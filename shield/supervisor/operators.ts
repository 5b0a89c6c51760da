/**
 * Operators' view of several Shields: one page of metrics, one health, one admin API. The request handlers send
 * requests to the Shields over loopback, each with a time limit.
 */
import { ArqonError } from "@arqon/proto";
import type { Registry } from "prom-client";
import type { Env } from "../../shared/env.ts";
import { exposition } from "../../shared/metrics/metrics.ts";
import { routed } from "../../shared/listeners/ops.ts";
import type { OpsToken } from "../../shared/listeners/ops_token.ts";
import { problemResponse } from "../../shared/problem.ts";
import { requireOwnName, requireOwnSite, withSafety } from "../admin/routing/admin_safety.ts";
import type { AdminNames } from "../admin/routing/admin_safety.ts";
import type { Slot } from "./slot.ts";

/** The Shields that operators see as one, and the settings of requests to them. */
export interface OperatorOptions extends Pick<Env, "log" | "now"> {
  readonly slots: readonly Pick<
    Slot,
    "index" | "node_id" | "pid" | "ports" | "restarts" | "state"
  >[];
  /** The supervisor's own metrics; their label is `process="supervisor"`. */
  readonly registry: Registry;
  readonly fetch: typeof fetch;
  /** The token for the Shields' ops listeners; absent: none. */
  readonly token?: OpsToken | undefined;
  /** How long a Shield may take to answer, in ms. */
  readonly timeout_ms?: number;
}

type Place = OperatorOptions["slots"][number];

/** A Shield's answer, or the reason why there is none. */
interface Answer {
  readonly place: Place;
  readonly status: number;
  readonly body: string;
}

const TIMEOUT_MS = 2_000;
/** The longest answer of a Shield that is read, in bytes. */
const ANSWER_BYTES = 33_554_432;
const ONE_PROCESS = /^\/v1\/processes\/([0-9]{1,3})(\/.*)$/;
/** Hop-by-hop headers, and those whose effect `fetch` has undone. */
const OF_THE_HOP = [
  "connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
  "te",
  "trailer",
  "host",
  "content-length",
];

async function ask(options: OperatorOptions, place: Place, path: string): Promise<Answer> {
  const { ports } = place;
  if (ports === undefined) return { place, status: 0, body: "" };
  try {
    const token = options.token?.();
    const response = await options.fetch(`http://127.0.0.1:${ports.ops_port}${path}`, {
      ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
      signal: AbortSignal.timeout(options.timeout_ms ?? TIMEOUT_MS),
    });
    return { place, status: response.status, body: await readText(response) };
  } catch (error) {
    // The operator sees it: status 0.
    options.log.debug("a process does not answer", { process: place.index, path, error });
    return { place, status: 0, body: "" };
  }
}

async function readText(response: Response): Promise<string> {
  let size_bytes = 0;
  const limited = response.body?.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(part, controller) {
        size_bytes += part.length;
        if (size_bytes > ANSWER_BYTES) controller.error(new Error("the answer is too long"));
        else controller.enqueue(part);
      },
    }),
  );
  return limited === undefined ? "" : await new Response(limited).text();
}

function askAll(options: OperatorOptions, path: string): Promise<Answer[]> {
  return Promise.all(options.slots.map((place) => ask(options, place, path)));
}

function json(status: number, body: unknown): Response {
  return Response.json(body, { status, headers: { "cache-control": "no-store" } });
}

/** A Shield's answer with its supervisor's data. */
function described({ place, status, body }: Answer): Record<string, unknown> {
  const { index, node_id, pid, state, restarts } = place;
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    parsed = undefined;
  }
  const checks = typeof parsed === "object" && parsed !== null && "checks" in parsed
    ? parsed.checks
    : undefined;
  const answered = state === "serving" && status === 0 ? "silent" : state;
  return { process: index, node_id, pid, state: answered, restarts, ok: status === 200, checks };
}

async function metrics(options: OperatorOptions): Promise<Response> {
  const [own, answers] = await Promise.all([
    exposition(options.registry),
    askAll(options, "/metrics"),
  ]);
  const pages = answers.filter(({ status }) => status === 200).map(({ place, body }) => ({
    process: String(place.index),
    text: body,
  }));
  const text = mergePages([{ process: "supervisor", text: own.body }, ...pages]);
  return new Response(text, { headers: { "content-type": own.content_type } });
}

/** Answers whether the node is alive: it is not if Shields serve and none of them answers. */
async function live(options: OperatorOptions, uptime_ms: number): Promise<Response> {
  const answers = await askAll(options, "/health/live");
  const serving = answers.filter(({ place }) => place.state === "serving");
  const alive = serving.length === 0 || serving.some(({ status }) => status === 200);
  return json(alive ? 200 : 503, {
    status: alive ? "ok" : "unavailable",
    uptime_ms,
    processes: answers.map(described),
  });
}

/**
 * Answers whether the node is ready: it is while one Shield is ready. New connections of the other Shields are refused
 * or not accepted.
 */
async function ready(options: OperatorOptions): Promise<Response> {
  const answers = await askAll(options, "/health/ready");
  const count = answers.filter(({ status }) => status === 200).length;
  const status = count === answers.length ? "ok" : count > 0 ? "degraded" : "unavailable";
  return json(count > 0 ? 200 : 503, {
    status,
    checks: Object.fromEntries(answers.map(checked)),
    processes: answers.map(described),
  });
}

/** One Shield as a check of its node, for clients that expect the answer of a single Shield. */
function checked({ place, status }: Answer): [string, { status: string; detail: string }] {
  const { index, node_id, restarts, state } = place;
  const detail = `${node_id} ${state}, ${restarts} restarts`;
  return [`process ${index}`, { status: status === 200 ? "ok" : "unavailable", detail }];
}

/** Handler of the ops listener of several Shields. Never rejects. */
export function supervisorOps(options: OperatorOptions): (request: Request) => Promise<Response> {
  const started_ms = options.now();
  const routes: Readonly<Record<string, () => Promise<Response>>> = {
    "/metrics": () => metrics(options),
    "/health/live": () => live(options, options.now() - started_ms),
    "/health/ready": () => ready(options),
  };
  return routed(routes, options.log);
}

function unavailable(detail: string): Response {
  return problemResponse(new ArqonError("process-unavailable", detail, { retry_after_ms: 1_000 }));
}

/**
 * Handler of the admin listener. It forwards requests to the serving Shields in turn, since a change reaches all of
 * them over NATS; `/v1/processes/{index}/…` is `/v1/…` of that Shield. The Shield checks the token. Never rejects.
 */
export function supervisorAdmin(
  options: OperatorOptions,
  names: AdminNames,
): (request: Request) => Promise<Response> {
  let turn = 0;
  return async (request) => {
    const url = new URL(request.url);
    try {
      requireOwnName(request, names);
      requireOwnSite(request, url.pathname);
    } catch (error) {
      if (!(error instanceof ArqonError)) throw error;
      return withSafety(problemResponse(error));
    }
    const [, index, rest] = ONE_PROCESS.exec(url.pathname) ?? [];
    const serving = options.slots.filter(({ ports }) => ports !== undefined);
    const place = index === undefined
      ? serving[turn++ % Math.max(1, serving.length)]
      : serving.find((candidate) => candidate.index === Number(index));
    if (place?.ports === undefined) {
      return unavailable(index === undefined ? "none serves" : `process ${index} is not serving`);
    }
    const path = rest === undefined ? url.pathname : `/v1${rest}`;
    const target = `http://127.0.0.1:${place.ports.admin_port}${path}${url.search}`;
    try {
      const response = await options.fetch(target, {
        method: request.method,
        headers: ofOwnSite(endToEnd(request.headers)),
        body: request.body,
        redirect: "manual",
        signal: request.signal,
      });
      return new Response(response.body, {
        status: response.status,
        headers: endToEnd(response.headers),
      });
    } catch (error) {
      options.log.warn("a process does not answer", { process: place.index, path, error });
      return unavailable(`process ${place.index} did not answer`);
    }
  };
}

/**
 * Changes the headers that name the site. The listener that the browser contacted has checked them, and the Shield has
 * another address.
 */
function ofOwnSite(headers: Headers): Headers {
  for (const name of ["origin", "sec-fetch-site"]) headers.delete(name);
  return headers;
}

function endToEnd(headers: Headers): Headers {
  const kept = new Headers(headers);
  for (const name of OF_THE_HOP) kept.delete(name);
  return kept;
}

// Merges several pages of metrics in the Prometheus text format: each sample gets the label `process`, and the samples
// of one metric are adjacent, as the format requires. Nothing is summed: a sum over processes would fall when one of
// them restarts, and Prometheus can sum.

interface Page {
  /** The value of the label `process`. */
  readonly process: string;
  readonly text: string;
}

interface Family {
  readonly comments: string[];
  readonly samples: string[];
}

/** Merges the pages into one; each metric comes in the order of the first page that has it. */
export function mergePages(pages: readonly Page[]): string {
  const families = new Map<string, Family>();
  for (const { process, text } of pages) {
    let family: Family | undefined;
    let is_first = false;
    for (const line of text.split("\n")) {
      if (line === "") continue;
      const name = /^# (?:HELP|TYPE) (\S+)/.exec(line)?.[1];
      if (name !== undefined && line.startsWith("# HELP")) {
        is_first = !families.has(name);
        family = families.get(name) ?? { comments: [], samples: [] };
        families.set(name, family);
      }
      if (family === undefined) continue;
      if (!line.startsWith("#")) family.samples.push(withProcess(line, process));
      else if (is_first) family.comments.push(line);
    }
  }
  return [...families.values()].map(({ comments, samples }) =>
    `${[...comments, ...samples].join("\n")}\n`
  ).join("\n");
}

/** Adds the label to a sample. A name has neither a brace nor a space, so the first of these ends it. */
function withProcess(sample: string, process: string): string {
  const end = sample.search(/[{ ]/);
  if (end < 0) return sample;
  const label = `process="${process}"`;
  const name = sample.slice(0, end);
  if (sample[end] === " ") return `${name}{${label}}${sample.slice(end)}`;
  const rest = sample.slice(end + 1);
  return `${name}{${label}${rest.startsWith("}") ? "" : ","}${rest}`;
}
