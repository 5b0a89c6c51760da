/**
 * The ops endpoint of every process: `/metrics`, `/health/live` and `/health/ready`. Only the request handler; the
 * listener belongs to `main.ts`. It needs no token, since probes and Prometheus may have none, so nothing here is
 * secret.
 */
import { ArqonError } from "@arqon/proto";
import type { Env } from "../env.ts";
import type { Logger } from "../logs/log.ts";
import { exposition } from "../metrics/metrics.ts";
import { problemResponse } from "../problem.ts";

/** One condition of readiness. */
export interface HealthCheck {
  readonly ok: boolean;
  /** Since when it has this state, Unix ms. */
  readonly since_ms: number;
  /** The state for people: "connected to nats://…", "reconnecting, attempt 3". */
  readonly detail: string;
}

/** A process is ready if every check is ok. */
export interface HealthReport {
  readonly checks: Readonly<Record<string, HealthCheck>>;
}

/** What the ops endpoint shows. */
interface OpsOptions extends Pick<Env, "registry" | "now"> {
  readonly health: () => HealthReport;
  /** Logs a collector or a health check that throws. */
  readonly log?: Logger;
}

/** Longest path in the text of a refusal. */
const PATH_UNITS = 200;

/** Whether every check is ok. */
export function isReady(report: HealthReport): boolean {
  return Object.values(report.checks).every((check) => check.ok);
}

function json(status: number, body: unknown): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store" },
  });
}

function readiness(report: HealthReport): Response {
  const ready = isReady(report);
  const checks = Object.fromEntries(
    Object.entries(report.checks).map(([name, check]) => [name, {
      status: check.ok ? "ok" : "unavailable",
      since: new Date(check.since_ms).toISOString(),
      detail: check.detail,
    }]),
  );
  return json(ready ? 200 : 503, { status: ready ? "ok" : "unavailable", checks });
}

/** Answers one request of the ops listener. Never rejects: a failing collector is a 500. */
export function opsHandler(options: OpsOptions): (request: Request) => Promise<Response> {
  const started_ms = options.now();
  const routes: Readonly<Record<string, () => Response | Promise<Response>>> = {
    "/metrics": async () => {
      const { body, content_type } = await exposition(options.registry);
      return new Response(body, { headers: { "content-type": content_type } });
    },
    "/health/live": () => json(200, { status: "ok", uptime_ms: options.now() - started_ms }),
    "/health/ready": () => readiness(options.health()),
  };
  return routed(routes, options.log);
}

/** Answers GET of these paths. Never rejects: a failure is logged and answered 500. */
export function routed(
  routes: Readonly<Record<string, () => Response | Promise<Response>>>,
  log: Pick<Logger, "error"> | undefined,
): (request: Request) => Promise<Response> {
  return async (request) => {
    const path = new URL(request.url).pathname;
    const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
    if (route === undefined) {
      return problemResponse(new ArqonError("not-found", path.slice(0, PATH_UNITS)));
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      const refusal = new ArqonError("method-not-allowed", request.method);
      return problemResponse(refusal, { allow: "GET, HEAD" });
    }
    try {
      return await route();
    } catch (cause) {
      log?.error("ops request failed", { path, error: cause });
      return problemResponse(new ArqonError("internal", "", { cause }));
    }
  };
}
