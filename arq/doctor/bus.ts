/** Findings about the bus that commands use here: whether it runs, is ready and accepts its tokens. */
import { textOf } from "../../shared/listeners/answer_body.ts";
import { parseAddress } from "@arqon/sdk";
import { apartVersions, differentClasses, readCluster } from "../answers/cluster.ts";
import { printable } from "../terminal/exit.ts";
import type { Io } from "../terminal/io.ts";
import type { TimeAnswer } from "../bus/admin.ts";
import { opsToken, type Target } from "../bus/target.ts";
import type { Role } from "../bus/token.ts";
import { fail, type Finding, ok, privateFinding, warn, whyOf } from "./paths.ts";
import type { Flags } from "../program/flags.ts";

/** The findings about a bus, and the bus's time. */
export interface BusReport {
  readonly findings: readonly Finding[];
  readonly time: TimeAnswer | undefined;
}

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly time: TimeAnswer | undefined;
}

const REQUEST_MS = 10_000;
const CHECK = "bus";

async function ask(io: Io, url: string, token?: string): Promise<Answer> {
  const sent_ms = io.now();
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(REQUEST_MS)]);
  const response = await fetch(url, {
    ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
    redirect: "manual",
    signal,
  });
  const received_ms = io.now();
  // The status counts; a body that is not JSON says nothing more.
  const body: unknown = await textOf(response, signal).then(JSON.parse).catch(() => ({}));
  const date_ms = Date.parse(response.headers.get("date") ?? "");
  const server = new URL(url).host;
  return {
    status: response.status,
    body: typeof body === "object" && body !== null ? { ...body } : {},
    time: Number.isNaN(date_ms) ? undefined : { date_ms, sent_ms, received_ms, server },
  };
}

/** The parts of a bus that are not ready, from its health report. */
function unreadyParts(body: Record<string, unknown>): string {
  const checks = Object.entries((body["checks"] ?? {}) as Record<string, { status?: string }>);
  const names = checks.filter(([, check]) => check.status !== "ok").map(([name]) => name);
  return names.length === 0 ? "" : `: ${printable(names.join(", "))}`;
}

async function healthFinding(io: Io, target: Target, ops_url: string, flags: Flags) {
  let token: string | undefined;
  try {
    token = await opsToken(io, flags, target);
  } catch (error) {
    io.signal.throwIfAborted();
    const fix = "name the file of [ops] token_file: --ops-token-file, or arq context add --update";
    return { finding: fail(CHECK, whyOf(error), fix), time: undefined };
  }
  try {
    const { status, body, time } = await ask(io, `${ops_url}/health/ready`, token);
    if (status === 401) {
      const text = `${target.title} refuses the token of its ops listener (${ops_url})`;
      const fix = "give the one of [ops] token_file: --ops-token-file, or arq context add --update";
      return { finding: fail(CHECK, text, fix), time };
    }
    const finding = status === 200
      ? ok(CHECK, `${target.title} is ready (${ops_url})`)
      : fail(CHECK, `${target.title} is not ready${unreadyParts(body)}`, "arq status has details");
    return { finding, time };
  } catch (error) {
    io.signal.throwIfAborted();
    const fix = /certificate/i.test(whyOf(error))
      ? "make this machine trust its certificate: DENO_CERT=FILE with the CA's"
      : "start it (arq serve, deno task dev), or choose another: arq context use NAME";
    const text = `${target.title} does not answer at ${ops_url}: ${whyOf(error)}`;
    // The bus of a folder may not have been started yet.
    const tell = target.context === undefined || target.context.folder !== undefined ? warn : fail;
    return { finding: tell(CHECK, text, fix), time: undefined };
  }
}

/** Asks the bus with a token whether it accepts the token. */
async function tokenFinding(
  io: Io,
  target: Target,
  role: Role,
  url: string,
): Promise<{ finding: Finding; time: TimeAnswer | undefined }> {
  const check = `${role} token`;
  const renewal = target.renewal(role) ?? `make another: arq auth gen --role ${role}`;
  try {
    const { status, body, time } = await ask(io, url, await target.token(role));
    if (status === 200) return { finding: ok(check, `${target.title} accepts it`), time };
    const reason = printable(String(body["reason"] ?? `HTTP ${status}`));
    return { finding: fail(check, `${target.title} refuses it: ${reason}`, renewal), time };
  } catch (error) {
    io.signal.throwIfAborted();
    return { finding: warn(check, `not tried: ${whyOf(error)}`, renewal), time: undefined };
  }
}

/**
 * Nodes that do not understand the others, or whose room classes differ from most; empty as well when the token may not
 * list all nodes.
 */
async function nodeFindings(io: Io, target: Target, admin_url: string): Promise<Finding[]> {
  try {
    const { status, body } = await ask(io, `${admin_url}/v1/cluster`, await target.token("admin"));
    if (status !== 200) return [];
    const cluster = readCluster(body);
    const apart = apartVersions(cluster);
    const classes = differentClasses(cluster);
    const upgrade = "upgrade them: docs/upgrade.md says which versions run together";
    const same = "give every Shield and Brain the same [[rooms]]: arq config reload, or a restart";
    return [
      ...(apart === undefined ? [] : [fail("versions", printable(apart), upgrade)]),
      ...(classes === undefined ? [] : [warn("room classes", printable(classes), same)]),
    ];
  } catch (error) {
    io.signal.throwIfAborted();
    return [warn("nodes", `not compared: ${whyOf(error)}`, "arq status compares them, too")];
  }
}

/** Checks a bus. If a folder's bus does not run, that is only a warning, since it need not run. */
export async function busReport(io: Io, target: Target, flags: Flags): Promise<BusReport> {
  const findings: Finding[] = [];
  const times: (TimeAnswer | undefined)[] = [];
  const key = target.context?.key;
  if (key !== undefined) findings.push(await privateFinding(io, "context key", key));
  const take = (found: { finding: Finding; time: TimeAnswer | undefined }) => {
    findings.push(found.finding);
    times.push(found.time);
  };
  const { ops_url, admin_url, url } = target;
  const health = ops_url === undefined
    ? undefined
    : await healthFinding(io, target, ops_url.replace(/\/+$/, ""), flags);
  if (health !== undefined) take(health);
  const lives = health === undefined || health.time !== undefined;
  if (lives && target.has_token) {
    take(await tokenFinding(io, target, "user", parseAddress(url).check_url));
    if (admin_url !== undefined) {
      const base = admin_url.replace(/\/+$/, "");
      const admin = await tokenFinding(io, target, "admin", `${base}/v1/status`);
      take(admin);
      if (admin.finding.status === "ok") findings.push(...await nodeFindings(io, target, base));
    }
  }
  return { findings, time: times.find((time) => time !== undefined) };
}
