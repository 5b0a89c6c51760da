/**
 * `arq status`: is the bus ready, and what does it do? Readiness from the ops listener, figures from
 * the admin API when a token of role admin is at hand.
 */
import { ArqonError, errorFromWire } from "@arqon/sdk";
import { EXIT, printable } from "../exit.ts";
import { figureLines } from "../figures.ts";
import { print } from "../io.ts";
import type { Io } from "../io.ts";
import { devBus, devToken, givenToken, noBus } from "../target.ts";
import type { ConnectionFlags } from "../target.ts";

/** The command's options. */
export interface StatusFlags extends ConnectionFlags {
  readonly json?: boolean;
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

async function getJson(io: Io, url: string, token?: string): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(url, {
      ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
      redirect: "manual",
      signal: AbortSignal.any([io.signal, AbortSignal.timeout(REQUEST_MS)]),
    });
  } catch (error) {
    io.signal.throwIfAborted();
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    throw new ArqonError(
      "unreachable",
      `${url}: ${cause instanceof Error ? cause.message : cause}`,
    );
  }
  const text = await response.text();
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
  const checks = Object.entries(health.checks ?? {});
  const width = Math.max(0, ...checks.map(([name]) => name.length));
  const lines = checks.map(([name, check]) =>
    `  ${name.padEnd(width)}  ${check.status}  ${check.detail ?? ""}`
  );
  return [`${health.status === "ok" ? "ready" : "NOT READY"}  ${ops_url}`, ...lines]
    .map(printable).join("\n") + "\n";
}

/** Prints health and figures; 0 when the bus is ready, 1 when it is not. */
export async function status(io: Io, flags: StatusFlags): Promise<number> {
  const needs_bus = flags.opsUrl === undefined;
  const bus = needs_bus || flags.adminUrl === undefined ? await devBus(io, flags) : undefined;
  const ops_url = (flags.opsUrl ?? bus?.ops_url)?.replace(/\/+$/, "");
  if (ops_url === undefined) throw noBus(io);
  const own = bus !== undefined && (needs_bus || bus.ops_url === ops_url) ? bus : undefined;
  const admin_url = (flags.adminUrl ?? own?.admin_url)?.replace(/\/+$/, "");
  const token = await givenToken(io, flags) ??
    (own === undefined ? undefined : await devToken(io, own, "admin"));
  const health = await getJson(io, `${ops_url}/health/ready`) as Health;
  const figures = admin_url === undefined || token === undefined
    ? undefined
    : await getJson(io, `${admin_url}/v1/status`, token);
  const ready = health.status === "ok";
  if (flags.json === true) {
    await print(io.stdout, `${JSON.stringify({ ready, health, status: figures ?? null })}\n`);
  } else {
    await print(io.stdout, healthLines(ops_url, health));
    await print(
      io.stdout,
      figures === undefined
        ? "For figures give --admin-url and a token of role admin.\n"
        : `figures  ${admin_url}\n${figureLines(figures)}`,
    );
  }
  return ready ? EXIT.ok : EXIT.failure;
}
