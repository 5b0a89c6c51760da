/**
 * A production setup from the start to the loss of its site, twice, under load: it does what docs/deploy.md and
 * docs/operations.md tell operators to do, with their files and commands. Prints the result of each step; `problems`
 * has the failures.
 */
import { TLS_FOLDER } from "../deployed_files.ts";
import { startOtlpReceiver } from "../otlp/receiver.ts";
import { startValkey } from "../harness/valkey_server.ts";
import { backUpAndRestore } from "./disaster.ts";
import { failOver, leafListener, type Link, secondSite } from "./failover.ts";
import { startIngress } from "./ingress.ts";
import { judgeSights } from "./ledger.ts";
import { openIssuer, Site, type Surroundings } from "./site.ts";
import { arqDone, calm, judgeLogs, note, seconds } from "./stage.ts";
import type { Figure, ProductionPlan, ProductionReport, Stage } from "./stage.ts";
import { refusedLogins, smallTenant, telemetryProblems } from "./surroundings.ts";
import { Traffic } from "./traffic.ts";

/** Each Shield and each Brain is replaced, and one NATS server dies and restarts; nothing is lost. */
async function rollOver(stage: Stage, site: Site): Promise<void> {
  const { traffic, ingress } = stage;
  traffic.takeLongest();
  for (const at of [0, 1]) {
    // As Kubernetes does: removed from the load balancer first.
    const [gone] = site.shield_urls.slice(at);
    await ingress.direct(site.shield_urls.filter((url) => url !== gone));
    await site.stop("shield", at);
    await site.startShield(at);
    await ingress.direct(site.shield_urls);
    await calm(stage);
    await site.stop("brain", at);
    await site.startBrain(at);
  }
  await calm(stage);
  note(
    stage,
    "rollout of Shields and Brains: longest wait for an ACK",
    seconds(traffic.takeLongest()),
  );
  const [{ server } = { server: undefined }] = site.pods.slice(-1);
  await server?.kill();
  await calm(stage);
  await server?.start();
  await calm(stage);
  note(
    stage,
    "one of three NATS servers killed: longest wait for an ACK",
    seconds(traffic.takeLongest()),
  );
  await judgeLogs(stage, "after the rollout");
}

async function surroundings(stack: AsyncDisposableStack, dir: string) {
  const password = "valkey's own";
  const valkey = stack.use(await startValkey({ args: ["--requirepass", password] }));
  const collector = stack.use(await startOtlpReceiver());
  await Deno.writeTextFile(`${dir}/quota_password`, `${password}\n`);
  await Deno.writeTextFile(`${dir}/otlp_headers`, "authorization: Bearer collector's own\n");
  const around: Surroundings = {
    dir,
    quota: { url: valkey.url, password_file: `${dir}/quota_password` },
    telemetry: { url: collector.url, headers_file: `${dir}/otlp_headers` },
    small_tenant: { name: "small", messages_per_second: 20 },
  };
  return { around, collector };
}

/** Everything that is set up before a loss. */
async function setUp(stack: AsyncDisposableStack, plan: ProductionPlan) {
  const dir = await Deno.makeTempDir({ prefix: "arqon-production-" });
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const { around, collector } = await surroundings(stack, dir);
  const tokenFor = await openIssuer(dir);
  const ingress = stack.use(await startIngress());
  const figures: Figure[] = [];
  const problems: string[] = [];
  const link: Link = leafListener();
  const began_ms = performance.now();
  const site = stack.use(await Site.open(around, link.first));
  await site.startBus();
  await ingress.direct(site.shield_urls);
  note({ figures, plan }, "set up, until all is ready", seconds(performance.now() - began_ms));
  await durableOrders(site, tokenFor);
  const traffic = stack.use(
    await Traffic.open({
      ...plan,
      url: ingress.url,
      authority: await Deno.readTextFile(`${TLS_FOLDER}ca.pem`),
      tokenFor: (sub) => tokenFor({ sub, role: "service" }),
    }),
  );
  const stage: Stage = { plan, around, ingress, collector, tokenFor, traffic, figures, problems };
  return { stage, site, link };
}

/** An operator makes the rooms `orders-*` of tenant acme durable. */
async function durableOrders(
  site: Site,
  tokenFor: (claims: Record<string, string>) => Promise<string>,
): Promise<void> {
  const token = await tokenFor({ tenant_id: "ops", role: "admin", sub: "root" });
  const what = ["orders-*", "--durable", "--history-size", "1000000", "--tenant", "acme"];
  const admin = ["--admin-url", site.shields[0]?.ready.admin_url ?? "", "--token", token];
  await arqDone("room", "class", "set", ...what, ...admin);
}

/** Runs everything. Rejects if a step cannot be done; `problems` has what does not hold. */
export async function runProduction(plan: ProductionPlan): Promise<ProductionReport> {
  await using stack = new AsyncDisposableStack();
  const { stage, site, link } = await setUp(stack, plan);
  const { traffic, problems } = stage;
  await calm(stage);
  problems.push(
    ...await refusedLogins(stage, site),
    ...await smallTenant(stage),
    ...await telemetryProblems(stage, site),
  );
  await rollOver(stage, site);
  const restored = await backUpAndRestore(stage, site, link, stack);
  const second = await secondSite(stage, link, stack);
  await failOver(stage, restored, second);
  await calm(stage);
  await traffic.receiving();
  await traffic.hush();
  await judgeLogs(stage, "at the end");
  await traffic.received();
  for (const ledger of traffic.ledgers) problems.push(...judgeSights(ledger).slice(0, 5));
  problems.push(...traffic.errors.slice(0, 5));
  note(stage, "messages acknowledged", String(traffic.acknowledged));
  return { figures: stage.figures, problems };
}
