/**
 * The bus of a soak run: NATS, one Brain and one Shield as processes, with deployed policies, a mapped schema and
 * durable rooms, as an operator would set it up. It reports the memory of each process.
 */
import type { RunningTarget } from "../../bench/load/targets/target.ts";
import { ping } from "../../shield/schema/testing/schemas.ts";
import type { AdminAnswer } from "../peers/admin_client.ts";
import { policyAdmin } from "../peers/policy_admin.ts";
import { schemaAdmin } from "../peers/schema_admin.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "../harness/cluster.ts";
import { errorsIn, samplesOf } from "../harness/server_state.ts";
import { startNats } from "../harness/nats_server.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";

/** Tenants of a run; all use the same room names. */
export const TENANTS: readonly string[] = ["acme", "zeta"];

/** Resident memory of each process, in bytes, by name. */
export type Memory = Readonly<Record<"shield" | "brain" | "nats", number>>;

/** A running bus. */
export interface Deployment extends AsyncDisposable {
  readonly issuer: Issuer;
  /** The Shield, as the load generator reaches it. */
  readonly target: RunningTarget;
  memory(): Promise<Memory>;
  /** The Shield's number of connections. */
  connections(): Promise<number>;
  /** Reasons and numbers of messages that policies refused: all sent ones are valid. */
  refusals(): Promise<string[]>;
  /** Uncaught errors in the logs, or processes that have ended. */
  bugs(): string[];
}

/** Everywhere, and where it has to read every word. */
const POLICIES = [{ name: "content_size", room: "*" }, { name: "bad_words", room: "feed-*" }];
const REFUSED = /^shield_policy_verdicts_total\{.*verdict="refused"/;
/**
 * All clients connect from this machine, and thousands of them are one user. Retention of rooms is limited so that the
 * limit is reached within minutes: growth after that is a leak.
 */
const CONFIG = `
${durableRooms("log-*", "history_size = 100")}
[limits]
#constant limits.log_cache_bytes = 16_777_216
messages_per_second = 100_000
bytes_per_second = 1_000_000_000
connections_per_user = 20_000
connections_per_tenant = 20_000
`;

const ROOT = decodeURIComponent(new URL("../..", import.meta.url).pathname);

function checked({ status, body }: AdminAnswer): Record<string, unknown> {
  if (status === 200) return body;
  throw new Error(`the admin API answered ${status}: ${JSON.stringify(body)}`);
}

async function govern(admin_url: string, issuer: Issuer): Promise<void> {
  const tokenFor = () => issuer.tokenFor({ role: "admin", sub: "root" });
  const policies = await policyAdmin({ admin_url, tokenFor });
  const schemas = await schemaAdmin({ admin_url, tokenFor });
  for (const { name, room } of POLICIES) {
    const bytes = await Deno.readFile(`${ROOT}policies/build/${name}.wasm`);
    const { sha256 } = checked(await policies.upload(bytes));
    for (const tenant of TENANTS) {
      const binding = { tenant, name, room, sha256, hooks: ["on_message"] };
      checked(await policies.post("deploy", binding));
    }
  }
  checked(await schemas.push("samples", ping()));
  for (const tenant of TENANTS) {
    const mapping = { schema_id: "samples", message: "t.Ping" };
    checked(await schemas.map(tenant, { ...mapping, subject: `in.t.${tenant}.r.feed-*` }));
  }
}

const metrics = ({ ready }: ServerProcess) => samplesOf(ready["ops_url"]);

const rss = (samples: Map<string, number>) => samples.get("process_resident_memory_bytes") ?? NaN;

/** Starts it, with these lines of the Shield's `[server]`. Rejects with a log if a part does not start. */
export async function startDeployment(server_lines = ""): Promise<Deployment> {
  await using owned = new AsyncDisposableStack();
  const issuer = owned.use(await createIssuer());
  const nats = owned.use(await startNats({ jetstream: true, config: `http: "127.0.0.1:-1"` }));
  const monitor = nats.logTail().match(/Starting http monitor on (\S+)/)?.[1];
  const config = `[nats]\nurls = ["${nats.url}"]\n${CONFIG}`;
  const brain = owned.use(await startServer("brain", config, issuer.dir));
  const shield = owned.use(
    await startServer("shield", config + issuer.config, issuer.dir, server_lines),
  );
  await govern(shield.ready["admin_url"] ?? "", issuer);
  const url = shield.socket_url;
  const exp = Math.floor(Date.now() / 1_000) + 86_400;
  const tokens = await Promise.all(
    TENANTS.map((tenant_id) => issuer.tokenFor({ tenant_id, exp })),
  );
  const ended: string[] = [];
  for (const [name, { status }] of Object.entries({ brain, shield })) {
    void status.then(({ code }) => ended.push(`the ${name} ended by itself with ${code}`));
  }
  const stack = owned.move();
  return {
    issuer,
    target: {
      version: "",
      pids: [shield.pid],
      wire: { protocol: "arqon", url, tokens },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    },
    async memory() {
      const varz = await (await fetch(`http://${monitor}/varz`)).json();
      return {
        shield: rss(await metrics(shield)),
        brain: rss(await metrics(brain)),
        nats: varz.mem,
      };
    },
    connections: async () => (await metrics(shield)).get("shield_active_connections") ?? NaN,
    refusals: async () =>
      [...await metrics(shield)].flatMap(([name, count]) =>
        count > 0 && REFUSED.test(name) ? [`${name}: ${count}`] : []
      ),
    bugs: () => [
      ...ended,
      ...[shield, brain].flatMap((process) => errorsIn(process.log())),
    ],
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
