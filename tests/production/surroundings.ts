/**
 * The surroundings of the bus in a production setup: refused logins of NATS, a tenant's quota across all Shields, and
 * the collector's telemetry. Each returns what does not hold.
 */
import { connect } from "@nats-io/transport-deno";
import { runArq } from "../../arq/testing/run_arq.ts";
import { becomes } from "../../shared/testing/until.ts";
import { TLS_FOLDER } from "../deployed_files.ts";
import type { Site } from "./site.ts";
import type { Stage } from "./stage.ts";

const WAIT_MS = 60_000;
const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";

/** NATS refuses connections without a login, and logins with another user's password. */
export async function refusedLogins(stage: Stage, site: Site): Promise<string[]> {
  const problems: string[] = [];
  const [{ server } = { server: { port: 0 } }] = site.pods;
  const ca = await Deno.readTextFile(`${TLS_FOLDER}ca.pem`);
  const stranger = await connect({ servers: `127.0.0.1:${server.port}`, tls: { ca } }).then(
    async (connection) => {
      await connection.close();
      return true;
    },
    () => false,
  );
  if (stranger) problems.push("NATS lets somebody in without a login");
  // As `restore` with the password of `backup`.
  const config = await site.configure("restore.toml", "backup");
  const { code, stderr } = await runArq([
    "backup",
    `${stage.around.dir}/never.tar`,
    "--config",
    config,
  ]);
  if (code === 0 || !/Authorization Violation/.test(stderr)) {
    problems.push(`another user's password: ${code}, ${stderr}`);
  }
  stage.plan.say("NATS refuses who has no login and who has another's");
  return problems;
}

/** Publishes by HTTPS through the Ingress; returns the status, and the reason of a refusal. */
async function post(
  { ingress, traffic: { client } }: Stage,
  token: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; reason: string }> {
  const response = await fetch(`${ingress.url}/v1/rooms/hall/messages`, {
    client,
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      ...headers,
    },
    body: JSON.stringify({ type: "chat", data: { text: "hello" } }),
  });
  const { reason = "" } = await response.json();
  return { status: response.status, reason };
}

/** Its quota refuses one tenant, and nobody else; Valkey counts. */
export async function smallTenant(stage: Stage): Promise<string[]> {
  const { around: { small_tenant }, tokenFor, traffic, plan } = stage;
  const [small, acme] = await Promise.all([
    tokenFor({ tenant_id: small_tenant.name }),
    tokenFor({ tenant_id: "acme" }),
  ]);
  const problems: string[] = [];
  const at_once = Array.from({ length: 3 * small_tenant.messages_per_second }, () => small);
  const answers: { status: number; reason: string }[] = [];
  // Repeated until one is refused: on a slow machine a second passes before enough are sent.
  const deadline_ms = Date.now() + WAIT_MS;
  while (!answers.some(({ status }) => status === 429)) {
    if (Date.now() > deadline_ms) return ["the quota of the small tenant refuses nothing"];
    answers.push(...await Promise.all(at_once.map((token) => post(stage, token))));
  }
  const others = answers.filter(({ status, reason }) =>
    status !== 200 && !(status === 429 && reason === "tenant-quota")
  );
  if (others.length > 0) problems.push(`the small tenant: ${JSON.stringify(others[0])}`);
  const { status, reason } = await post(stage, acme);
  if (status !== 200) problems.push(`another tenant beside it: ${status} ${reason}`);
  if (traffic.errors.length > 0) problems.push(...traffic.errors);
  plan.say(`the quota of tenant ${small_tenant.name} holds, and is nobody else's`);
  return problems;
}

/** Every process sends its metrics, with the file's header, and a client's trace arrives. */
export async function telemetryProblems(stage: Stage, site: Site): Promise<string[]> {
  const { collector, tokenFor, plan } = stage;
  const traceparent = `00-${TRACE_ID}-00f067aa0ba902b7-01`;
  const token = await tokenFor({ tenant_id: "acme" });
  const problems: string[] = [];
  const { status } = await post(stage, token, { traceparent });
  if (status !== 200) problems.push(`a traced message: ${status}`);
  const senders = () =>
    new Set(
      [...collector.metrics().values()].flat().map(({ resource }) =>
        `${resource["service.name"]} ${resource["service.instance.id"]}`
      ),
    );
  const wanted = site.shields.length + site.brains.length;
  if (!await becomes(() => senders().size >= wanted, WAIT_MS)) {
    problems.push(`of ${wanted} processes these send metrics: ${[...senders()].join(", ")}`);
  }
  const traced = () => collector.spans().some(({ trace_id }) => trace_id === TRACE_ID);
  if (!await becomes(traced, WAIT_MS)) problems.push("no span of a client's trace came");
  const counts = () =>
    collector.metrics().get("shield_quota_degraded")?.flatMap(({ points }) =>
      points.map(({ value }) => value)
    ) ?? [];
  if (
    !await becomes(() => counts().length > 0 && counts().every((value) => value === 0), WAIT_MS)
  ) {
    problems.push(`shield_quota_degraded is ${counts().join(", ")}: Valkey does not count`);
  }
  const authorization = collector.headers()?.get("authorization");
  if (authorization !== "Bearer collector's own") {
    problems.push(`the collector is shown ${authorization}`);
  }
  plan.say(`the collector has metrics of ${senders().size} processes and a client's trace`);
  return problems;
}
